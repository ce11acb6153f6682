"""The objective: against plain formulas and golden values, its fast form against its definition."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open

from allocations import Allocations
from condense.base.errors import InputError
from condense.config.settings import Gadc
from condense.selection.best import best_candidate, lowest
from condense.selection.objective import ELEMENTS, Objective, peak_memory
from condense.selection.search import condense
from reference import objective
from standin import pretend

GOLDEN = Path(__file__).parents[1] / "golden/selection.safetensors"
PLAIN = Gadc(epsilon=3.0, beta=2.0)
first = torch.zeros(1, dtype=torch.long)


def images(seed: int, n: int, d: int = 5, classes: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    """Features [classes, n, d] and -log p [classes, n]."""
    draws = torch.Generator().manual_seed(seed)
    features = torch.randn(classes, n, d, dtype=torch.float64, generator=draws).relu() + 0.1
    return features, torch.rand(classes, n, dtype=torch.float64, generator=draws)


VARIANTS = [
    PLAIN,
    replace(PLAIN, statistics="paper"),
    replace(PLAIN, capacity=1.0),
    replace(PLAIN, transport=False),
    replace(PLAIN, alpha=0.0),
    replace(PLAIN, beta=0.0),
]


@pytest.mark.parametrize("chosen", VARIANTS)
@pytest.mark.parametrize("subset", [[4], [1, 7], [0, 3, 9, 11]])
def test_value_is_the_papers_formula(chosen: Gadc, subset: list[int]) -> None:
    features, nll = images(1, 12)
    found = Objective(features, nll, chosen).value(first, torch.tensor([subset]))
    assert found.item() == pytest.approx(objective(features[0].numpy(), nll[0].numpy(), subset, chosen))


def test_moments_are_the_reference_implementations() -> None:
    with safe_open(GOLDEN, "pt") as file:
        found = Objective(file.get_tensor("features")[None], None, replace(PLAIN, beta=0.0))
        for j in range(7):
            statistics = found.terms(first, file.get_tensor(f"ot.{j}.subset")[None]).statistics
            # the reference keeps deviations above 1e-10, which shows in the tenth digit
            assert statistics.item() == pytest.approx(file.get_tensor(f"ot.{j}.moment").item(), rel=1e-9)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.integers(0, 99), st.integers(4, 30), st.integers(0, 4), st.sampled_from(VARIANTS))
def test_fast_form_is_the_definition_for_every_candidate(seed, n, shared, chosen) -> None:
    features, nll = images(seed, n)
    every = torch.arange(n)
    common = torch.randperm(n, generator=torch.Generator().manual_seed(seed))[None, : min(shared, n - 1)]
    subsets = torch.cat([common.expand(n, -1), every[:, None]], 1)
    for precision, error in (("float32", 2e-5), ("float64", 1e-10)):
        built = Objective(features, nll, replace(chosen, precision=precision))
        slow = built.value(torch.zeros(n, dtype=torch.long), subsets)
        torch.testing.assert_close(
            built.extend(common, every[None])[0].double(), slow, rtol=error, atol=error * 1e-2
        )


def test_a_device_is_waited_for_once_to_find_the_fast_forms_range(monkeypatch) -> None:
    features, nll = images(8, 30, classes=3)
    with pretend(monkeypatch) as device:
        built = Objective(features.to("cuda"), nll.to("cuda"), PLAIN)
        shared = torch.tensor([[1, 5], [4, 2], [7, 8]]).to("cuda")
        for candidates in (torch.tensor([[3, 4, 9]] * 3).to("cuda"), None):
            device.waits.clear()
            built.extend(shared, candidates)
            assert device.waits == ["__bool__"]


@pytest.mark.parametrize(("n", "d", "classes"), [(200, 16, 3), (100, 400, 2)])
@pytest.mark.parametrize("tolerance", [None, 1e-4])
def test_memory_stays_below_what_is_planned_and_not_far(monkeypatch, n, d, classes, tolerance) -> None:
    features, _ = images(9, n, d, classes)
    monkeypatch.setitem(ELEMENTS, "cpu", 8 * classes * n)
    chosen = Gadc(epsilon=0.05, epsilon_unit="median", beta=0, tolerance=tolerance, restarts=0)
    with Allocations() as found:
        condense(features.float(), None, [3], chosen)
    taken = found.most + features.numel() * 4  # which stand on the device too
    assert 0.5 * classes * peak_memory(n, d) < taken < classes * peak_memory(n, d)


def test_moving_all_images_changes_nothing() -> None:
    features, nll = images(2, 20)
    subset = torch.tensor([[3, 4, 8]])
    near, far = (Objective(x, nll, PLAIN).value(first, subset) for x in (features, features + 1e4))
    torch.testing.assert_close(near, far, rtol=1e-6, atol=0)


def test_dummy_cost_has_no_effect_to_the_last_bit() -> None:
    features, nll = images(3, 20)
    subset = torch.tensor([[3, 4, 8]])
    values = {
        Objective(features, nll, replace(PLAIN, dummy_cost=gamma)).value(first, subset).item()
        for gamma in (0.0, 0.05, 1.0, 1e6)
    }
    assert len(values) == 1


def test_dummy_cost_cancels_in_the_augmented_problem_too() -> None:
    features, _ = images(3, 20)
    cost = ((features[0, :3, None] - features[0, None]) ** 2).sum(2).numpy()
    plans = []
    for delta in (0.0, 0.4, 9.0):
        kernel, v = np.exp(-np.r_[cost, np.full((1, 20), delta)] / 2), np.ones(20)
        for _ in range(20):
            u = np.r_[np.full(3, 1 / 3), 0.05] / (kernel @ v)
            v = np.full(20, 1.05 / 20) / (kernel.T @ u)
        plans.append((u[:, None] * kernel * v)[:3])
    np.testing.assert_allclose(plans[1], plans[0], rtol=1e-12)
    np.testing.assert_allclose(plans[2], plans[0], rtol=1e-12)


def test_epsilon_in_units_of_the_median_does_not_see_the_scale_of_the_features() -> None:
    features, _ = images(4, 30)
    chosen = replace(PLAIN, epsilon=0.1, epsilon_unit="median", alpha=0.0, beta=0.0)
    subset = torch.tensor([[1, 2, 3]])
    small, large = (Objective(x, None, chosen) for x in (features, 10 * features))
    assert large.value(first, subset).item() == pytest.approx(100 * small.value(first, subset).item())
    assert small.scale.item() == pytest.approx(10)


def test_median_is_over_pairs_of_different_images() -> None:
    features = torch.tensor([[[0.0], [1.0], [3.0]]], dtype=torch.float64)  # costs 1, 4, 9
    assert Objective(features, None, replace(PLAIN, beta=0.0)).median.item() == pytest.approx(4)


def test_ties_go_to_the_lower_index() -> None:
    values = torch.tensor([[3.0, 1.0 + 1e-12, 1.0], [2.0, 2.0, 5.0]], dtype=torch.float64)
    assert lowest(values)[0].tolist() == [1, 0]
    features, nll = images(5, 15)
    features[0, 12], nll[0, 12] = features[0, 2], nll[0, 2]
    built = Objective(features, nll, PLAIN)
    for shared in ([], [4], [7, 9]):
        common = torch.tensor([shared], dtype=torch.long)
        assert 12 not in best_candidate(built, common).image.tolist()
    reverse = Objective(features.flip(1), nll.flip(1), PLAIN)
    assert (
        best_candidate(reverse, torch.tensor([[5]])).image.item() != 14 - 2
    )  # now the other twin has the lower index


def test_best_is_the_best_of_all_and_never_one_of_the_shared() -> None:
    features, nll = images(6, 18)
    built = Objective(features, nll, PLAIN)
    for shared in ([0], [3, 5], [1, 2, 4]):
        others = [k for k in range(18) if k not in shared]
        values = [objective(features[0].numpy(), nll[0].numpy(), [*shared, k], PLAIN) for k in others]
        best = best_candidate(built, torch.tensor([shared]))
        assert best.image.item() == others[int(np.argmin(values))]
        assert best.value.item() == pytest.approx(min(values))


def test_best_says_so_where_nothing_is_below() -> None:
    features, nll = images(6, 18)
    against = (torch.tensor([5]), torch.tensor([1e-3], dtype=torch.float64))
    best = best_candidate(Objective(features, nll, PLAIN), torch.tensor([[3]]), against=against)
    assert best.value.item() == torch.inf


def test_released_confidence_counts_the_candidate_alone() -> None:
    features, nll = images(7, 10)
    built = Objective(features, nll, replace(PLAIN, confidence="candidate"))
    subset = torch.tensor([[2, 5, 6]])
    gap = built.value(first, subset, greedy=True) - built.value(first, subset)
    assert gap.item() == pytest.approx(2.0 * (nll[0, 6] - nll[0, [2, 5, 6]].mean()).item())


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"alpha": -1.0}, "alpha is -1.0"),
        ({"beta": -0.5}, "beta is -0.5"),
        ({"capacity": 0.9}, "capacity is 0.9"),
        ({"epsilon": 0.0}, "epsilon is 0.0"),
        ({"alpha": float("nan")}, "alpha is nan"),
    ],
)
def test_impossible_settings_are_named(change: dict, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        Objective(*images(1, 5), replace(PLAIN, **change))


def test_impossible_input_is_named() -> None:
    features, nll = images(1, 5)
    broken = features.clone()
    broken[0, 3, 1] = torch.nan
    with pytest.raises(InputError, match="image 3 of a class are not finite"):
        Objective(broken, nll, PLAIN)
    with pytest.raises(InputError, match="needs probabilities"):
        Objective(features, None, PLAIN)
    with pytest.raises(InputError, match="probabilities"):
        Objective(features, nll - 2, PLAIN)
    with pytest.raises(InputError, match=r"\[classes, n, d\]"):
        Objective(features[0], nll, PLAIN)
    with pytest.raises(InputError, match=r"\[classes, n\]"):
        Objective(features, nll[:, :-1], PLAIN)


def test_equal_images_have_an_objective() -> None:
    features = torch.ones(1, 6, 3, dtype=torch.float64)
    for unit in ("absolute", "median"):
        built = Objective(features, None, replace(PLAIN, beta=0.0, epsilon_unit=unit))
        assert built.value(first, torch.tensor([[0, 1]])).item() == 0
        assert best_candidate(built, torch.tensor([[0]])).image.item() == 1

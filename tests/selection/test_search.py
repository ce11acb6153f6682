"""Greedy path and exchange: golden subsets, brute force, and what must not change a subset."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from test_objective import PLAIN, images

from condense.base.errors import InputError
from condense.config.settings import Gadc
from condense.selection.objective import ELEMENTS, Objective
from condense.selection.search import condense, exchange_as_released, greedy
from reference import objective

GOLDEN = Path(__file__).parents[1] / "golden/selection.safetensors"


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_released_procedure_is_reproduced_index_for_index(precision: str) -> None:
    golden = load_file(GOLDEN)
    chosen = Gadc(epsilon=2.0, beta=10.0, confidence="candidate", precision=precision)
    built = Objective(golden["features"][None], golden["neg_log_prob"][None], chosen)
    path = greedy(built, 5)
    assert path[0].tolist() == golden["select.greedy"].tolist()
    end = exchange_as_released(built, path)
    assert end.subsets[0].tolist() == golden["select.exchange"].tolist()
    # these golden values are rounded to six decimals
    torch.testing.assert_close(torch.cat(end.history[1:]), golden["select.cost_per_swap"], rtol=0, atol=6e-7)
    assert end.swaps.item() == 2 and end.optimal.item()


def swaps_of(subset: list[int], n: int) -> list[list[int]]:
    """Every subset that differs from this one in a single image."""
    outside = [k for k in range(n) if k not in subset]
    return [[*subset[:i], k, *subset[i + 1 :]] for i in range(len(subset)) for k in outside]


@pytest.mark.parametrize("chosen", [PLAIN, replace(PLAIN, capacity=1.0), replace(PLAIN, statistics="paper")])
@pytest.mark.parametrize("seed", range(4))
def test_no_single_swap_improves_the_result(chosen: Gadc, seed: int) -> None:
    features, nll = images(seed, 10)
    for restarts in (0, 3):
        found = condense(features, nll, [3], replace(chosen, restarts=restarts))[3]
        subset = found.end.subsets[0].tolist()
        plain = [features[0].numpy(), nll[0].numpy()]
        value = objective(*plain, subset, chosen)
        assert found.end.value.item() == pytest.approx(value)
        assert all(objective(*plain, other, chosen) >= value * (1 - 1e-8) for other in swaps_of(subset, 10))
        assert found.end.optimal.item()


def test_no_single_swap_improves_a_larger_result_solved_to_a_tolerance() -> None:
    features, nll = images(11, 60, d=8)
    chosen = Gadc(epsilon=0.05, epsilon_unit="median", beta=2.0, tolerance=1e-6, restarts=1)
    built = Objective(features, nll, chosen)
    subset = condense(features, nll, [4], chosen)[4].end.subsets[0].tolist()
    value = built.value(torch.zeros(1, dtype=torch.long), torch.tensor([subset]))
    others = torch.tensor(swaps_of(subset, 60))
    values = built.value(torch.zeros(len(others), dtype=torch.long), others)
    assert (values >= value * (1 - 1e-6)).all()


def test_result_is_close_to_the_best_of_all_subsets() -> None:
    from itertools import combinations

    features, nll = images(2, 10)
    every = torch.tensor(list(combinations(range(10), 4)))
    built = Objective(features, nll, PLAIN)
    best = built.value(torch.zeros(len(every), dtype=torch.long), every).min().item()
    assert condense(features, nll, [4], PLAIN)[4].end.value.item() == pytest.approx(best)


def test_greedy_step_is_the_best_of_all_candidates() -> None:
    features, nll = images(3, 12)
    path = greedy(Objective(features, nll, PLAIN), 4)[0].tolist()
    for t in range(4):
        others = [k for k in range(12) if k not in path[:t]]
        values = [objective(features[0].numpy(), nll[0].numpy(), [*path[:t], k], PLAIN) for k in others]
        assert path[t] == others[values.index(min(values))]


def test_one_greedy_path_serves_every_budget() -> None:
    features, nll = images(4, 30)
    chosen = replace(PLAIN, exchange="none")
    together = condense(features, nll, [7, 2, 5], chosen)
    for budget, found in together.items():
        alone = condense(features, nll, [budget], chosen)[budget]
        assert found.end.subsets.tolist() == alone.end.subsets.tolist()
        assert found.end.subsets.tolist()[0] == together[7].end.subsets[0, :budget].tolist()
        assert not found.end.optimal.item()


@settings(max_examples=15, deadline=None, derandomize=True)
@given(st.integers(0, 99), st.integers(6, 40), st.integers(1, 5), st.sampled_from(["optimal", "released"]))
def test_exchange_never_raises_the_objective(seed, n, m, kind) -> None:
    features, nll = images(seed, n)
    found = condense(features, nll, [m], replace(PLAIN, exchange=kind))[m]
    values = torch.cat(found.end.history)
    assert (values.diff() <= 0).all()
    assert found.end.value <= found.greedy
    assert len(set(found.end.subsets[0].tolist())) == m
    assert found.end.value.item() == pytest.approx(
        (found.terms.transport + 6 * found.terms.statistics + 2 * found.terms.confidence).item()
    )


def test_released_exchange_stops_after_its_swaps() -> None:
    features, nll = images(5, 40)
    built = Objective(features, nll, PLAIN)
    start = torch.arange(6)[None]
    whole = exchange_as_released(built, start)
    assert whole.swaps.item() > 2 and whole.optimal.item()
    part = exchange_as_released(built, start, 2)
    assert part.swaps.item() == 2 and not part.optimal.item()
    torch.testing.assert_close(torch.cat(part.history), torch.cat(whole.history[:3]))


def test_restarts_find_better_optima() -> None:
    features, nll = images(6, 120, d=12)
    chosen = Gadc(epsilon=0.05, epsilon_unit="median", beta=1.0)
    values = [
        condense(features, nll, [8], replace(chosen, restarts=count))[8].end.value.item() for count in (0, 8)
    ]
    assert values[1] < 0.999 * values[0]


@settings(max_examples=10, deadline=None, derandomize=True)
@given(
    st.integers(0, 99), st.sampled_from([0.1, 1.0, 10.0, 100.0, 400.0, 1000.0]), st.sampled_from([1.0, 1.05])
)
def test_single_precision_chooses_as_double_does_at_any_scale(seed, scale, capacity) -> None:
    features, nll = images(seed, 40)
    chosen = Gadc(epsilon=1 / scale, epsilon_unit="median", capacity=capacity, beta=1.0, restarts=1)
    ends = [
        condense(features, nll, [4], replace(chosen, precision=precision))[4].end
        for precision in ("float32", "float64")
    ]
    assert ends[0].value.item() == pytest.approx(ends[1].value.item(), rel=1e-5)


def test_classes_solved_together_are_as_alone() -> None:
    features, nll = images(7, 35, classes=4)
    together = condense(features, nll, [3, 6], PLAIN)
    for c in range(4):
        alone = condense(features[c : c + 1], nll[c : c + 1], [3, 6], PLAIN)
        for budget in (3, 6):
            assert together[budget].end.subsets[c].tolist() == alone[budget].end.subsets[0].tolist()
            assert together[budget].end.swaps[c] == alone[budget].end.swaps[0]
            assert together[budget].end.passes[c] == alone[budget].end.passes[0]


@pytest.mark.parametrize(
    "change", [{"restarts": 2}, {"restarts": 1, "tolerance": 1e-6}, {"exchange": "released"}]
)
def test_a_class_that_is_done_costs_nothing_more(monkeypatch, change) -> None:
    features, nll = images(7, 35, classes=4)
    chosen, tried = replace(PLAIN, **change), []
    extend = Objective._extend

    def counted(self, *given):
        found = extend(self, *given)
        tried.append(found.numel())
        return found

    monkeypatch.setattr(Objective, "_extend", counted)
    together = condense(features, nll, [6], chosen)[6].end
    needed = sum(tried)
    tried.clear()
    alone = [condense(features[c : c + 1], nll[c : c + 1], [6], chosen)[6].end for c in range(4)]
    assert len({end.passes.item() for end in alone}) > 1  # some are done before others
    assert needed == sum(tried)
    assert together.subsets.tolist() == [end.subsets[0].tolist() for end in alone]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_a_gpu_chooses_as_the_processor_does() -> None:
    features, nll = images(7, 80, d=16, classes=3)
    chosen = replace(PLAIN, restarts=2)
    expected = condense(features, nll, [6], chosen)[6].end.subsets
    found = condense(features.cuda(), nll.cuda(), [6], chosen)[6].end
    assert found.subsets.tolist() == expected.tolist()


def test_size_of_blocks_and_number_of_threads_do_not_change_the_subset(monkeypatch) -> None:
    features, nll = images(8, 60, d=16)
    chosen = replace(PLAIN, restarts=1)
    expected = condense(features, nll, [5], chosen)[5].end.subsets.tolist()
    for elements, threads in ((60 * 7, 1), (60, 1), (2**20, 2)):
        monkeypatch.setitem(ELEMENTS, "cpu", elements)
        torch.set_num_threads(threads)
        try:
            assert condense(features, nll, [5], chosen)[5].end.subsets.tolist() == expected
        finally:
            torch.set_num_threads(1)


def test_order_of_the_images_does_not_change_the_subset() -> None:
    features, nll = images(9, 40)
    order = torch.randperm(40, generator=torch.Generator().manual_seed(1))
    plain = replace(PLAIN, restarts=0)  # restarts draw images by position
    first = condense(features, nll, [5], plain)[5].end
    second = condense(features[:, order], nll[:, order], [5], plain)[5].end
    assert sorted(first.subsets[0].tolist()) == sorted(order[second.subsets[0]].tolist())


def test_whole_class_and_single_image_are_subsets() -> None:
    features, nll = images(10, 7)
    assert sorted(condense(features, nll, [7], PLAIN)[7].end.subsets[0].tolist()) == list(range(7))
    alone = condense(features[:, :1], nll[:, :1], [1], replace(PLAIN, epsilon_unit="median"))[1]
    assert alone.end.subsets.tolist() == [[0]]
    assert alone.terms.transport.item() == 0 and alone.terms.statistics.item() == 0


def test_equal_images_are_chosen_in_order() -> None:
    features = torch.ones(1, 9, 3)
    found = condense(features, None, [4], replace(PLAIN, beta=0.0))[4].end
    assert found.subsets.tolist() == [[0, 1, 2, 3]] and found.swaps.item() == 0


@pytest.mark.parametrize("budget", [0, -1, 8])
def test_impossible_budgets_are_refused(budget: int) -> None:
    with pytest.raises(InputError, match=f"budget {budget} is not between 1 and the 7 images"):
        condense(*images(1, 7), [budget], PLAIN)

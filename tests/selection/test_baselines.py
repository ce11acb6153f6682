import inspect
import itertools
from collections import Counter

import numpy as np
import pytest
import torch
from torch import Tensor

from condense.base.errors import InputError
from condense.selection.baselines import ccs, d2c, dq, herding, herding_max, k_center

BASELINES = (k_center, herding, herding_max, ccs, dq)
NESTED = (k_center, herding, herding_max, dq)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def points(n: int = 40, d: int = 5, seed: int = 0) -> Tensor:
    return torch.randn(n, d, generator=generator(seed))


def probabilities(n: int = 40, seed: int = 1) -> tuple[Tensor, Tensor]:
    """Log-probabilities of the own class and of the strongest other one, of five classes."""
    logp = torch.log_softmax(3 * torch.randn(n, 5, generator=generator(seed)), 1)
    return logp[:, 0], logp[:, 1:].amax(1)


def choose(baseline, budget: int, n: int = 40, seed: int = 0, **settings) -> list[int]:
    return give(baseline, points(n), *probabilities(n), budget, generator(seed), **settings).tolist()


def give(baseline, features, own, rival, budget: int, draws, score=None, **settings) -> Tensor:
    """Call a baseline with those of these that it takes."""
    known = {"features": features, "log_probability": own, "log_runner_up": rival, "score": score}
    known |= {"budget": budget, "generator": draws}
    taken = inspect.signature(baseline).parameters
    return baseline(**{name: value for name, value in known.items() if name in taken}, **settings)


@pytest.mark.parametrize("baseline", BASELINES)
@pytest.mark.parametrize("budget", [1, 7, 39, 40])
def test_a_baseline_chooses_as_many_different_images_as_asked(baseline, budget: int) -> None:
    chosen = choose(baseline, budget)
    assert len(chosen) == len(set(chosen)) == budget
    assert set(chosen) <= set(range(40))


@pytest.mark.parametrize("baseline", BASELINES)
def test_the_same_seed_gives_the_same_subset(baseline) -> None:
    assert choose(baseline, 9, seed=3) == choose(baseline, 9, seed=3)


@pytest.mark.parametrize("baseline", [k_center, ccs, dq])
def test_another_seed_draws_another_subset(baseline) -> None:
    assert len({tuple(choose(baseline, 9, seed=seed)) for seed in range(5)}) > 1


@pytest.mark.parametrize("baseline", NESTED)
def test_the_first_images_of_a_nested_baseline_are_its_smaller_subset(baseline) -> None:
    assert choose(baseline, 30)[:12] == choose(baseline, 12)


@pytest.mark.parametrize("baseline", BASELINES)
def test_coinciding_images_are_chosen_once_each(baseline) -> None:
    same = torch.ones(6, 3)
    chosen = give(baseline, same, -torch.ones(6), -2 * torch.ones(6), 6, generator())
    assert sorted(chosen.tolist()) == list(range(6))


def test_k_center_takes_the_image_farthest_from_all_chosen() -> None:
    x, chosen = points().double(), choose(k_center, 12)
    for step in range(1, 12):
        nearest = [min(float((x[i] - x[j]).norm()) for j in chosen[:step]) for i in range(40)]
        assert nearest[chosen[step]] == pytest.approx(max(nearest))


@pytest.mark.parametrize("seed", range(5))
def test_k_center_covers_within_twice_the_best_radius(seed: int) -> None:
    """Gonzalez's guarantee, against every subset of three."""
    x = points(12, 2, seed)
    distance = torch.cdist(x, x)

    def radius(chosen) -> float:
        return float(distance[list(chosen)].amin(0).amax())

    best = min(radius(chosen) for chosen in itertools.combinations(range(12), 3))
    assert radius(k_center(x, 3, generator(seed)).tolist()) <= 2 * best + 1e-6


@pytest.mark.parametrize(("baseline", "best"), [(herding, min), (herding_max, max)])
def test_herding_follows_its_definition_at_every_step(baseline, best) -> None:
    x, chosen = points().double(), choose(baseline, 12)
    mean = x.mean(0)
    for step in range(12):
        total = x[chosen[:step]].sum(0)
        away = {
            i: float((mean * (step + 1) - (total + x[i])).norm()) for i in range(40) if i not in chosen[:step]
        }
        assert away[chosen[step]] == pytest.approx(best(away.values()))


def test_herding_keeps_the_mean_and_its_maximum_does_not() -> None:
    x = points(400)
    for budget in (10, 50):
        off = {
            baseline: float((x[baseline(x, budget)].mean(0) - x.mean(0)).norm())
            for baseline in (herding, herding_max)
        }
        drawn = [
            float((x[torch.randperm(400, generator=generator(s))[:budget]].mean(0) - x.mean(0)).norm())
            for s in range(9)
        ]
        assert off[herding] < 0.2 * np.median(drawn)
        assert off[herding_max] > max(drawn)


def textbook_ccs(margin: list[float], budget: int, cut_off: float, strata: int) -> Counter:
    """Number of images that the published algorithm takes from each stratum, with plain loops."""
    kept = sorted(margin)[int(cut_off * len(margin)) :]
    low, high = kept[0], kept[-1]
    edges = [low + (high - low) * k / strata for k in range(strata)]
    sizes = Counter(max(k for k in range(strata) if edges[k] <= m) for m in kept)
    taken, left = Counter(), budget
    for visited, k in enumerate(sorted(range(strata), key=lambda k: sizes[k])):
        taken[k] = min(sizes[k], left // (strata - visited))
        left -= taken[k]
    return taken


@pytest.mark.parametrize(("budget", "cut_off", "strata"), [(10, 0.3, 50), (30, 0.5, 8), (17, 0.0, 5)])
def test_ccs_takes_from_each_stratum_what_the_algorithm_says(
    budget: int, cut_off: float, strata: int
) -> None:
    own, rival = probabilities(200)
    margin = (own.double().exp() - rival.double().exp()).tolist()
    chosen = ccs(own, rival, None, budget, generator(), cut_off=cut_off, strata=strata).tolist()
    count = min(strata, budget)
    kept = sorted(margin)[int(cut_off * 200) :]
    assert min(margin[i] for i in chosen) >= kept[0]
    edges = [kept[0] + (kept[-1] - kept[0]) * k / count for k in range(count)]
    found = Counter(max(k for k in range(count) if edges[k] <= margin[i]) for i in chosen)
    assert +found == +textbook_ccs(margin, budget, cut_off, count)


def test_ccs_keeps_enough_images_whatever_the_cut_off() -> None:
    assert len(choose(ccs, 38, cut_off=0.9)) == 38


def test_ccs_without_probabilities_says_what_to_do() -> None:
    with pytest.raises(InputError, match="ccs needs probabilities"):
        ccs(None, None, None, 5, generator())


def textbook_bins(x: Tensor, bins: int, weight: float) -> list[set[int]]:
    """Bins of dataset quantisation, by evaluating every gain from its definition."""
    unit = x.double() / x.double().norm(dim=1, keepdim=True)
    similarity = 0.5 + 0.5 * unit @ unit.T
    left, found = list(range(len(x))), []
    for number in range(bins):
        chosen: list[int] = []
        while len(chosen) < (len(left) if number == bins - 1 else len(x) // bins):
            gain = {
                i: weight * similarity[left, i].sum() - 2 * similarity[chosen, i].sum()
                for i in left
                if i not in chosen
            }
            chosen.append(max(gain, key=gain.get))
        found.append(set(chosen))
        left = [i for i in left if i not in chosen]
    return found


@pytest.mark.parametrize(("n", "bins", "weight"), [(40, 10, 1.0), (43, 5, 1.0), (40, 4, 0.2)])
def test_dq_draws_the_same_fraction_of_every_bin(n: int, bins: int, weight: float) -> None:
    expected = textbook_bins(points(n), bins, weight)
    assert sorted(map(len, expected))[:-1] == [n // bins] * (bins - 1)
    for budget in (bins, 2 * bins, n):
        chosen = choose(dq, budget, n, bins=bins, weight=weight)
        for members in expected:
            assert abs(len(members & set(chosen)) - budget * len(members) / n) < 1


def test_dq_takes_one_image_of_each_of_ten_bins_for_a_budget_of_ten() -> None:
    chosen = choose(dq, 10, 100)
    assert [len(members & set(chosen)) for members in textbook_bins(points(100), 10, 1.0)] == [1] * 10


def test_dq_manages_classes_smaller_than_its_bins() -> None:
    assert sorted(choose(dq, 7, 7)) == list(range(7))


@pytest.mark.parametrize(
    ("n", "budget", "interval", "expected"),
    [
        (1000, 10, None, list(range(0, 865, 96))),  # the paper's interval
        (785, 50, None, list(range(0, 785, 16))),
        (991, 100, None, list(range(0, 991, 10))),
        (732, 10, None, list(range(0, 730, 81))),  # too small a class: the widest that fits
        (20, 4, None, [0, 6, 12, 18]),
        (20, 4, 3, [0, 3, 6, 9]),
        (5, 5, 3, [0, 1, 2, 3, 4]),
        (5, 1, None, [0]),
    ],
)
def test_d2c_takes_every_so_many_th_image_from_the_easiest_on(n, budget, interval, expected) -> None:
    loss = torch.rand(n, generator=generator())
    chosen = d2c(loss, budget, interval)
    assert chosen.tolist() == loss.argsort()[expected].tolist()


def test_d2c_without_scores_says_what_to_do() -> None:
    with pytest.raises(InputError, match="--scores"):
        d2c(None, 5)


def test_ccs_ranks_by_given_scores_rather_than_by_the_classifier() -> None:
    score = torch.arange(40.0)
    chosen = ccs(*probabilities(), score, 12, generator(), cut_off=0.5)
    assert min(chosen.tolist()) >= 20


def test_dq_says_before_it_begins_that_a_class_is_too_large() -> None:
    features = torch.zeros(1, 2).expand(20_001, 2)
    with pytest.raises(InputError, match=r"dq compares all pairs .* one has 20,001, more than 20,000"):
        dq(features, 10, torch.Generator())

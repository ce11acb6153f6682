"""Copying: one half without it, one with it, and the exact average over draws of held-out images."""

import itertools
import math

import pytest
import torch

from condense.base.errors import InputError
from condense.scoring.memorisation import Copies


def normal(count: int, seed: int, dimensions: int = 6) -> torch.Tensor:
    return torch.randn(count, dimensions, generator=torch.Generator().manual_seed(seed))


def digits(chosen: int = 20) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Pixels, labels, and a flag for the first images of each class."""
    from sklearn.datasets import load_digits

    data = load_digits()
    labels = torch.tensor(data.target)
    rank = torch.stack([(labels[: i + 1] == label).sum() for i, label in enumerate(labels)]) - 1
    return torch.tensor(data.data, dtype=torch.float32), labels, rank < chosen


def measure(samples, labels, real, kinds, chosen) -> Copies:
    copies = Copies(samples, labels)
    for kind in kinds.unique().tolist():
        copies.add(kind, real[kinds == kind], chosen[kinds == kind])
    return copies


def test_the_training_images_themselves_are_copies() -> None:
    pixels, labels, chosen = digits()
    copying = measure(pixels[chosen], labels[chosen], pixels, labels, chosen)
    assert copying.rate == 1
    assert copying.judged == 200
    ranks = torch.cat([torch.arange(int((labels == kind).sum())) for kind in range(10)])
    rank_in_class = torch.empty(len(labels), dtype=torch.int64)
    rank_in_class[labels.argsort(stable=True)] = ranks
    assert torch.equal(copying.nearest, rank_in_class[chosen])
    assert copying.distances.max() == 0


@pytest.mark.parametrize("count", [5, 30])
def test_unseen_images_of_the_class_are_not_copies(count) -> None:
    pixels, labels, _ = digits()
    fresh, order = torch.arange(len(labels)) % 2 == 0, torch.randperm(len(labels) // 2)
    rates = []
    for seed in range(4):
        order = torch.randperm(int((~fresh).sum()), generator=torch.Generator().manual_seed(seed))
        rest, kinds = pixels[~fresh][order], labels[~fresh][order]
        chosen = torch.stack([(kinds[: i + 1] == kind).sum() for i, kind in enumerate(kinds)]) <= count
        rates.append(measure(pixels[fresh], labels[fresh], rest, kinds, chosen).rate)
    assert sum(rates) / len(rates) == pytest.approx(0.5, abs=0.05)


def test_the_rate_follows_the_share_of_copies() -> None:
    real, chosen = normal(400, 0), torch.arange(400) < 40
    mixed = torch.cat([real[:30] + 1e-3, normal(30, 1)])
    rate = measure(mixed, torch.zeros(60), real, torch.zeros(400), chosen).rate
    assert rate == pytest.approx(0.5 * 1 + 0.5 * 0.5, abs=0.08)


def test_equals_the_average_over_all_draws() -> None:
    samples, real = normal(12, 2, 2).round(decimals=1), normal(10, 3, 2).round(decimals=1)
    real[7] = real[1]  # a held-out image equal to a training image: a tie, which counts half
    chosen = torch.arange(10) < 3
    squared = torch.stack([(row.double() - real.double()).square().sum(1) for row in samples])
    wins = []
    for row in squared:
        for drawn in itertools.combinations(range(3, 10), 3):
            mine, theirs = row[:3].min(), row[list(drawn)].min()
            wins.append(1.0 if mine < theirs else 0.5 if mine == theirs else 0.0)
    rate = measure(samples, torch.zeros(12), real, torch.zeros(10), chosen).rate
    assert rate == pytest.approx(sum(wins) / len(wins), abs=1e-12)


def test_classes_are_compared_with_their_own_images_only() -> None:
    real = torch.cat([normal(30, 4), normal(30, 5) + 0.1])
    kinds = torch.arange(60) // 30
    chosen = torch.arange(60) % 3 == 0
    samples, labels = normal(20, 6), torch.arange(20) % 2
    both = measure(samples, labels, real, kinds, chosen)
    rows = both.nearest + 30 * labels
    assert chosen[rows].all()
    assert torch.allclose(both.distances, (samples.double() - real[rows].double()).norm(dim=1))
    alone = [measure(samples[labels == k], labels[labels == k], real, kinds, chosen).rate for k in (0, 1)]
    assert both.rate == pytest.approx(sum(alone) / 2)


def test_the_closest_pairs_come_first() -> None:
    real, chosen = normal(50, 7), torch.arange(50) < 20
    samples = normal(15, 8)
    samples[9], samples[4] = real[11], real[3] + 0.001
    copying = measure(samples, torch.zeros(15), real, torch.zeros(50), chosen)
    assert copying.closest(2).tolist() == [9, 4]
    assert copying.nearest[copying.closest(2)].tolist() == [11, 3]


def test_without_enough_held_out_images_the_rate_is_not_a_number() -> None:
    real, labels = normal(30, 9), torch.arange(30) // 15
    everything = measure(normal(4, 10), torch.zeros(4), real, labels, torch.ones(30))
    assert math.isnan(everything.rate)
    assert everything.judged == 0
    assert everything.distances.isfinite().all()
    first_only = (torch.arange(30) < 5) | (torch.arange(30) >= 15)
    partly = measure(normal(4, 10), torch.tensor([0, 0, 0, 1]), real, labels, first_only)
    assert partly.judged == 3
    assert 0 <= partly.rate <= 1


def test_without_training_images_there_is_neither_rate_nor_pair() -> None:
    nothing = measure(normal(4, 10), torch.zeros(4), normal(9, 9), torch.zeros(9), torch.zeros(9))
    assert math.isnan(nothing.rate)
    assert len(nothing.closest(3)) == 0


def test_large_classes_do_not_overflow() -> None:
    real, chosen = normal(3000, 11), torch.arange(3000) < 1000
    rate = measure(normal(50, 12), torch.zeros(50), real, torch.zeros(3000), chosen).rate
    assert rate == pytest.approx(0.5, abs=0.1)


def test_bad_input_is_one_sentence() -> None:
    with pytest.raises(InputError, match="2 images have labels"):
        Copies(normal(2, 0), torch.zeros(3))

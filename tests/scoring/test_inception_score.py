"""Inception score: agreement with torch-fidelity, ADM's splits, and known values."""

import math

import pytest
import torch

from condense.base.errors import InputError
from condense.scoring.inception_score import inception_score


def logits(count: int, classes: int = 20, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, classes, generator=torch.Generator().manual_seed(seed)) * 3


@pytest.mark.parametrize(("count", "splits"), [(1000, 10), (900, 3), (64, 1)])
def test_equals_torch_fidelity_on_equal_splits(count, splits) -> None:
    from torch_fidelity.metric_isc import isc_features_to_metric

    expected = isc_features_to_metric(logits(count), splits, shuffle=False)
    score = inception_score(logits(count), count // splits)
    assert score.mean == pytest.approx(expected["inception_score_mean"], rel=1e-10)
    assert score.std == pytest.approx(expected["inception_score_std"], rel=1e-8, abs=1e-12)
    assert (score.splits, score.split_size) == (splits, count // splits)


def test_equals_torch_fidelity_on_real_logits() -> None:
    from sklearn.datasets import load_digits
    from torch_fidelity.metric_isc import isc_features_to_metric

    pixels = torch.tensor(load_digits().data[:1500], dtype=torch.float32)
    expected = isc_features_to_metric(pixels, 3, shuffle=False)["inception_score_mean"]
    assert inception_score(pixels, 500).mean == pytest.approx(expected, rel=1e-10)


def test_images_are_split_in_their_order_and_the_rest_counts_fully() -> None:
    values = logits(25)
    parts = [inception_score(part, 100).mean for part in (values[:10], values[10:20], values[20:])]
    score = inception_score(values, 10)
    assert score.mean == pytest.approx(sum(parts) / 3, rel=1e-12)
    assert score.splits == 3
    assert inception_score(values[torch.randperm(25)], 10).mean != pytest.approx(score.mean, rel=1e-6)


def test_a_small_set_says_how_small_its_split_is() -> None:
    assert inception_score(logits(300)).split_size == 300
    assert inception_score(logits(6000)).split_size == 5000


def test_certain_and_balanced_predictions_score_the_number_of_classes() -> None:
    certain = torch.eye(8).repeat(5, 1) * 1e4
    assert inception_score(certain).mean == pytest.approx(8, rel=1e-12)
    assert inception_score(torch.zeros(40, 8)).mean == pytest.approx(1, rel=1e-12)
    half = torch.eye(8)[:4].repeat(5, 1) * 1e4
    assert inception_score(half).mean == pytest.approx(4, rel=1e-12)


def test_bad_input_is_one_sentence() -> None:
    broken = logits(10)
    broken[0, 0] = math.nan
    with pytest.raises(InputError, match="not finite"):
        inception_score(broken)
    with pytest.raises(InputError, match=r"\[images, classes\]"):
        inception_score(torch.zeros(0, 4))

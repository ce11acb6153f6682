"""What an appraisal says of a subset equals the definitions, computed by hand."""

import numpy as np
import pytest
import torch

from condense.base.seeds import stream
from condense.selection.appraise import (
    appraise_class,
    copy_rate,
    energy_distance,
    transport_distance,
)


def draw(count: int, shift: float = 0.0, key: int = 0) -> torch.Tensor:
    """Features [count, 4] about `shift`."""
    return torch.randn(count, 4, generator=stream("appraise", key), dtype=torch.float64) + shift


def test_energy_distance_is_the_mean_over_pairs_of_different_images():
    mine, theirs = draw(5), draw(7, 0.5, 1)
    across = np.mean([float((x - y).norm()) for x in mine for y in theirs])
    within = [
        np.mean([float((a - b).norm()) for i, a in enumerate(v) for j, b in enumerate(v) if i != j])
        for v in (mine, theirs)
    ]
    assert energy_distance(mine, theirs) == pytest.approx(2 * across - sum(within), rel=1e-12)
    assert energy_distance(mine[:1], theirs) is None


def test_energy_distance_is_about_zero_for_equal_laws_and_grows_with_the_shift():
    near = np.mean([energy_distance(draw(20, 0, i), draw(40, 0, 100 + i)) for i in range(50)])
    far = np.mean([energy_distance(draw(20, 0, i), draw(40, 1, 100 + i)) for i in range(50)])
    assert abs(near) < 0.05 < 0.5 < far


def test_transport_distance_of_equal_sets_and_of_a_shift():
    mine = draw(6)
    assert transport_distance(mine, mine.flip(0)) == pytest.approx(0, abs=1e-12)
    assert transport_distance(mine, mine + torch.tensor([3.0, 0, 0, 0])) == pytest.approx(3, rel=1e-9)
    one = transport_distance(mine[:1], draw(9, 0, 3))
    assert one == pytest.approx((mine[0] - draw(9, 0, 3)).norm(dim=1).mean().item(), rel=1e-12)


@pytest.mark.parametrize("counts", [(60, 15), (15, 60)], ids=["few held out", "many held out"])
def test_copies_are_found_whichever_set_is_larger(counts):
    real, unseen = draw(counts[0]), draw(counts[1], 0, 1)
    assert copy_rate(real[:10] + 1e-6, real, unseen) == pytest.approx(
        (1 + min(1, counts[1] / counts[0])) / 2, abs=0.15
    )
    rates = [copy_rate(draw(10, 0, 7 + i), draw(40, 0, 50 + i), draw(40, 0, 90 + i)) for i in range(40)]
    assert np.mean(rates) == pytest.approx(0.5, abs=0.05)


def test_chosen_images_are_no_copies_and_a_single_one_has_no_neighbours():
    real, unseen = draw(30), draw(10, 0, 1)
    assert appraise_class(real[:5], real, unseen, made=False)["copy_rate"] is None
    alone = appraise_class(real[:1], real, unseen, made=True)
    assert alone["energy"] is None and "coverage" not in alone and alone["copy_rate"] is not None

"""Starting noise equals the release's hypercubes, and each coordinate has one draw in each stratum."""

from statistics import NormalDist

import pytest
import torch
from torch.testing import assert_close

from condense.base.seeds import stream
from condense.synthesis.hypercube import draw_noise, hypercube
from golden_concentration import read


@pytest.mark.parametrize("case", ["single.3", "single.10", "batched"])
@pytest.mark.parametrize("form", ["lattice", "jitter"])
def test_a_hypercube_equals_the_releases(case, form):
    values, _ = read("hypercube")
    name = f"{case}.{form}"
    offsets = values.get(f"{name}.offsets", torch.tensor(0.5))
    expected = values[f"{name}.noise"]
    found = hypercube(values[f"{name}.keys"], offsets).reshape(expected.shape)
    # the release inverts the distribution in float32, which near its ends has an error of 2e-6
    assert_close(found.float(), expected, rtol=0, atol=2e-7 if form == "lattice" else 4e-6)


def test_draws_are_the_quantiles_of_their_strata():
    keys = torch.tensor([[0.3, 0.1, 0.2]])
    expected = [NormalDist().inv_cdf(share) for share in (1.5 / 3, 2.5 / 3, 0.5 / 3)]
    assert_close(hypercube(keys, torch.tensor(0.5))[:, 0].tolist(), expected, rtol=1e-12, atol=1e-12)
    ends = hypercube(keys, torch.tensor([[0.0, 1.0, 0.0]]))[1:, 0].tolist()
    assert ends == pytest.approx([NormalDist().inv_cdf(1 - 1e-7), NormalDist().inv_cdf(1e-7)], abs=1e-6)


@pytest.mark.parametrize("count", [10, 50, 100])
def test_the_lattice_is_shorter_than_normal_noise(count):
    values, _ = read("hypercube")
    drawn = draw_noise("lattice", count, (3, 2, 2), stream("test"))
    assert drawn.shape == (count, 3, 2, 2) and drawn.dtype == torch.float32
    expected = values[f"lattice_mean_square.{count}"].item()
    assert drawn.square().mean().item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("form", ["lattice", "jitter"])
def test_every_stratum_of_a_coordinate_has_one_draw(form):
    drawn = draw_noise(form, 7, (2, 3), stream("test"), (4,))
    strata = (torch.special.ndtr(drawn.double()) * 7).long()
    assert (strata.sort(1).values == torch.arange(7)[:, None, None]).all()
    assert not (strata[0] == strata[1]).all(), "two of a batch are the same hypercube"


def test_normal_noise_is_normal():
    drawn = draw_noise("normal", 50, (4, 8, 8), stream("test"))
    assert drawn.square().mean().item() == pytest.approx(1, abs=0.03)

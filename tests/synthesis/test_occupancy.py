"""Occupied cells: theory exact to table 13, and cells of samples whose places are known."""

import pytest
import torch

from condense.base.seeds import stream
from condense.synthesis.occupancy import drawn_occupancy, expected_occupancy, occupied_cells
from golden_concentration import read_json

OCCUPANCY = read_json("arithmetic")["occupancy"]


@pytest.mark.parametrize("count", [*OCCUPANCY])
def test_theory_equals_table_13(count):
    found, known = expected_occupancy(int(count)), OCCUPANCY[count]
    assert found.mean == pytest.approx(known["expected"], rel=1e-9)
    assert found.deviation == pytest.approx(known["deviation"], rel=1e-9)


@pytest.mark.parametrize("count", [*OCCUPANCY])
def test_draws_agree_with_theory(count):
    mean, deviation = drawn_occupancy(int(count), 20_000, stream("occupancy", count))
    known = expected_occupancy(int(count))
    assert mean == pytest.approx(known.mean, abs=5 * known.deviation / 20_000**0.5)
    assert deviation == pytest.approx(known.deviation, rel=0.03)


def test_cells_are_runs_of_the_real_values():
    real = torch.arange(12.0)[:, None].flip(0).repeat(1, 2)
    samples = torch.tensor([[0.5, 0.5], [4.5, 1.5], [8.5, 99.0]])
    assert occupied_cells(samples, real).tolist() == [3, 2]
    assert occupied_cells(real[:1], real).tolist() == [1, 1]


def test_independent_samples_occupy_what_theory_says():
    real = torch.randn(5000, 400, generator=stream("real"))
    samples = torch.randn(10, 400, generator=stream("samples"))
    mean = occupied_cells(samples, real).double().mean().item()
    assert mean == pytest.approx(expected_occupancy(10).mean, abs=5 / 400**0.5)


def test_targets_occupy_every_cell():
    real = torch.randn(1000, 30, generator=stream("real"))
    centres = real.sort(0).values.unflatten(0, (10, 100)).mean(1)
    assert (occupied_cells(centres, real) == 10).all()

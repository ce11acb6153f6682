"""Stage occupancy: how many of n cells of equal probability n samples fall into (DsCo, table 13).

Cells are runs of the sorted values of real images, of each feature of a random projector. Independent samples
leave cells empty; samples that were optimised together are meant to spread over them.
"""

import math
from fractions import Fraction
from pathlib import Path
from typing import Annotated, NamedTuple

import torch
import typer
from torch import Tensor

from condense.base.errors import InputError
from condense.base.progress import say
from condense.base.seeds import stream
from condense.base.tables import write_rows
from condense.synthesis.given import Given
from condense.synthesis.projector import Projector

GROUPS = 16  # of the projector
DRAWS = 500  # PAPER: of table 13
COLUMNS = (
    *("method", "budget", "class_index", "images", "occupied", "deviation", "drawn_real"),
    *("expected", "expected_deviation"),
)


class Occupancy(NamedTuple):
    """Mean and standard deviation."""

    mean: float
    deviation: float


def expected_occupancy(count: int) -> Occupancy:
    """Cells that `count` independent samples occupy of as many, exactly."""
    n = Fraction(count)
    missed, both = (1 - 1 / n) ** count, (1 - 2 / n) ** count
    variance = n * (n - 1) * both + n * missed - n**2 * missed**2
    return Occupancy(float(n * (1 - missed)), math.sqrt(variance))


def drawn_occupancy(count: int, draws: int, generator: torch.Generator) -> Occupancy:
    """The same over some draws, the deviation unbiased: table 13."""
    cells = torch.randint(count, (draws, count), generator=generator)
    occupied = torch.zeros(draws, count, dtype=torch.bool).scatter_(1, cells, True).sum(1).double()
    return Occupancy(occupied.mean().item(), occupied.std().item())


def occupied_cells(samples: Tensor, real: Tensor) -> Tensor:
    """Number of cells [d], of n between quantiles of real values [m, d], that n samples [n, d] occupy."""
    count = len(samples)
    below = torch.searchsorted(real.T.contiguous().sort(1).values, samples.T.contiguous())
    # a value between the k-th and the next of m real ones lies in the cell of share k / m
    cells = (below * count).div(len(real), rounding_mode="floor").clamp(max=count - 1)
    occupied = torch.zeros(len(cells), count, dtype=torch.bool, device=cells.device)
    return occupied.scatter_(1, cells, True).sum(1)


def occupancy(
    made: Annotated[Path, typer.Option(help="Latents of the set, from `latents` (HDF5).")],
    real: Annotated[Path, typer.Option(help="Latents of the real images (HDF5).")],
    output: Annotated[Path, typer.Option(help="Row of each class (CSV).")],
    name: Annotated[str, typer.Option(help="Name of the method whose set it is.")] = "",
    budget_name: Annotated[str, typer.Option(help="Name of its budget.")] = "",
    groups: Annotated[int, typer.Option(help="Groups of the projector.", min=1)] = GROUPS,
    seed: Annotated[int, typer.Option(help="Seed of the projector and of the draws.", min=0)] = 0,
) -> None:
    """Count the cells of random features that the images of a set occupy, beside as many drawn real ones."""
    device = torch.device("cpu")
    sets, everything = Given(device, made), Given(device, real)
    rows, projector = [], None
    for number in everything.classes():
        samples, whole = (files.real(number)[0] for files in (sets, everything))
        if projector is None:
            projector = Projector.draw(samples.shape[1], groups, stream("occupancy", seed))
        if samples.shape[1:] != whole.shape[1:]:
            raise InputError(
                f"{made} and {real} have latents of other shapes: give those of one autoencoder."
            )
        ours, theirs = (projector.pooled(latents[None])[0] for latents in (samples, whole))
        drawn = torch.randperm(len(whole), generator=stream("occupancy", seed, number))[: len(samples)]
        occupied, independent = (occupied_cells(part, theirs).double() for part in (ours, theirs[drawn]))
        spread = (occupied.mean().item(), occupied.std().item(), independent.mean().item())
        rows.append((name, budget_name, number, len(samples), *spread, *expected_occupancy(len(samples))))
    write_rows(output, COLUMNS, rows)
    mean = sum(row[4] for row in rows) / max(len(rows), 1)
    say(f"{mean:.2f} cells occupied, {expected_occupancy(rows[0][3]).mean:.2f} by chance -> {output}")

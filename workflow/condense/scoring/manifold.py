"""Precision, recall, density and coverage: how two sets of features lie among each other's neighbours."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from condense.base.errors import InputError
from condense.base.precision import full_precision
from condense.scoring.neighbours import Points, as_features, squared_neighbour_distances, tiles


@dataclass(frozen=True)
class Manifold:
    """Improved precision and recall (Kynkäänniemi et al. 2019), density and coverage (Naeem et al. 2020)."""

    precision: float
    recall: float
    density: float
    coverage: float


def compare(samples: Any, reference: Any, neighbours: int = 3, wide_neighbours: int = 5) -> Manifold:
    """Compare features of samples [n, d] with those of reference images [m, d], on the device they are on.

    Precision and recall use the distance to the `neighbours`-th neighbour as radius, a point on the rim being
    inside (k = 3, as in the ADM evaluator of Dhariwal and Nichol 2021); density and coverage use the
    `wide_neighbours`-th of the reference, a point on the rim being outside (k = 5, Naeem et al. 2020).
    """
    samples, reference = as_features(samples), as_features(reference)
    if samples.shape[1] != reference.shape[1]:
        raise InputError(
            f"features of {samples.shape[1]} and of {reference.shape[1]} dimensions cannot be compared; "
            "use the same detector for samples and reference."
        )
    with full_precision():
        centre = reference.mean(0)
        real, generated = Points.of(reference, centre), Points.of(samples, centre)
        radii = squared_neighbour_distances(real, max(neighbours, wide_neighbours))
        sample_radii = squared_neighbour_distances(Points.of(samples), neighbours)[:, neighbours - 1]
        narrow, wide = radii[:, neighbours - 1], radii[:, wide_neighbours - 1]
        precise, recalled, covered, inside = _count(generated, real, sample_radii, narrow, wide)
    return Manifold(
        precision=_share(precise),
        recall=_share(recalled),
        density=inside / (wide_neighbours * len(samples)),
        coverage=_share(covered),
    )


def _count(
    generated: Points, real: Points, sample_radii: Tensor, narrow: Tensor, wide: Tensor
) -> tuple[Tensor, Tensor, Tensor, int]:
    """Who lies within whose squared radius, in one pass over all pairs: three flags and a number of pairs."""
    precise = torch.zeros(len(generated), dtype=torch.bool, device=narrow.device)
    recalled, covered = torch.zeros(2, len(real), dtype=torch.bool, device=narrow.device)
    inside = 0
    for tile in tiles(generated, real):
        rows, columns, squared = tile.near(narrow[None, tile.columns], wide[None, tile.columns])
        precise[rows[squared <= narrow[columns]]] = True
        within = squared < wide[columns]
        covered[columns[within]] = True
        inside += int(within.count_nonzero())
        rows, columns, squared = tile.near(sample_radii[tile.rows, None])
        recalled[columns[squared <= sample_radii[rows]]] = True
    return precise, recalled, covered, inside


def _share(flags: Tensor) -> float:
    return int(flags.count_nonzero()) / len(flags)

"""Precision, recall, density and coverage: how two sets of features lie among each other's neighbours.

Every comparison of a distance with a radius is decided in float64. A float32 matrix product gives each
squared distance with a proven error bound; the few pairs that the bound leaves open are measured again in
float64. So the result does not depend on blocks, threads or device, and costs what float32 costs. Memory
is two copies of the features and a few tiles.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gadc.errors import InputError

TILE = 2048  # rows and columns of distances held at once
PAIRS = 2**22  # numbers widened to float64 at once when pairs are measured exactly
SPARE = 3  # neighbours kept beyond those asked for, so that a second look is rarely needed


@dataclass(frozen=True)
class Manifold:
    """Improved precision and recall (Kynkäänniemi et al. 2019), density and coverage (Naeem et al. 2020)."""

    precision: float
    recall: float
    density: float
    coverage: float


@dataclass(frozen=True)
class Points:
    """Features [n, d], the same centred in float32, and their squared lengths [n] in float32."""

    features: Tensor
    centred: Tensor
    squares: Tensor

    def __len__(self) -> int:
        return len(self.features)

    @property
    def slack(self) -> float:
        """Bound on the error of a float32 squared distance, relative to the sum of both squared lengths.

        A dot product of d terms in any order errs by at most d rounding units of |a||b|; centring, the
        squared lengths, the sums and the thresholds add less than 24 more.
        """
        return (self.features.shape[1] + 24) * 2.0**-24


def compare(samples: Any, reference: Any, neighbours: int = 3, wide_neighbours: int = 5) -> Manifold:
    """Compare features of samples [n, d] with those of reference images [m, d], on the device they are on.

    Precision and recall use the distance to the `neighbours`-th neighbour as radius, a point on the rim being
    inside (k = 3, as in the ADM evaluator of Dhariwal and Nichol 2021); density and coverage use the
    `wide_neighbours`-th of the reference, a point on the rim being outside (k = 5, Naeem et al. 2020).
    """
    samples, reference = _tensor(samples), _tensor(reference)
    if samples.shape[1] != reference.shape[1]:
        raise InputError(
            f"features of {samples.shape[1]} and of {reference.shape[1]} dimensions cannot be compared; "
            "use the same detector for samples and reference."
        )
    with _full_precision():
        radii = squared_neighbour_distances(reference, max(neighbours, wide_neighbours))
        reference_radii, wide_radii = radii[:, neighbours - 1], radii[:, wide_neighbours - 1]
        sample_radii = squared_neighbour_distances(samples, neighbours)[:, neighbours - 1]
        centre = reference.mean(0)
        generated, real = _points(samples, centre), _points(reference, centre)
        precise = torch.zeros(len(generated), dtype=torch.bool, device=samples.device)
        recalled, covered = torch.zeros(2, len(real), dtype=torch.bool, device=samples.device)
        inside = 0
        for rows, columns, low in _tiles(generated, real):
            tile = _Tile(generated, real, rows, columns, low)
            precise[rows] |= tile.within(reference_radii[None, columns]).any(1)
            recalled[columns] |= tile.within(sample_radii[rows, None]).any(0)
            dense = tile.within(wide_radii[None, columns], rim=False)
            covered[columns] |= dense.any(0)
            inside += int(dense.count_nonzero())
    return Manifold(
        precision=_share(precise),
        recall=_share(recalled),
        density=inside / (wide_neighbours * len(samples)),
        coverage=_share(covered),
    )


def squared_neighbour_distances(features: Any, count: int) -> Tensor:
    """Squared distances [n, count], float64 and ascending, to the nearest other rows of features [n, d]."""
    features = _tensor(features)
    if len(features) <= count:
        raise InputError(f"{count} neighbours need more than {count} images, not {len(features)}.")
    with _full_precision():
        points = _points(features, features.mean(0))
        bounds, candidates = _nearest(points, min(count + 1 + SPARE, len(points)))
        distances = _exact_rows(points, candidates)[:, : count + 1]
        # What was not kept is at least as far as the last bound kept.
        open_rows = (distances[:, -1] > bounds[:, -1]) & (candidates.shape[1] < len(points))
        if open_rows.any():
            chosen = open_rows.nonzero()[:, 0]
            distances[chosen] = _look_again(points, chosen, distances[chosen])
    return distances[:, 1:]


class _Tile:
    """Lower bounds `low` of squared distances between rows of two sets, decided exactly on demand."""

    def __init__(self, first: Points, second: Points, rows: slice, columns: slice, low: Tensor) -> None:
        self.first, self.second, self.low = first, second, low
        self.top, self.left = rows.start, columns.start
        self.error = 2 * first.slack * (first.squares[rows].max() + second.squares[columns].max())

    def within(self, radii: Tensor, rim: bool = True) -> Tensor:
        """Whether each squared distance [r, c] is at most (`rim`) or below `radii` [r, 1] or [1, c]."""
        sure = self.low < (radii - self.error).float()
        rows, columns = ((self.low <= radii.float()) ^ sure).nonzero(as_tuple=True)
        if len(rows):
            distances = _exact(self.first, self.second, rows + self.top, columns + self.left)
            limits = radii.expand(self.low.shape)[rows, columns]
            sure[rows, columns] = distances <= limits if rim else distances < limits
        return sure


def _nearest(points: Points, count: int) -> tuple[Tensor, Tensor]:
    """Smallest lower bounds [n, count], ascending, of the distances between points, and whose they are."""
    bounds = torch.full((len(points), count), torch.inf, device=points.features.device)
    indices = torch.zeros_like(bounds, dtype=torch.int64)
    for rows, columns, low in _tiles(points, points, triangle=True):
        _keep_smallest(bounds, indices, rows, low, columns.start)
        if rows != columns:
            _keep_smallest(bounds, indices, columns, low.T, rows.start)
    return bounds, indices


def _keep_smallest(bounds: Tensor, indices: Tensor, rows: slice, low: Tensor, left: int) -> None:
    """Merge a tile of bounds, whose first column is `left`, into the smallest bounds of `rows`."""
    values, found = low.topk(min(bounds.shape[1], low.shape[1]), largest=False)
    values, found = torch.cat([bounds[rows], values], 1), torch.cat([indices[rows], found + left], 1)
    bounds[rows], order = values.topk(bounds.shape[1], largest=False)
    indices[rows] = found.gather(1, order)


def _look_again(points: Points, chosen: Tensor, distances: Tensor) -> Tensor:
    """Smallest distances [c, k] of the `chosen` points, exact where the last of `distances` is too large."""
    again = Points(points.features[chosen], points.centred[chosen], points.squares[chosen])
    best = torch.full_like(distances, torch.inf)
    for rows, columns, low in _tiles(again, points):
        near, there = (low <= distances[rows, -1:].float()).nonzero(as_tuple=True)
        measured = torch.full_like(low, torch.inf, dtype=torch.float64)
        measured[near, there] = _exact(again, points, near + rows.start, there + columns.start)
        best[rows] = torch.cat([best[rows], measured], 1).topk(best.shape[1], largest=False).values
    return best


def _tiles(first: Points, second: Points, triangle: bool = False) -> Iterator[tuple[slice, slice, Tensor]]:
    """Lower bounds of squared distances, tile by tile; only tiles on and above the diagonal if `triangle`."""
    shrunk = [(1 - points.slack) * points.squares for points in (first, second)]
    for top in range(0, len(first), TILE):
        rows = slice(top, min(top + TILE, len(first)))
        for left in range(top if triangle else 0, len(second), TILE):
            columns = slice(left, min(left + TILE, len(second)))
            low = torch.addmm(shrunk[1][columns], first.centred[rows], second.centred[columns].T, alpha=-2)
            yield rows, columns, low.add_(shrunk[0][rows, None])


def _exact(first: Points, second: Points, rows: Tensor, columns: Tensor) -> Tensor:
    """Squared distances, float64, of the pairs (rows[i], columns[i])."""
    step = max(1, PAIRS // first.features.shape[1])
    measured = [
        (first.features[mine].double() - second.features[theirs].double()).square_().sum(1)
        for mine, theirs in zip(rows.split(step), columns.split(step), strict=True)
    ]
    return torch.cat(measured)


def _exact_rows(points: Points, candidates: Tensor) -> Tensor:
    """Squared distances of each point to its candidates [n, c], ascending."""
    rows = torch.arange(len(points), device=candidates.device).repeat_interleave(candidates.shape[1])
    return _exact(points, points, rows, candidates.flatten()).view_as(candidates).sort(1).values


def _points(features: Tensor, centre: Tensor) -> Points:
    centred = (features - centre).float()
    squares = torch.cat([rows.double().square_().sum(1) for rows in centred.split(TILE)]).float()
    if not squares.isfinite().all():
        raise InputError("features hold a value that is not finite or too large; look for broken images.")
    return Points(features, centred, squares)


def _tensor(features: Any) -> Tensor:
    """Features as a tensor [n, d], float64 kept, anything else in float32."""
    features = torch.as_tensor(features[:]).detach()
    if features.ndim != 2:
        raise InputError(f"features have shape {tuple(features.shape)}; [images, dimensions] is needed.")
    return features if features.dtype == torch.float64 else features.float()


def _share(flags: Tensor) -> float:
    return int(flags.count_nonzero()) / len(flags)


@contextmanager
def _full_precision() -> Iterator[None]:
    """Keep TF32 and bfloat16 out of float32 products: the error bound is float32's."""
    chosen = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(chosen)

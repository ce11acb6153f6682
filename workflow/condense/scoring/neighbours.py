"""Distances between many features, exact in float64 at the cost of float32.

A float32 matrix product gives a proven lower bound of every squared distance, tile by tile; only pairs
whose order the bound leaves open are measured again, in float64 from the features as given. So results do not
depend on tiles, threads or device. Memory is two copies of the features and a few tiles. The bound is that of
float32, so that callers keep its `full_precision`.
"""

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from condense.base.errors import InputError

TILE = 2048  # rows and columns of distances held at once
NUMBERS = 2**17  # numbers widened to float64 at once when pairs are measured, few enough for a cache
SPARE = 3  # neighbours kept beyond those asked for, so that a second search is rarely needed


@dataclass(frozen=True)
class Points:
    """Features [n, d], the same centred in float32, and their squared lengths [n] in float32."""

    features: Tensor
    centred: Tensor
    squares: Tensor

    @classmethod
    def of(cls, features: Tensor, centre: Tensor | None = None) -> "Points":
        """Centre features on `centre` [d], by default their mean: distances stay, bounds get tighter."""
        centred = (features - (features.mean(0) if centre is None else centre)).float()
        squares = torch.cat([rows.double().square_().sum(1) for rows in centred.split(TILE)]).float()
        if not squares.isfinite().all():
            raise InputError("features hold a value that is not finite or too large; look for broken images.")
        return cls(features, centred, squares)

    def __len__(self) -> int:
        return len(self.features)

    def __getitem__(self, chosen: Tensor) -> "Points":
        return Points(self.features[chosen], self.centred[chosen], self.squares[chosen])

    @property
    def slack(self) -> float:
        """Bound on the error of a float32 squared distance, relative to the sum of both squared lengths.

        A dot product of d terms in any order errs by at most d rounding units of |a||b|; centring, the
        squared lengths, the sums and the thresholds add less than 24 more.
        """
        return (self.features.shape[1] + 24) * 2.0**-24


@dataclass(frozen=True)
class Tile:
    """Lower bounds `low` [r, c] of the squared distances between rows of one set and rows of another."""

    first: Points
    second: Points
    rows: slice
    columns: slice
    low: Tensor

    def near(self, limits: Tensor, *more: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Pairs that may lie within the largest of squared radii, float64 [r, 1] or [1, c]: who and how far.

        Indices of the pairs in both sets, and squared distances, float64, that are on the right side of each
        limit: measured where the bounds leave it open, else lower bounds.
        """
        largest = functools.reduce(torch.maximum, more, limits)
        rows, columns = (self.low <= largest.float()).nonzero(as_tuple=True)
        squared = self.low[rows, columns].double()
        limits = [limit.expand(self.low.shape)[rows, columns] for limit in (limits, *more)]
        rows, columns = rows + self.rows.start, columns + self.columns.start
        error = 2 * self.first.slack * (self.first.squares[rows].double() + self.second.squares[columns])
        unsure = [(squared <= limit) & (squared + error >= limit) for limit in limits]
        unsure = functools.reduce(torch.logical_or, unsure)
        squared[unsure] = measure(self.first, self.second, rows[unsure], columns[unsure])
        return rows, columns, squared


def tiles(first: Points, second: Points, triangle: bool = False) -> Iterator[Tile]:
    """All pairs of two sets of one centre, or the tiles on and above the diagonal of a set with itself."""
    shrunk = [(1 - points.slack) * points.squares for points in (first, second)]
    for top in range(0, len(first), TILE):
        rows = slice(top, min(top + TILE, len(first)))
        for left in range(top if triangle else 0, len(second), TILE):
            columns = slice(left, min(left + TILE, len(second)))
            low = torch.addmm(shrunk[1][columns], first.centred[rows], second.centred[columns].T, alpha=-2)
            yield Tile(first, second, rows, columns, low.add_(shrunk[0][rows, None]).clamp_(min=0))


def measure(first: Points, second: Points, rows: Tensor, columns: Tensor) -> Tensor:
    """Squared distances, float64, of the pairs (rows[i], columns[i])."""
    step = max(1, NUMBERS // first.features.shape[1])
    measured = [
        (first.features[mine].double() - second.features[theirs].double()).square_().sum(1)
        for mine, theirs in zip(rows.split(step), columns.split(step), strict=True)
    ]
    return torch.cat(measured)


def nearest(first: Points, second: Points, count: int) -> tuple[Tensor, Tensor]:
    """Squared distances [n, count], float64, ascending, to the nearest of `second`, and their indices."""
    if len(second) < count:
        raise InputError(f"{count} neighbours need as many images, not {len(second)}.")
    kept = min(count + SPARE, len(second))
    bounds = torch.full((len(first), kept), torch.inf, device=first.features.device)
    indices = torch.zeros_like(bounds, dtype=torch.int64)
    for tile in tiles(first, second, triangle=first is second):
        _keep_smallest(bounds, indices, tile.rows, tile.low, tile.columns.start)
        if first is second and tile.rows != tile.columns:
            _keep_smallest(bounds, indices, tile.columns, tile.low.T.contiguous(), tile.rows.start)
    rows = torch.arange(len(first), device=indices.device).repeat_interleave(kept)
    distances, order = measure(first, second, rows, indices.flatten()).view_as(bounds).sort(1)
    distances, indices = distances[:, :count], indices.gather(1, order)[:, :count]
    # What was not kept is at least as far as the largest bound that was.
    unsure = ((distances[:, -1] > bounds[:, -1]) & (kept < len(second))).nonzero()[:, 0]
    if len(unsure):
        distances[unsure], indices[unsure] = _search_again(first[unsure], second, distances[unsure])
    return distances, indices


def squared_neighbour_distances(points: Points, count: int) -> Tensor:
    """Squared distances [n, count], float64, ascending, to the nearest other rows of the same set."""
    if len(points) <= count:
        raise InputError(f"{count} neighbours need more than {count} images, not {len(points)}.")
    return nearest(points, points, count + 1)[0][:, 1:]


def as_features(features: Any) -> Tensor:
    """Features as a tensor [n, d], float64 kept, anything else in float32."""
    features = torch.as_tensor(features[:]).detach()
    if features.ndim != 2:
        raise InputError(f"features have shape {tuple(features.shape)}; [images, dimensions] is needed.")
    return features if features.dtype == torch.float64 else features.float()


def _keep_smallest(bounds: Tensor, indices: Tensor, rows: slice, low: Tensor, left: int) -> None:
    """Merge a tile of bounds, whose first column is `left`, into the smallest bounds of `rows`."""
    values, found = low.topk(min(bounds.shape[1], low.shape[1]), largest=False)
    values, found = torch.cat([bounds[rows], values], 1), torch.cat([indices[rows], found + left], 1)
    bounds[rows], order = values.topk(bounds.shape[1], largest=False)
    indices[rows] = found.gather(1, order)


def _search_again(first: Points, second: Points, distances: Tensor) -> tuple[Tensor, Tensor]:
    """Exact nearest distances [n, count] and indices, given upper bounds `distances` of them."""
    best = torch.full_like(distances, torch.inf)
    indices = torch.zeros_like(distances, dtype=torch.int64)
    for tile in tiles(first, second):
        rows, columns = (tile.low <= distances[tile.rows, -1:].float()).nonzero(as_tuple=True)
        measured = torch.full_like(tile.low, torch.inf, dtype=torch.float64)
        pairs = rows + tile.rows.start, columns + tile.columns.start
        measured[rows, columns] = measure(first, second, *pairs)
        _keep_smallest(best, indices, tile.rows, measured, tile.columns.start)
    return best, indices

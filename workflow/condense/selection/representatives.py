"""What stands for a large class: its statistics, and representatives by seeded k-means, read in tiles."""

import numpy as np
import torch
from torch import Tensor

from condense.base.arithmetic import square_root
from condense.base.seeds import stream
from condense.selection.columns import Whole, typical_cost
from condense.selection.image_class import ImageClass
from condense.transport.partial import squared_distances

SAMPLE = 16  # images per representative, on which k-means is fitted
ROUNDS = 10  # of k-means
PAIRED = 2048  # images whose pairs give the median cost
BLOCK = 4096  # images whose distances are computed at a time


def represent(images: ImageClass, count: int) -> Whole:
    """Statistics of all images, and the means of `count` groups of them with their shares (fewer if empty).

    Groups are fitted on a seeded sample by k-means (Lloyd 1982) from drawn images; then every image joins the
    nearest. Everything is float64, so that neither the size of a tile nor threads decide about a group.
    """
    draws = stream("representatives", images.name)
    drawn = torch.randperm(len(images.paths), generator=draws)[: SAMPLE * count].numpy()
    sample = torch.from_numpy(images.read(np.sort(drawn))).double()
    shift = sample.mean(0)  # near the class mean, so that squares are small
    sample -= shift
    centres = k_means(sample, count, draws)
    groups, d = len(centres), sample.shape[1]
    counts, squares = sample.new_zeros(groups), sample.new_zeros(groups)
    sums, seconds = sample.new_zeros(groups, d), sample.new_zeros(d)
    for _, values in images.tiles():
        points = torch.from_numpy(values).double() - shift
        group = nearest(points, centres)
        counts.index_add_(0, group, torch.ones_like(points[:, 0]))
        squares.index_add_(0, group, points.square().sum(1))
        sums.index_add_(0, group, points)
        seconds += points.square().sum(0)
    n, mean = counts.sum(), sums.sum(0) / counts.sum()
    std = square_root(((seconds - n * mean.square()) / (n - 1)).clamp_min(torch.finfo(torch.float64).tiny))
    there = counts > 0
    counts, centres = counts[there], sums[there] / counts[there, None]
    spread = (squares[there] / counts - centres.square().sum(1)).clamp_min(0)
    typical = typical_cost(squared_distances(sample[:PAIRED])[None])[0]
    return Whole(mean + shift, std, centres + shift, spread, counts / n, typical)


def k_means(points: Tensor, count: int, draws: torch.Generator) -> Tensor:
    """Centres [at most count, d] of points [s, d], from drawn points; a centre without points stays."""
    centres = points[torch.randperm(len(points), generator=draws)[:count]]
    for _ in range(ROUNDS):
        group = nearest(points, centres)
        counts = torch.bincount(group, minlength=len(centres))
        sums = torch.zeros_like(centres).index_add_(0, group, points)
        centres = torch.where(counts[:, None] > 0, sums / counts[:, None].clamp_min(1), centres)
    return centres


def nearest(points: Tensor, centres: Tensor) -> Tensor:
    """Which of the centres [q, d] is nearest to each point [n, d]; of several the first."""
    squares = centres.square().sum(1)
    return torch.cat([(squares - 2 * some @ centres.T).argmin(1) for some in points.split(BLOCK)])

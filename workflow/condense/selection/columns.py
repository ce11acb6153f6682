"""What the images of a class are transported onto: all of them, or representatives of a large class."""

from typing import NamedTuple

import torch
from torch import Tensor

from condense.transport.partial import squared_distances


class Whole(NamedTuple):
    """A large class, of which an objective holds some images: its statistics, and what stands for it.

    Of each group of images the representative is the mean, and `spread` the mean squared distance from it, so
    that an image's cost to the representative is its mean cost to the images of the group.
    """

    mean: Tensor  # [d], of all images
    std: Tensor  # [d], of all images
    centres: Tensor  # [q, d]
    spread: Tensor  # [q]
    shares: Tensor  # [q], of the class's images, of sum 1
    typical: Tensor  # [], median cost between images of the class

    def cost(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Cost [1, k, q] of images [k, d], its median in the class [1], and shares of the columns [1, q]."""
        centres = self.centres - self.mean
        images = images - self.mean
        squares = images.square().sum(1)[:, None] + (centres.square().sum(1) + self.spread)
        cost = (squares - 2 * images @ centres.T).clamp_min_(0)
        return cost[None], self.typical[None], self.shares[None]


def own_cost(images: Tensor) -> tuple[Tensor, Tensor, None]:
    """Cost [classes, n, n] between the images [classes, n, d] of each class, and its median [classes].

    The columns have no shares: all are alike.
    """
    cost = squared_distances(images)
    return cost, typical_cost(cost), None


def typical_cost(cost: Tensor) -> Tensor:
    """Median cost between the images of each class; the mean where that is zero, one where all are equal."""
    above, beside = torch.triu_indices(*cost.shape[1:], offset=1, device=cost.device)
    if not len(above):
        return cost.new_ones(len(cost))
    pairs = cost[:, above, beside]
    typical = pairs.median(1).values
    typical = torch.where(typical > 0, typical, pairs.mean(1))
    return torch.where(typical > 0, typical, torch.ones_like(typical))

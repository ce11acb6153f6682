"""Sinkhorn's updates for problems that share all rows but one: "shared images + one candidate", for many.

One update of all problems is a matrix product with the shared rows and an elementwise product with the
candidates' own rows; nothing of size candidates x m x n exists. The rows of the kernel have sum one (see
`Transport`): that is the first row update. u are the scalings of the shared rows (the last is the dummy's, of
mass kappa - 1), w that of a candidate's own row. The column scalings are kappa/n * v, or kappa * share * v
where columns have shares of their own: the factor kappa/n is moved to the masses.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from condense.base.linear import matmul

Places = Tensor | slice  # of classes or images; a slice gathers nothing
EVERY = slice(None)


class Kernel(NamedTuple):
    """Rows of the images of each class, in one precision, and what belongs to their columns."""

    kernel: Tensor  # [classes, images, n]
    priced: Tensor  # [classes, images, n], the same times cost
    dummy: Tensor  # [classes, 1, n]
    shares: Tensor | None  # [classes, 1, n], of the columns, with mean 1; none where all are alike


class Extension:
    """Problems of classes [b] with the rows of shared images [b, m - 1] and one row of candidates [b, k].

    In every update a tensor of one column, u [b, m, 1] or v [b, 1, n], stands for k columns that are alike.
    """

    def __init__(
        self, kernel: Kernel, shared: Tensor, candidates: Places, capacity: float, classes: Places = EVERY
    ):
        self.common = torch.cat([take_rows(kernel.kernel, classes, shared), kernel.dummy[classes]], 1)
        self.own = take_rows(kernel.kernel, classes, candidates)
        self.common_priced = take_rows(kernel.priced, classes, shared)
        self.own_priced = take_rows(kernel.priced, classes, candidates)
        self.shares = None if kernel.shares is None else kernel.shares[classes]
        size = self.common.shape[1]
        self.share = capacity / self.common.shape[2]
        mass = self.common.new_full((size, 1), 1 / size)
        mass[-1] = capacity - 1
        self.goal, self.own_goal = mass / self.share, 1 / (size * self.share)
        self.start = mass.expand(len(self.common), size, 1), mass.new_tensor(1 / size).expand(1, 1, 1)
        self.v = torch.empty_like(self.own)

    def update_columns(self, u: Tensor, w: Tensor) -> Tensor:
        """v = share / (K^T u) [b, k, n], in place, over the shared rows with the dummy's, and the own one."""
        whole = u.shape[2] == self.own.shape[1]
        reach = matmul(u.transpose(1, 2), self.common, out=self.v if whole else None)
        torch.addcmul(reach, self.own, w, out=self.v)
        return self.v.reciprocal_() if self.shares is None else torch.div(self.shares, self.v, out=self.v)

    def reach(self, v: Tensor) -> tuple[Tensor, Tensor]:
        """K v of the shared rows [b, m, k] and of the own ones [b, k, 1]."""
        return matmul(v, self.common.transpose(1, 2)).transpose(1, 2), _dot(v, self.own)

    def update_rows(self, reach: Tensor, own_reach: Tensor) -> tuple[Tensor, Tensor]:
        """u and w = mass / (K v)."""
        return self.goal / reach, self.own_goal / own_reach

    def error(self, u: Tensor, w: Tensor, reach: Tensor, own_reach: Tensor) -> Tensor:
        """How far the row sums of each problem [b, k] are off in total; not finite out of range."""
        off = (u * reach - self.goal).abs().sum(1) + (w * own_reach - self.own_goal).abs()[..., 0]
        return self.share * off

    def cost(self, u: Tensor, w: Tensor, v: Tensor) -> Tensor:
        """Cost [b, k] of the plans."""
        if u.shape[2] == 1:
            spent = _dot(v, u[:, :-1].transpose(1, 2) @ self.common_priced)[..., 0]
        else:
            spent = (u[:, :-1] * matmul(self.common_priced, v.transpose(1, 2))).sum(1)
        return self.share * (spent + (w * _dot(v, self.own_priced))[..., 0])


def take_rows(matrices: Tensor, classes: Places, at: Places) -> Tensor:
    """Rows [b, k, ...] at indices [b, k], or at a slice, of the matrices [c, n, ...] of some classes [b]."""
    if isinstance(at, slice):
        return matrices[classes, at]
    if isinstance(classes, slice):
        classes = torch.arange(len(at), device=at.device)
    return matrices[classes[:, None], at]


def _dot(left: Tensor, right: Tensor) -> Tensor:
    """Row by row inner products of [c, b, n] tensors, as [c, b, 1]; one row stands for all of them."""
    if left.shape[1] == right.shape[1]:
        return (left * right).sum(2, keepdim=True)
    few, many = sorted((left, right), key=lambda rows: rows.shape[1])
    return many @ few.transpose(1, 2)

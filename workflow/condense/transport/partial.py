"""One-sided partial optimal transport of subsets onto their class (GADC sec. 3.2), solved by Sinkhorn.

A subset of m images, each with mass 1/m, is shipped whole onto the n images of its class, each of which takes
at most kappa/n. A dummy row of mass kappa - 1 and constant cost fills what is left. That constant cancels in
the linear programme and in every Sinkhorn step that updates rows first, so the dummy cost gamma * median(C)
has no effect and appears nowhere below: the dummy row has cost zero.

With K = exp(-C / epsilon), kappa the capacity, and v = 1 at first, an iteration updates rows, then columns:

    u = (1/m) / (K v)                                  each image ships its mass
    v = (kappa/n) / (K^T u + (kappa - 1) / sum(v))     each column fills up; the last term is the dummy row's

where the sum is over the v before the update. The cost is u^T (K * C) v.

`Transport.solve` is the definition: logarithms in float64, one [m, n] problem per subset. `Transport.extend`
is the fast form for "shared images + one candidate, for every candidate": the kernel rows of the shared
images are the same for all candidates, so that one iteration over all of them is two matrix products and one
elementwise product with the candidates' own rows; nothing of size candidates x m x n exists.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from condense.base.arithmetic import log_sum_exp, logarithm

MOST_ITERATIONS = 10_000  # of a solve to a tolerance
CHECK_EVERY = 10  # iterations between two checks of the marginals in a fast solve to a tolerance
NOISE = {torch.float32: 1e-5, torch.float64: 1e-13}  # marginal error that rounding alone can leave
# A kernel entry below FLOOR counts as zero, and a scaling pair above CEILING would make that wrong.
FLOOR = {torch.float32: 1e-37, torch.float64: 1e-300}
CEILING = {torch.float32: 1e29, torch.float64: 1e290}
Places = Tensor | slice  # of classes or images; a slice gathers nothing
EVERY = slice(None)


class Solution(NamedTuple):
    """Solved problems: cost [b], mass shipped by the subset [b], column potentials / epsilon [b, n]."""

    cost: Tensor
    mass: Tensor
    potential: Tensor


def squared_distances(features: Tensor) -> Tensor:
    """Squared Euclidean distances between the rows of [..., n, d] features, as [..., n, n]."""
    norms = features.square().sum(-1)
    cost = norms[..., :, None] + norms[..., None, :] - 2 * features @ features.transpose(-1, -2)
    cost.diagonal(dim1=-2, dim2=-1).zero_()
    return cost.clamp_min_(0)


def solve(
    cost: Tensor,
    epsilon: Tensor | float,
    capacity: float = 1.05,
    iterations: int = 20,
    tolerance: float | None = None,
) -> Solution:
    """Ship the m rows of each cost matrix [b, m, n] onto its n columns; entropic cost of the real rows.

    `epsilon` is in units of cost (one value, or one per problem). The loop ends on the column update, after
    `iterations`, or with a `tolerance` once the row sums are off by no more than that in total; problems of
    one batch do not influence each other.
    """
    rows, columns = cost.shape[-2:]
    scaled = cost / torch.as_tensor(epsilon, dtype=cost.dtype, device=cost.device).reshape(-1, 1, 1)
    mass = cost.new_full((rows + 1, 1), 1 / rows)
    mass[-1] = capacity - 1
    scaled = torch.cat([scaled, torch.zeros_like(scaled[:, :1])], 1)  # the dummy row
    share = logarithm(mass)
    g = torch.zeros_like(scaled[:, 0])
    f = None
    active = torch.ones(len(cost), 1, dtype=torch.bool, device=cost.device)
    for _ in range(iterations if tolerance is None else MOST_ITERATIONS):
        reach = log_sum_exp(g[:, None] - scaled, 2, keepdim=True)
        if tolerance is not None and f is not None:
            active = ((f + reach).exp() - mass).abs().sum(1) > tolerance
            if not active.any():
                break
        f = torch.where(active[..., None], share - reach, reach if f is None else f)
        g = torch.where(active, math.log(capacity / columns) - log_sum_exp(f - scaled, 1), g)
    shipped = (f + g[:, None] - scaled).exp_()[:, :-1]
    return Solution((shipped * cost).sum((1, 2)), shipped.sum((1, 2)), g)


class Transport:
    """Transport costs within a batch of classes of equal size, from their cost matrices [classes, n, n]."""

    def __init__(
        self,
        cost: Tensor,
        epsilon: Tensor,
        capacity: float = 1.05,
        iterations: int = 20,
        tolerance: float | None = None,
        precision: torch.dtype = torch.float32,
    ):
        """`cost` is float64, `epsilon` [classes] in its units; `precision` is the arithmetic of `extend`."""
        self.cost = cost
        self.epsilon = epsilon
        self.capacity = capacity
        self.iterations = iterations
        self.tolerance = tolerance
        self.precision = precision
        self.warm_start(torch.zeros_like(cost[:, 0]))

    def warm_start(self, potential: Tensor, classes: Tensor | None = None) -> None:
        """Start `extend` at column potentials / epsilon [b, n] of some classes [b], absorbed into the kernel.

        Only with a tolerance: the paper's fixed number of iterations starts at zero, which is then part of
        the objective's definition.
        """
        if classes is None or len(classes) == len(self.cost):
            self.potential = potential
            self.kernels = {}
            return
        self.potential[classes] = potential
        for precision, kernel in self.kernels.items():
            for whole, part in zip(kernel, self._absorbed(precision, classes), strict=True):
                whole[classes] = part

    def solve(self, classes: Tensor, subsets: Tensor) -> Solution:
        """Solve subsets [b, m] of the classes [b] one by one, by definition."""
        cost = self.cost[classes[:, None], subsets]
        return solve(cost, self.epsilon[classes], self.capacity, self.iterations, self.tolerance)

    def extend(self, shared: Tensor, candidates: Places, classes: Places = EVERY) -> Tensor:
        """Cost [b, k] of each class's shared images [b, m - 1] with each of its candidates.

        `candidates` are indices [b, k], or a slice for all alike; `classes` [b] are ascending, or every one.
        """
        cost, in_range = self._extend(shared, candidates, classes, self.precision)
        if in_range.all():
            return cost
        cost, in_range = self._extend(shared, candidates, classes, torch.float64)
        every, images = (torch.arange(count, device=shared.device) for count in self.cost.shape[:2])
        classes = every[classes]
        if isinstance(candidates, slice):
            candidates = images[candidates].expand(len(shared), -1)
        rows, offsets = (~in_range).nonzero(as_tuple=True)
        for some in torch.arange(len(rows), device=rows.device).split(32):
            where = (rows[some], offsets[some])
            subsets = torch.cat([shared[rows[some]], candidates[where][:, None]], 1)
            cost[where] = self.solve(classes[rows[some]], subsets).cost
        return cost

    def _kernel(self, precision: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
        """What `_absorbed` gives for all classes, kept until the next start."""
        if precision not in self.kernels:
            self.kernels[precision] = self._absorbed(precision, EVERY)
        return self.kernels[precision]

    def _absorbed(self, precision: torch.dtype, classes: Places) -> tuple[Tensor, Tensor, Tensor]:
        """Kernel with the first row update absorbed, the same times cost, and the dummy's row.

        Every row is a softmax, so that its first scaling is its mass, and none overflows at any C / epsilon.
        """
        cost, potential = self.cost[classes], self.potential[classes]
        kernel = torch.softmax(potential[:, None] - cost / self.epsilon[classes, None, None], 2)
        kernel.masked_fill_(kernel < FLOOR[precision], 0)  # also spares the processor denormal numbers
        dummy = torch.softmax(potential, 1)[:, None].to(precision)
        return kernel.to(precision), (kernel * cost).to(precision), dummy

    def _extend(
        self, shared: Tensor, candidates: Places, classes: Places, precision: torch.dtype
    ) -> tuple[Tensor, Tensor]:
        """Costs [classes, b] by the two updates of the module's docstring, and where they are in range.

        Rows of the kernel have sum one (see `_kernel`): that is the first row update. Then u are the scalings
        of the rows that all candidates share (the last is the dummy's, of mass kappa - 1), w that of a
        candidate's own row, and the column scalings are kappa/n * v: that factor is moved to the masses.
        """
        kernel, priced, dummy = self._kernel(precision)
        common = torch.cat([take_rows(kernel, classes, shared), dummy[classes]], 1)
        own = take_rows(kernel, classes, candidates)
        size = common.shape[1]
        share = self.capacity / kernel.shape[2]
        mass = common.new_full((size, 1), 1 / size)
        mass[-1] = self.capacity - 1
        u = mass.expand(len(common), size, own.shape[1])
        w = common.new_full((*own.shape[:2], 1), 1 / size)
        goal, own_goal = mass / share, 1 / (size * share)
        v = torch.empty_like(own)
        steps = 0
        most = MOST_ITERATIONS if self.tolerance else self.iterations
        while True:
            # v = 1 / (K^T u), over the shared rows with the dummy's, and the own one
            torch.bmm(u.transpose(1, 2), common, out=v)
            v.addcmul_(own, w).reciprocal_()
            steps += 1
            if steps == most:
                break
            reach = torch.bmm(common, v.transpose(1, 2))
            own_reach = _dot(v, own)
            if self.tolerance and steps % CHECK_EVERY == 0:
                error = (u * reach - goal).abs().sum(1) + (w * own_reach - own_goal).abs()[..., 0]
                if share * error.max() <= max(self.tolerance, NOISE[precision]):
                    break
            # u = mass / (K v)
            u = goal / reach
            w = own_goal / own_reach
        spent = torch.bmm(take_rows(priced, classes, shared), v.transpose(1, 2))
        own_spent = _dot(v, take_rows(priced, classes, candidates))
        cost = share * ((u[:, :-1] * spent).sum(1) + (w * own_spent)[..., 0])
        reached = torch.maximum(u.amax(1), w[..., 0]) * v.amax(2)
        return cost, torch.isfinite(cost) & (reached < CEILING[precision])


def take_rows(matrices: Tensor, classes: Places, at: Places) -> Tensor:
    """Rows [b, k, ...] at indices [b, k], or at a slice, of the matrices [c, n, ...] of some classes [b]."""
    if isinstance(at, slice):
        return matrices[classes, at]
    if isinstance(classes, slice):
        classes = torch.arange(len(at), device=at.device)
    return matrices[classes[:, None], at]


def _dot(left: Tensor, right: Tensor) -> Tensor:
    """Row by row inner products of two [c, b, n] tensors, as [c, b, 1]."""
    return torch.einsum("cbn,cbn->cb", left, right)[..., None]

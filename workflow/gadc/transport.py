"""One-sided partial optimal transport of subsets onto their class (GADC sec. 3.2), solved by Sinkhorn.

A subset of m images, each with mass 1/m, is shipped whole onto the n images of its class, each of which takes
at most kappa/n. A dummy row of mass kappa - 1 and constant cost fills what is left. That constant cancels in
the linear programme and in every Sinkhorn step that updates rows first, so the dummy cost gamma * median(C)
has no effect and appears nowhere below: the dummy row has cost zero.

`Transport.solve` is the definition: logarithms in float64, one [m, n] problem per subset. `Transport.extend`
is the fast form for "shared images + one candidate, for every candidate": the kernel rows of the shared
images are the same for all candidates, so that one iteration over all of them is two matrix products and one
elementwise product with the candidates' own rows; nothing of size candidates x m x n exists.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

MOST_ITERATIONS = 100_000  # of a solve to a tolerance
CHECK_EVERY = 10  # iterations between two looks at the marginals of a fast solve to a tolerance
# A kernel entry below FLOOR counts as zero, and a scaling pair above CEILING would make that wrong.
FLOOR = {torch.float32: 1e-37, torch.float64: 1e-300}
CEILING = {torch.float32: 1e29, torch.float64: 1e290}


class Plan(NamedTuple):
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
    start: Tensor | None = None,
) -> Plan:
    """Ship the m rows of each cost matrix [b, m, n] onto its n columns; entropic cost of the real rows.

    `epsilon` is in units of cost (one value, or one per problem). The loop ends on the column update, after
    `iterations`, or with a `tolerance` once the row sums are off by no more than that in total; problems of
    one batch do not influence each other. `start` are column potentials / epsilon, zero when none.
    """
    rows, columns = cost.shape[-2:]
    scaled = cost / torch.as_tensor(epsilon, dtype=cost.dtype, device=cost.device).reshape(-1, 1, 1)
    mass = cost.new_full((rows + 1, 1), 1 / rows)
    mass[-1] = capacity - 1
    scaled = torch.cat([scaled, torch.zeros_like(scaled[:, :1])], 1)  # the dummy row
    g = torch.zeros_like(scaled[:, 0]) if start is None else start
    f, active = None, torch.ones(len(cost), 1, dtype=torch.bool, device=cost.device)
    for _ in range(iterations if tolerance is None else MOST_ITERATIONS):
        reach = torch.logsumexp(g[:, None] - scaled, 2, keepdim=True)
        if tolerance is not None and f is not None:
            active = ((f + reach).exp() - mass).abs().sum(1) > tolerance
            if not active.any():
                break
        f = torch.where(active[..., None], mass.log() - reach, reach if f is None else f)
        g = torch.where(active, math.log(capacity / columns) - torch.logsumexp(f - scaled, 1), g)
    shipped = (f + g[:, None] - scaled).exp_()[:, :-1]
    return Plan((shipped * cost).sum((1, 2)), shipped.sum((1, 2)), g)


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
        self.cost, self.epsilon, self.capacity = cost, epsilon, capacity
        self.iterations, self.tolerance = iterations, tolerance
        self.precisions = [precision] if precision == torch.float64 else [precision, torch.float64]
        self.aim(torch.zeros_like(cost[:, 0]))

    def aim(self, potential: Tensor) -> None:
        """Absorb column potentials / epsilon [classes, n] into the kernel: the point where `extend` starts.

        With a fixed number of iterations that point is part of the objective's definition (zero, the paper's
        v = 1); with a tolerance it is only a warm start.
        """
        self.potential, self.kernels = potential, {}

    def solve(self, classes: Tensor, subsets: Tensor) -> Plan:
        """Solve subsets [b, m] of the classes [b] one by one, by definition."""
        return solve(
            self.cost[classes[:, None], subsets],
            self.epsilon[classes],
            self.capacity,
            self.iterations,
            self.tolerance,
            self.potential[classes],
        )

    def extend(self, shared: Tensor, block: slice) -> Tensor:
        """Cost [classes, block] of each class's shared images [classes, m - 1] with each image of a block."""
        for precision in self.precisions:
            cost, in_range = self._extend(shared, block, precision)
            if in_range.all():
                return cost
        classes, offsets = (~in_range).nonzero(as_tuple=True)
        for some in torch.arange(len(classes), device=classes.device).split(32):
            subsets = torch.cat([shared[classes[some]], block.start + offsets[some, None]], 1)
            cost[classes[some], offsets[some]] = self.solve(classes[some], subsets).cost
        return cost

    def _kernel(self, precision: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
        """Kernel with the first row update absorbed, the same times cost, and the dummy's row.

        Every row is a softmax, so that its first scaling is its mass, and none overflows at any C / epsilon.
        """
        if precision not in self.kernels:
            scaled = self.potential[:, None] - self.cost / self.epsilon[:, None, None]
            kernel = torch.softmax(scaled, 2)
            kernel.masked_fill_(kernel < FLOOR[precision], 0)  # also spares the processor denormal numbers
            dummy = torch.softmax(self.potential, 1)[:, None].to(precision)
            self.kernels[precision] = (kernel.to(precision), (kernel * self.cost).to(precision), dummy)
        return self.kernels[precision]

    def _extend(self, shared: Tensor, block: slice, precision: torch.dtype) -> tuple[Tensor, Tensor]:
        """Scale shared rows [c, m - 1] and the dummy's by u, each candidate's own row by w, columns by v."""
        kernel, priced, dummy = self._kernel(precision)
        every = torch.arange(len(kernel), device=kernel.device)[:, None]
        rows = torch.cat([kernel[every, shared], dummy], 1)  # [c, m, n]
        own, size, columns = kernel[:, block], rows.shape[1], kernel.shape[2]
        mass = rows.new_full((size,), 1 / size)
        mass[-1] = self.capacity - 1
        share = self.capacity / columns
        u = mass.expand(len(rows), own.shape[1], size)
        w = u.new_full((*own.shape[:2], 1), 1 / size)
        v, steps, turned = torch.empty_like(own), 0, rows.transpose(1, 2)
        while True:
            torch.mul(own, w, out=v)
            v.baddbmm_(u, rows).reciprocal_()  # v = 1 / (K' u); its share is applied below
            steps += 1
            if self.tolerance is None and steps == self.iterations:
                break
            reach, own_reach = torch.bmm(v, turned), _dot(v, own)
            if self.tolerance is not None and (steps % CHECK_EVERY == 0 or steps >= MOST_ITERATIONS):
                error = (u * reach * share - mass).abs().sum(2) + (w * own_reach * share - 1 / size).abs()[
                    ..., 0
                ]
                floor = 1e-5 if precision == torch.float32 else 0.0
                if steps >= MOST_ITERATIONS or not (error > max(self.tolerance, floor)).any():
                    break
            u, w = mass / (share * reach), 1 / (size * share * own_reach)
        priced_rows = priced[every, shared].transpose(1, 2)
        cost = (u[..., :-1] * torch.bmm(v, priced_rows)).sum(2) + (w * _dot(v, priced[:, block]))[..., 0]
        reached = torch.maximum(u.amax(2), w[..., 0]) * v.amax(2)
        return share * cost, torch.isfinite(cost) & (reached < CEILING[precision])


def _dot(left: Tensor, right: Tensor) -> Tensor:
    """Row by row inner products of two [c, b, n] tensors, as [c, b, 1]."""
    return torch.einsum("cbn,cbn->cb", left, right)[..., None]

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
is the fast form for "shared images + one candidate, for every candidate" (see `extension`).

The columns may be fewer than the images: representatives, each with its share of them. Then v is the same
for all images of a representative, and the sums over columns count it as often as it has images.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from condense.base.arithmetic import log_sum_exp, logarithm, square_root
from condense.transport.extension import EVERY, Extension, Kernel, Places

MOST_ITERATIONS = 10_000  # of a solve to a tolerance
CHECK_EVERY = 10  # iterations between two checks of the marginals in a fast solve to a tolerance
NOISE = {torch.float32: 1e-5, torch.float64: 1e-13}  # marginal error that rounding alone can leave
# A kernel entry below FLOOR counts as zero, and a scaling pair above CEILING would make that wrong.
FLOOR = {torch.float32: 1e-37, torch.float64: 1e-300}
CEILING = {torch.float32: 1e29, torch.float64: 1e290}


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
    shares: Tensor | None = None,
) -> Solution:
    """Ship the m rows of each cost matrix [b, m, n] onto its n columns; entropic cost of the real rows.

    `shares` [b, n] are those of the columns in the mass, of sum 1; all alike when none. `epsilon` is in units
    of cost (one value, or one per problem). The loop ends on the column update, after `iterations`, or with a
    `tolerance` once the row sums are off by no more than that in total; problems of one batch do not
    influence each other.
    """
    rows, columns = cost.shape[-2:]
    scaled = cost / torch.as_tensor(epsilon, dtype=cost.dtype, device=cost.device).reshape(-1, 1, 1)
    mass = cost.new_full((rows + 1, 1), 1 / rows)
    mass[-1] = capacity - 1
    scaled = torch.cat([scaled, torch.zeros_like(scaled[:, :1])], 1)  # the dummy row
    share = logarithm(mass)
    each = math.log(capacity / columns)
    g = torch.zeros_like(scaled[:, 0])
    if shares is not None:
        each = math.log(capacity) + logarithm(shares)
        g = logarithm(shares * columns)
    f = None
    active = torch.ones(len(cost), 1, dtype=torch.bool, device=cost.device)
    for _ in range(iterations if tolerance is None else MOST_ITERATIONS):
        reach = log_sum_exp(g[:, None] - scaled, 2, keepdim=True)
        if tolerance is not None and f is not None:
            active = ((f + reach).exp() - mass).abs().sum(1) > tolerance
            if not active.any():
                break
        f = torch.where(active[..., None], share - reach, reach if f is None else f)
        g = torch.where(active, each - log_sum_exp(f - scaled, 1), g)
    shipped = (f + g[:, None] - scaled).exp_()[:, :-1]
    return Solution((shipped * cost).sum((1, 2)), shipped.sum((1, 2)), g)


class Transport:
    """Transport costs of images of a batch of classes of equal size, from cost matrices [classes, images, n].

    The columns are the n images of a class themselves, or representatives with `shares` [classes, n] of them.
    """

    def __init__(
        self,
        cost: Tensor,
        epsilon: Tensor,
        capacity: float = 1.05,
        iterations: int = 20,
        tolerance: float | None = None,
        precision: torch.dtype = torch.float32,
        shares: Tensor | None = None,
    ):
        """`cost` is float64, `epsilon` [classes] in its units; `precision` is the arithmetic of `extend`."""
        self.cost = cost
        self.epsilon = epsilon
        self.capacity = capacity
        self.iterations = iterations
        self.tolerance = tolerance
        self.precision = precision
        self.shares = shares
        self.warm_start(
            torch.zeros_like(cost[:, 0]) if shares is None else logarithm(self._relative_shares())
        )

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
            for whole, part in zip(kernel[:3], self._absorbed(precision, classes)[:3], strict=True):
                whole[classes] = part

    def solve(self, classes: Tensor, subsets: Tensor) -> Solution:
        """Solve subsets [b, m] of the classes [b] one by one, by definition."""
        cost = self.cost[classes[:, None], subsets]
        shares = None if self.shares is None else self.shares[classes]
        return solve(cost, self.epsilon[classes], self.capacity, self.iterations, self.tolerance, shares)

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

    def kernel(self, precision: torch.dtype) -> Kernel:
        """Kernel with the first row update absorbed, kept until the next start."""
        if precision not in self.kernels:
            self.kernels[precision] = self._absorbed(precision, EVERY)
        return self.kernels[precision]

    def _absorbed(self, precision: torch.dtype, classes: Places) -> Kernel:
        """Kernel of some classes.

        Every row is a softmax, so that its first scaling is its mass, and none overflows at any C / epsilon.
        """
        cost, potential = self.cost[classes], self.potential[classes]
        kernel = torch.softmax(potential[:, None] - cost / self.epsilon[classes, None, None], 2)
        kernel.masked_fill_(kernel < FLOOR[precision], 0)  # also spares the processor denormal numbers
        dummy = torch.softmax(potential, 1)[:, None].to(precision)
        shares = None if self.shares is None else self._relative_shares()[classes, None].to(precision)
        return Kernel(kernel.to(precision), (kernel * cost).to(precision), dummy, shares)

    def _relative_shares(self) -> Tensor:
        """Shares of the columns [classes, n], with mean 1."""
        return self.shares * self.shares.shape[1]

    def _extend(
        self, shared: Tensor, candidates: Places, classes: Places, precision: torch.dtype
    ) -> tuple[Tensor, Tensor]:
        """Costs [classes, b] by the two updates of the module's docstring, and where they are in range."""
        problems = Extension(self.kernel(precision), shared, candidates, self.capacity, classes)
        before = u, w = problems.start
        most = MOST_ITERATIONS if self.tolerance else self.iterations
        for step in range(1, most + 1):
            v = problems.update_columns(u, w)
            if step == most:
                break
            reached = problems.reach(v)
            if self.tolerance and step % CHECK_EVERY == 0:
                waiting = problems.error(u, w, *reached) > max(self.tolerance, NOISE[self.precision])
                # a problem that left the range has no end; of float32, all are solved again then
                inside = _in_range(u, w, v)
                if not (waiting & inside).any() or (precision != torch.float64 and not inside.all()):
                    break
            updated = problems.update_rows(*reached)
            if self.tolerance and step > CHECK_EVERY:
                updated = [_extrapolate(new, old) for new, old in zip(updated, before, strict=True)]
            before, (u, w) = (u, w), updated
        cost = problems.cost(u, w, v)
        return cost, torch.isfinite(cost) & _in_range(u, w, v)


def _extrapolate(updated: Tensor, before: Tensor) -> Tensor:
    """Scalings after an update, over-relaxed by the two steps that led there: x^(3/2) / before^(1/2).

    That is 1.5 times the step in the logarithms, and half of the one before (Polyak's momentum): the fixed
    point is Sinkhorn's, in a third of the iterations.
    """
    return updated * square_root(updated / before.clamp_min(FLOOR[before.dtype]))


def _in_range(u: Tensor, w: Tensor, v: Tensor) -> Tensor:
    """Whether the scalings of each problem [b, k] leave no kernel entry that counts as zero but is none."""
    return torch.maximum(u.amax(1), w[..., 0]) * v.amax(2) < CEILING[v.dtype]

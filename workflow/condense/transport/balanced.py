"""Balanced entropic optimal transport of points onto points, many problems at a time, in the log domain.

A problem ships n rows of equal mass onto m columns of given masses b. The plan P minimises

    <P, C> + epsilon KL(P | (1/n) b')                                                         (Cuturi 2013)

and P = exp(f + g - C / epsilon), whose potentials f and g Sinkhorn's iteration finds:

    f = log(1/n) - logsumexp_j(g - C / epsilon)         each row ships its mass
    g = log b    - logsumexp_i(f - C / epsilon)         each column fills up

By the envelope theorem the gradient of that minimum with respect to C is P itself: no iteration is
differentiated. Problems of one batch do not influence each other.
"""

import math
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from condense.base.arithmetic import log_sum_exp, logarithm

MOST_ITERATIONS = 10_000  # of a solve to a tolerance
Cost = Literal["l1", "squared", "sphere"]


class Coupling(NamedTuple):
    """Solved problems: plans [b, n, m], minima [b], column potentials [b, m] in units of cost."""

    plan: Tensor
    value: Tensor
    potential: Tensor


def costs(x: Tensor, y: Tensor, kind: Cost) -> Tensor:
    """Costs [b, n, m] of points x [b, n, d] and y [b, m, d]; differentiable in both.

    `l1` is the mean absolute difference of coordinates, `squared` the mean squared one, `sphere` the
    Euclidean distance of the points' directions.
    """
    if kind == "l1":
        return torch.cdist(x, y, p=1) / x.shape[-1]
    if kind == "squared":
        return distances(x, y).square() / x.shape[-1]
    return distances(_directions(x), _directions(y))


def distances(x: Tensor, y: Tensor) -> Tensor:
    """Euclidean distances [b, n, m], without the cancellation of the expanded square."""
    return torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")


def _directions(points: Tensor) -> Tensor:
    """Points on the unit sphere; the origin stays where it is."""
    length = points.norm(dim=-1, keepdim=True)
    return points / torch.where(length > 0, length, 1)


def couple(
    cost: Tensor,
    epsilon: Tensor,
    masses: Tensor | None = None,
    iterations: int = MOST_ITERATIONS,
    tolerance: float | None = 1e-6,
    start: Tensor | None = None,
) -> Coupling:
    """Plans of costs [b, n, m], each with its epsilon [b] in units of cost; all of it can be differentiated.

    The loop ends on the column update: after `iterations`, or for each problem as soon as its row sums are
    off by no more than `tolerance` in total. `masses` [b, m] are those of the columns, of sum 1, all alike
    when none; `start` are potentials [b, m] from which it begins, in units of cost, zero when none.
    """
    rows, columns = cost.shape[1:]
    scaled = cost / epsilon[:, None, None]
    share = cost.new_full((len(cost), columns), 1 / columns) if masses is None else masses
    each = logarithm(share)
    g = torch.zeros_like(each) if start is None else start / epsilon[:, None]
    f, active = None, torch.ones_like(each[:, :1], dtype=torch.bool)
    for _ in range(iterations):
        reach = log_sum_exp(g[:, None] - scaled, 2)
        if tolerance is not None and f is not None:
            active = ((f + reach).detach().exp() - 1 / rows).abs().sum(1, keepdim=True) > tolerance
            if not active.any():
                break
        f = torch.where(active, -math.log(rows) - reach, reach if f is None else f)
        g = torch.where(active, each - log_sum_exp(f[..., None] - scaled, 1), g)
    logarithms = f[..., None] + g[:, None] - scaled
    plan = logarithms.exp()
    # relative to the product of the marginals; columns of no mass are shipped nothing
    excess = torch.where(plan > 0, logarithms - each[:, None], 0) + math.log(rows)
    divergence = (plan * excess - plan).sum((1, 2)) + 1
    value = (plan * cost).sum((1, 2)) + epsilon * divergence
    return Coupling(plan, value, torch.where(share > 0, g, 0) * epsilon[:, None])


def transport(
    cost: Tensor,
    epsilon: Tensor,
    masses: Tensor | None = None,
    iterations: int = MOST_ITERATIONS,
    tolerance: float | None = 1e-6,
    start: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Minima [b] whose gradient with respect to the costs [b, n, m] is the plan, and potentials [b, m].

    Arguments as those of `couple`; no iteration is differentiated.
    """
    with torch.no_grad():
        solved = couple(cost, epsilon, masses, iterations, tolerance, start)
    gradient = (solved.plan * (cost - cost.detach())).sum((1, 2))
    return solved.value + gradient, solved.potential


def transport_unrolled(
    cost: Tensor,
    epsilon: Tensor,
    masses: Tensor | None = None,
    iterations: int = MOST_ITERATIONS,
    tolerance: float | None = 1e-6,
    start: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Linear costs <P, C> [b] of the plans, differentiated through all iterations, and potentials [b, m]."""
    solved = couple(cost, epsilon, masses, iterations, tolerance, start)
    return (solved.plan * cost).sum((1, 2)), solved.potential.detach()

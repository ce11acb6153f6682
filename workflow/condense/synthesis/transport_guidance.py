"""Guidance by optimal transport: of the finished latents and the current one to real latents of the class.

Of OT-DD the notes know G_W(z_t), the entropic transport (Sinkhorn, L1 cost) between the finished latents plus
the current one and a batch of real ones; what they leave open is a setting. DMGD, whose code is public, is
one choice of these settings.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Generator, Tensor

from condense.base.seeds import stream
from condense.config.guidance import TransportGuided
from condense.synthesis.chain import Target
from condense.synthesis.given import Given
from condense.synthesis.guides import Move, Point, to_unit
from condense.transport.balanced import MOST_ITERATIONS, costs, distances, transport, transport_unrolled

LLOYD = 50  # iterations of k-means at most


@dataclass(frozen=True)
class Support:
    """Points [m, d] that stand for the real latents of a class, with masses [m] of sum 1."""

    points: Tensor
    masses: Tensor


class TransportGuide:
    """Towards a set of latents that lies as the real ones do."""

    def __init__(self, settings: TransportGuided, given: Given) -> None:
        self.settings, self.given = settings, given
        self.window = settings.transport_window or settings.window
        self.supports: dict[str, Support] = {}

    def start(self, targets: Sequence[Target], number: int, finished: Tensor) -> Move | None:
        """Moves; none of images before the first that it guides."""
        if number + 1 < self.settings.transport_from:
            return None
        supports = [self._support(target, number) for target in targets]
        places = sorted(range(len(targets)), key=lambda place: len(supports[place].masses))
        problems = []
        for _, alike in groupby(places, key=lambda place: len(supports[place].masses)):
            some = [*alike]
            problem = Problem([supports[place] for place in some], finished[some].flatten(2), self.settings)
            problems.append((some, problem))
        return lambda point: self._move(point, problems)

    def _move(self, point: Point, problems: list[tuple[list[int], "Problem"]]) -> Tensor:
        settings = self.settings
        # ASSUME: the gradient is that by the point which is transported, at whatever noise it is
        current = point.clean[:, 0].detach() if settings.transport_point == "estimate" else point.x
        gradient = torch.zeros_like(current)
        for places, problem in problems:
            gradient[places] = problem.gradient(current[places].flatten(1)).view_as(current[places])
        if settings.transport_unit == "relative":
            return settings.transport_weight * point.noise * to_unit(gradient)
        scale = point.sigma if settings.transport_unit == "sigma" else 1
        return settings.transport_weight * scale * gradient

    def _support(self, target: Target, number: int) -> Support:
        """Real latents of a class; drawn anew for each image where the settings say so."""
        if self.settings.support == "redrawn":
            draws = stream("transport support", self.settings.seed, target.name, number)
            return support(self._real(target), self.settings, draws)
        if target.name not in self.supports:
            draws = stream("transport support", self.settings.seed, target.name)
            self.supports[target.name] = support(self._real(target), self.settings, draws)
        return self.supports[target.name]

    def _real(self, target: Target) -> Tensor:
        return self.given.real(target.index)[0].flatten(1)


class Problem:
    """Transport for classes with equally many real latents, along one chain of each.

    What is finished costs the same in every step; potentials begin where those of the step before ended, but
    for a fixed number of iterations, of which the start is a part.
    """

    def __init__(self, supports: Sequence[Support], finished: Tensor, settings: TransportGuided) -> None:
        self.settings, self.finished = settings, finished  # [b, n - 1, d]
        self.real = torch.stack([one.points for one in supports])
        self.masses = torch.stack([one.masses for one in supports]).double()
        self.known = costs(finished, self.real, settings.cost)
        self.potential: Tensor | None = None

    def gradient(self, current: Tensor) -> Tensor:
        """Gradient [b, d] by the current points [b, d]."""
        leaf = current.detach().requires_grad_()
        value = self._value(leaf[:, None])
        return torch.autograd.grad(value.sum(), leaf)[0]

    def _value(self, current: Tensor) -> Tensor:
        """What is minimised [b], for current points [b, 1, d]."""
        settings = self.settings
        # float64, of which rounding leaves the marginals exact enough to see that they have converged
        cost = torch.cat([self.known, costs(current, self.real, settings.cost)], 1).double()
        epsilon = settings.epsilon * (_mean(cost) if settings.epsilon_unit == "mean" else _ones(cost))
        solve = transport_unrolled if settings.transport_gradient == "unrolled" else transport
        most, tolerance = settings.transport_iterations or MOST_ITERATIONS, 1e-6
        if settings.transport_iterations:
            tolerance, self.potential = None, None
        value, self.potential = solve(cost, epsilon, self.masses, most, tolerance, self.potential)
        if settings.transport_gradient != "debiased":
            return value
        every = torch.cat([self.finished, current], 1)
        own, _ = transport(costs(every, every, settings.cost).double(), epsilon, None, most, tolerance)
        return value - own / 2


def _mean(cost: Tensor) -> Tensor:
    """Mean cost [b]; 1 where all points coincide."""
    mean = cost.detach().mean((1, 2))
    return torch.where(mean > 0, mean, 1)


def _ones(cost: Tensor) -> Tensor:
    return cost.new_ones(len(cost))


def support(real: Tensor, settings: TransportGuided, draws: Generator) -> Support:
    """What stands for real latents [n, d]: all that there are where they are fewer than asked for."""
    count = min(settings.support_size, len(real))
    if settings.support == "k-means":
        return Support(*k_means(real, count, draws))
    if settings.support != "all":
        real = real[torch.randperm(len(real), generator=draws)[:count].sort().values.to(real.device)]
    return Support(real, torch.full_like(real[:, 0], 1 / len(real)))


def k_means(points: Tensor, count: int, draws: Generator) -> tuple[Tensor, Tensor]:
    """Centres [count, d] of points [n, d] by Lloyd's iteration from drawn points, and their shares of them.

    A centre that loses all its points stays where it is, with no share.
    """
    centres = points[torch.randperm(len(points), generator=draws)[:count].to(points.device)]
    nearest = None
    for _ in range(LLOYD):
        found = distances(points[None], centres[None])[0].argmin(1)
        if nearest is not None and torch.equal(found, nearest):
            break
        nearest = found
        members = [points[nearest == number] for number in range(count)]
        centres = torch.stack(
            [own.mean(0) if len(own) else old for own, old in zip(members, centres, strict=True)]
        )
    return centres, torch.bincount(nearest, minlength=count).to(points) / len(points)

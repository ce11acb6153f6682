"""Noise optimisation (DsCo): step noises of a class's samples, moved together so that their features spread.

At a step of a guided chain, sample = mean + deviation * noise. The noise alone is free: its losses keep it as
long as normal noise is, and bring the features of the noisy samples to where those of the class's real
latents are, or of plain samples. All tensors have the k classes that are treated at once in front.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from condense.synthesis.projector import Projector

SMALLEST = 1e-12  # variance below which a deviation has no gradient

Penalty = Callable[[Tensor], Tensor]  # noisy samples [k, n, c, h, w] -> weighted loss [k]


def absn2(x: Tensor) -> Tensor:
    """|x| + x^2 of each element, with derivative 0 at 0."""
    return x.abs() + x.square()


def norm_loss(noise: Tensor) -> Tensor:
    """L_real [k]: how far the norms of noises [k, n, ...] are from that of normal noise, sqrt(D)."""
    flat = noise.flatten(2)
    return absn2(flat.norm(dim=2) - math.sqrt(flat.shape[2])).sum(1)


@dataclass(frozen=True)
class AlignmentLoss:
    """L_align with real data: sorted features of the samples against targets, weight * n * sum of absn2.

    Attributes:
        projector: Projector of the k classes.
        mean: Mean of the features of the class's diffused latents, [k, 1, J].
        deviation: Their biased standard deviation, [k, 1, J].
        targets: What the n sorted standardised features are to be, [k, n, J].
        weight: Lambda.
    """

    projector: Projector
    mean: Tensor
    deviation: Tensor
    targets: Tensor
    weight: float

    def __call__(self, x: Tensor) -> Tensor:
        """Weighted loss [k] of samples [k, n, c, h, w]."""
        return self.weight * x.shape[1] * self.distance(x)

    def distance(self, x: Tensor) -> Tensor:
        """Sum of absn2 [k] before the weights."""
        features = (self.projector.pooled(x) - self.mean) / self.deviation
        return absn2(features.sort(dim=1).values - self.targets).sum((1, 2))


class Spread(NamedTuple):
    """Losses [k] of samples without real data, before their weights."""

    occupation: Tensor  # summed cosine of each sample to its nearest other one
    mean: Tensor
    deviation: Tensor


@dataclass(frozen=True)
class TemplateLoss:
    """L_align without real data: samples apart from each other, with the statistics of plain samples.

    Attributes:
        projector: Projector of the k classes, or one for all.
        mean: Mean of the features of plain samples over samples and positions, [k, J].
        deviation: Their biased standard deviation, [k, J].
        weights: Of occupation, mean and deviation.
    """

    projector: Projector
    mean: Tensor
    deviation: Tensor
    weights: tuple[float, float, float]

    def __call__(self, x: Tensor) -> Tensor:
        """Weighted loss [k] of samples [k, n, c, h, w]."""
        terms = zip(self.weights, self.terms(x), strict=True)
        return sum(weight * term for weight, term in terms)

    def terms(self, x: Tensor) -> Spread:
        """The three losses.

        RELEASE: those of the statistics carry the number of positions of the features, which eq. 27 lacks.
        """
        features = self.projector(x)
        ours = features - self.mean[:, None, :, None, None]
        ours = ours / self.deviation[:, None, :, None, None]
        means, deviations = statistics(ours)
        positions = ours.shape[-2:].numel()
        return Spread(
            nearest_cosines(ours.flatten(2)),
            positions * absn2(means).sum(1),
            positions * absn2(deviations - 1).sum(1),
        )


def nearest_cosines(features: Tensor) -> Tensor:
    """Sum [k] over n samples of the cosine of features [k, n, d] to the nearest other; 0 of one sample."""
    if features.shape[1] == 1:
        return features.sum((1, 2)) * 0
    unit = F.normalize(features, dim=2)
    cosines = unit @ unit.transpose(1, 2)
    itself = torch.eye(features.shape[1], dtype=torch.bool, device=features.device)
    return cosines.masked_fill(itself, -math.inf).amax(2).sum(1)


def statistics(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and biased deviation [k, J] of features [k, n, J, p, q] over samples and positions."""
    mean = features.mean((1, 3, 4))
    variance = (features - mean[:, None, :, None, None]).square().mean((1, 3, 4))
    return mean, square_root(variance)


def square_root(variance: Tensor) -> Tensor:
    """Deviation of a variance, with no gradient where it is none; the same on every processor."""
    return variance.clamp(min=SMALLEST).rsqrt().reciprocal()


class Descent(NamedTuple):
    """How the noise is moved; the defaults are the release's."""

    iterations: int = 200
    learning_rate: float = 0.1
    momentum: float = 0.9
    keep_norm: bool = True  # the term L_real; in the mode `fast` the noise stays on the sphere
    mode: Literal["released", "fast"] = "released"
    passes: int = 25  # of the projector, in the mode `fast`


def optimise_noise(
    mean: Tensor, deviation: Tensor, noise: Tensor, penalty: Penalty | None, descent: Descent
) -> Tensor:
    """Noise [k, n, c, h, w] moved so that samples mean + deviation * noise have a lower loss.

    Nothing but the noise is differentiated. Classes are independent; together or apart they differ by
    the last bits of float arithmetic.
    """
    walk = _walk if descent.mode == "released" else _walk_on_sphere
    with torch.enable_grad():
        return walk(lambda free: mean + deviation * free, noise, penalty, descent).detach()


def _walk(
    place: Callable[[Tensor], Tensor], noise: Tensor, penalty: Penalty | None, descent: Descent
) -> Tensor:
    """Gradient descent with momentum on all the losses."""
    noise, velocity = noise.clone(), torch.zeros_like(noise)
    for _ in range(descent.iterations):
        noise.requires_grad_()
        loss = norm_loss(noise).sum() if descent.keep_norm else 0 * noise.sum()
        if penalty:
            loss = loss + penalty(place(noise)).sum()
        (gradient,) = torch.autograd.grad(loss, noise)
        velocity.mul_(descent.momentum).add_(gradient)
        noise = noise.detach().sub_(velocity, alpha=descent.learning_rate)
    return noise


def _walk_on_sphere(
    place: Callable[[Tensor], Tensor], noise: Tensor, penalty: Penalty | None, descent: Descent
) -> Tensor:
    """The same descent with its gradient renewed `passes` times, on the sphere that L_real leads to.

    Between two renewals the gradient is held: what momentum makes of it in `block` iterations is a sum that
    is known. The gradient is small against what would make the iteration unstable, so little changes.
    """
    confine = _to_sphere if descent.keep_norm else (lambda noise: noise)
    noise, velocity = confine(noise), torch.zeros_like(noise)
    block, rest = descent.iterations / descent.passes, 1 - descent.momentum
    left = descent.momentum**block  # share of the velocity that is left after a block
    carried = descent.momentum * (1 - left) / rest  # iterations that it moves the noise for
    for _ in range(descent.passes if penalty else 0):
        noise.requires_grad_()
        (gradient,) = torch.autograd.grad(penalty(place(noise)).sum(), noise)
        noise = noise.detach()
        if descent.keep_norm:
            gradient, velocity = _along_sphere(gradient, noise), _along_sphere(velocity, noise)
        move = carried * velocity + (block - carried) / rest * gradient
        velocity = left * velocity + (1 - left) / rest * gradient
        noise = confine(noise - descent.learning_rate * move)
    return noise


def _to_sphere(noise: Tensor) -> Tensor:
    """Noises [k, n, c, h, w] of norm sqrt(D)."""
    size = noise[0, 0].numel()
    return noise * (math.sqrt(size) / noise.flatten(2).norm(dim=2))[..., None, None, None]


def _along_sphere(vector: Tensor, noise: Tensor) -> Tensor:
    """Part of vectors that leaves the norm of the noises as it is."""
    share = (vector * noise).flatten(2).sum(2) / noise.flatten(2).square().sum(2)
    return vector - share[..., None, None, None] * noise

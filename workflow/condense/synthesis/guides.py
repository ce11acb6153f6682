"""What guides a step of a chain: a guide starts with each image, and gives a move at each guided step.

The move is taken from the plain step's result. An image's move depends on nothing of the other images of the
batch, whose bits on a CPU are those of any batch.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from condense.config.guidance import OFFICIAL, Guiding
from condense.diffusion import adm
from condense.synthesis.chain import Chain, Target
from condense.synthesis.influence import Surrogate, deviation


@dataclass(frozen=True)
class Point:
    """A step of a batch of chains.

    Attributes:
        step: Of the schedule.
        x: Noisy latents [b, c, h, w].
        predicted: Guided noise in them [b, c, h, w].
        clean: Estimates of their images [b, views, c, h, w], connected with `leaf`; the second view, if any,
            is that of the ghost.
        leaf: A copy of `x` that can be differentiated by.
        sigma: Deviation of the step [b, c, h, w].
    """

    step: adm.Step
    x: Tensor
    predicted: Tensor
    clean: Tensor
    leaf: Tensor
    sigma: Tensor

    @property
    def noise(self) -> float:
        """Deviation of the noise in x."""
        return math.sqrt(1 - self.step.cumulative)

    def pull(self, gradient: Tensor, through: str) -> Tensor:
        """Gradient by x of what has this gradient by `clean`: through the network, or at constant noise."""
        if through == "network":
            return torch.autograd.grad(self.clean, self.leaf, gradient)[0]
        return gradient[:, 0] / math.sqrt(self.step.cumulative)


Move = Callable[[Point], Tensor]  # [b, c, h, w]


class Guide(Protocol):
    """Something that guides images, at times of its window alone."""

    window: tuple[int, int]

    def start(self, targets: Sequence[Target], number: int, finished: Tensor) -> Move | None:
        """Moves of image `number` of each class, after its `finished` latents [b, number, c, h, w]."""


class Influence:
    """Towards the gradients of real images (IGD); the move has a set RMS, whatever the gradient's size."""

    def __init__(self, chain: Chain, surrogate: Surrogate, labels: dict[str, int], settings: Guiding) -> None:
        self.chain, self.surrogate, self.labels, self.settings = chain, surrogate, labels, settings
        self.window = settings.window

    def start(self, targets: Sequence[Target], number: int, finished: Tensor) -> Move | None:
        """Moves; they do not depend on finished latents."""
        labels = torch.tensor([self.labels[target.name] for target in targets], device=self.chain.device)
        return lambda point: self._move(point, labels)

    def _move(self, point: Point, labels: Tensor) -> Tensor:
        clean = point.clean.detach().requires_grad_()
        # one by one: a decoder's bits may depend on the size of its batch
        images = torch.cat([self.chain.decode(one) for one in clean.flatten(0, 1).split(1)])
        images = images.unflatten(0, clean.shape[:2])
        _, gradient = self.surrogate.influence(images.detach(), labels)
        (gradient,) = torch.autograd.grad(images, clean, gradient)
        gradient = point.pull(gradient, self.settings.influence_through)
        size = self.settings.influence_weight * self.settings.influence_size * point.noise
        return size * rms(point.predicted) * to_unit(gradient)


class Deviation:
    """Away from the nearest finished latent of the class (IGD)."""

    def __init__(self, settings: Guiding) -> None:
        self.settings = settings
        self.window = settings.window

    def start(self, targets: Sequence[Target], number: int, finished: Tensor) -> Move | None:
        """Moves; none of the first image."""
        if not number:
            return None
        weight = self.settings.deviation_weight
        if self.settings.deviation_unit == "scaled":
            weight *= finished[0, 0].numel() / OFFICIAL
        kept = finished[:, -self.settings.memory :]

        def move(point: Point) -> Tensor:
            # RELEASE: the noisy latent against clean ones
            x = point.x.detach().requires_grad_()
            return weight * torch.autograd.grad(deviation(x, kept).sum(), x)[0]

        return move


def rms(values: Tensor) -> Tensor:
    """Root mean square [b, 1, 1, 1] of values [b, c, h, w]."""
    return values.square().mean((1, 2, 3), keepdim=True).sqrt()


def to_unit(gradient: Tensor) -> Tensor:
    """Gradients [b, c, h, w] brought to RMS 1; a zero one stays zero."""
    largest = gradient.abs().amax((1, 2, 3), keepdim=True)
    scaled = gradient / torch.where(largest == 0, 1, largest)  # squares of tiny ones would vanish
    size = rms(scaled)
    return scaled / torch.where(size == 0, 1, size)

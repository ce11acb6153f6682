"""Random convolutional projector: features of latents by a grouped network that is never trained (DsCo).

A convolution 3x3 to 16 g channels, then 4x4 with stride 2 and g groups to 32 g, 64 g and 128 g, leaky
rectifiers between, none at the end. Several classes, each with its own weights,
are more groups of the same network.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from condense.base.errors import InputError

WIDTHS = (16, 32, 64, 128)  # channels after each layer, of one group
WINDOW = 4 * 4  # positions that the last kernel sees
SLOPE = 0.01  # of the leaky rectifiers
LEAST_SIDE = 8  # of latents, in pixels: three halvings leave one


@dataclass(frozen=True)
class Projector:
    """Projectors of k classes, or one that all classes share.

    Attributes:
        weights: Kernel of each layer, [k x outputs, inputs of a group, s, s].
        biases: Bias of each layer, [k x outputs].
        groups: Groups of each layer but the first, of one class.
        classes: k, the number of classes with weights of their own; 1 serves any number.
        averaging: Last kernels that have the mean over positions in them, by the size of what they see.
    """

    weights: tuple[Tensor, ...]
    biases: tuple[Tensor, ...]
    groups: int
    classes: int = 1
    averaging: dict[tuple[int, int], Tensor] = field(default_factory=dict, init=False, repr=False)

    @classmethod
    def draw(cls, channels: int, groups: int, generator: Generator) -> "Projector":
        """Projector of one class as PyTorch initialises convolutions: uniform, within 1 / sqrt(inputs)."""
        weights, biases = [], []
        outputs = [width * groups for width in WIDTHS]
        inputs = [channels, *(width // groups for width in outputs[:-1])]
        for number, (into, out) in enumerate(zip(inputs, outputs, strict=True)):
            side = 4 if number else 3
            bound = 1 / math.sqrt(into * side**2)
            weights.append(_uniform((out, into, side, side), bound, generator))
            biases.append(_uniform((out,), bound, generator))
        return cls(tuple(weights), tuple(biases), groups)

    @classmethod
    def stack(cls, projectors: Sequence["Projector"]) -> "Projector":
        """One projector of many classes, in order, from those of one class each."""
        weights = zip(*(one.weights for one in projectors), strict=True)
        biases = zip(*(one.biases for one in projectors), strict=True)
        joined = (tuple(torch.cat(layer) for layer in layers) for layers in (weights, biases))
        return cls(*joined, projectors[0].groups, len(projectors))

    @property
    def channels(self) -> int:
        """Channels J of the features."""
        return len(self.biases[-1]) // self.classes

    def to(self, like: Tensor) -> "Projector":
        """Copy with the weights in the type and on the device of a tensor."""
        weights, biases = (tuple(x.to(like) for x in layers) for layers in (self.weights, self.biases))
        return Projector(weights, biases, self.groups, self.classes)

    def __call__(self, x: Tensor) -> Tensor:
        """Features [k, n, J, p, q] of latents [k, n, c, h, w].

        Raises InputError for latents that are too small.
        """
        hidden = self._hidden(x)
        if max(hidden.shape[-2:]) < 4:  # one position, which is the mean
            return self._mean(hidden, len(x))[..., None, None]
        weight, bias = self.weights[-1], self.biases[-1]
        return self._apart(F.conv2d(hidden, weight, bias, stride=2, padding=1, groups=self._groups), len(x))

    def pooled(self, x: Tensor) -> Tensor:
        """Means [k, n, J] of the features over positions."""
        return self._mean(self._hidden(x), len(x))

    def _mean(self, hidden: Tensor, classes: int) -> Tensor:
        """Means [k, n, J] over positions of the last layer, of what it sees [b, c, h, w].

        The layer is linear, so that it is applied once and not at every position: to what its kernel sees on
        average or, where there is less to see than that, by a kernel that has the average in it.
        """
        height, width = hidden.shape[-2:]
        kernel = self.weights[-1].unflatten(0, (self._groups, -1)).flatten(2)
        if height * width < WINDOW:
            kernel = self._averaging(height, width)
        else:
            hidden = mean_window(hidden)
        seen = hidden.flatten(1).unflatten(1, (self._groups, -1)).transpose(0, 1)
        bias = self.biases[-1].unflatten(0, (self._groups, 1, -1))
        means = torch.baddbmm(bias, seen, kernel.transpose(1, 2))
        return self._apart(means.transpose(0, 1).flatten(1), classes)

    def _averaging(self, height: int, width: int) -> Tensor:
        """Last kernel [groups, outputs, inputs x height x width] of the mean over positions."""
        weight = self.weights[-1]
        if (height, width) not in self.averaging:
            kernel = weight.flatten(2) @ _shares(height, width, weight.dtype, weight.device)
            self.averaging[height, width] = kernel.flatten(1).unflatten(0, (self._groups, -1))
        return self.averaging[height, width]

    @property
    def _groups(self) -> int:
        """Groups of all classes together."""
        return self.classes * self.groups

    def _hidden(self, x: Tensor) -> Tensor:
        """What the last layer sees of latents [k, n, c, h, w]: images of channels, of one class or of all."""
        if min(x.shape[-2:]) < LEAST_SIDE:
            raise InputError(
                f"latents are {x.shape[-2]} x {x.shape[-1]}; the projector of nopt takes {LEAST_SIDE} x "
                f"{LEAST_SIDE} and more: use an autoencoder that reduces images less, or larger images."
            )
        # a shared projector sees all classes as images, projectors of their own see them as channels
        x = x.flatten(0, 1) if self.classes == 1 else x.transpose(0, 1).flatten(1, 2)
        x = x.contiguous(memory_format=torch.channels_last)  # spares reordering, a third of the time
        x = F.conv2d(x, self.weights[0], self.biases[0], padding=1, groups=self.classes)
        for weight, bias in zip(self.weights[1:-1], self.biases[1:-1], strict=True):
            x = F.leaky_relu(x, SLOPE, inplace=True)
            x = F.conv2d(x, weight, bias, stride=2, padding=1, groups=self.classes * self.groups)
        return F.leaky_relu(x, SLOPE, inplace=True)

    def _apart(self, x: Tensor, classes: int) -> Tensor:
        """Features [k, n, J, ...] of k classes, from those of the last layer."""
        if self.classes == 1:
            return x.unflatten(0, (classes, -1))
        return x.unflatten(1, (classes, self.channels)).transpose(0, 1)


def mean_window(x: Tensor) -> Tensor:
    """Mean [b, c, 4, 4] of the windows that a kernel of 4 x 4 sees of x [b, c, h, w], stride 2, margin 1."""
    # channels last, as x lies, and so does its gradient
    window = _shares(*x.shape[-2:], x.dtype, x.device) @ x.permute(0, 2, 3, 1).flatten(1, 2)
    return window.transpose(1, 2).unflatten(2, (4, 4))


@cache
def _shares(height: int, width: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Share of the windows [16, height x width] that have each position at each of their 16 places."""
    rows, columns = (
        F.pad(torch.eye(side, dtype=dtype, device=device), (1, 1)).unfold(1, 4, 2).mean(1)
        for side in (height, width)
    )
    return torch.einsum("hi,wj->ijhw", rows, columns).flatten(2).flatten(0, 1)


def _uniform(shape: tuple[int, ...], bound: float, generator: Generator) -> Tensor:
    return torch.empty(shape).uniform_(-bound, bound, generator=generator)

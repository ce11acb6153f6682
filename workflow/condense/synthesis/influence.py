"""Influence and deviation, by which IGD guides a chain (Chen et al. 2025, influence-guided diffusion).

The influence of an image is how well the gradient of a classifier's loss on it points along the mean gradient
r_j of real images of its class, at checkpoints j of the classifier's training:

    I = mean_j (1 - cos(grad_theta CE(net_j(image), class), r_j))

The deviation of an image is its cosine to the nearest latent of its class that is finished. Every cosine is
of all coordinates at once.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

EPSILON = 1e-6  # RELEASE: added to the product of the norms
# On a CPU gradients are taken of so many images at a time, filled up where there are fewer: their bits are
# then those of any other batch. It is the width of the processor's vectors, which leave no remainder.
SLOTS = 8
CHUNK = 50  # real images of a pass


def cosine(a: Tensor, b: Tensor) -> Tensor:
    """Cosines [...] of vectors [..., d]; zero of a zero vector."""
    return (a * b).sum(-1) / (a.norm(dim=-1) * b.norm(dim=-1) + EPSILON)


def deviation(latents: Tensor, memory: Tensor) -> Tensor:
    """Cosine [b] of latents [b, c, h, w] to the nearest of their finished ones [b, n, c, h, w]."""
    return cosine(latents.flatten(1)[:, None], memory.flatten(2)).max(1).values


class SurrogateWeights(NamedTuple):
    """Weights by name: those that are differentiated, and what else a network holds, as statistics."""

    parameters: Mapping[str, Tensor]
    buffers: Mapping[str, Tensor]


@dataclass(frozen=True)
class Checkpoint:
    """A moment of a classifier's training, and the gradients [parameters] images are to have, by label."""

    weights: SurrogateWeights
    targets: Mapping[int, Tensor]


@dataclass(frozen=True)
class Surrogate:
    """A classifier at some checkpoints of its training.

    `network` maps standardised images [b, 3, s, s] to logits, and its own weights are of no effect. `mean`
    and `std` [3] are those of the colours of images in 0..1.
    """

    network: nn.Module
    checkpoints: Sequence[Checkpoint]
    mean: Tensor
    std: Tensor

    def influence(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Influence [b, checkpoints] of images [b, views, 3, s, s] in [-1, 1], and its gradient like them.

        The loss of an image of a class `labels` [b] is the mean over its views. The gradient is that of the
        mean over the checkpoints, which are differentiated one by one: what lies before the images is then
        differentiated once for all.
        """
        parts = [self._of_checkpoint(checkpoint, images, labels) for checkpoint in self.checkpoints]
        values, gradients = zip(*parts, strict=True)
        return torch.stack(values, 1), sum(gradients) / len(gradients)

    def _of_checkpoint(self, checkpoint: Checkpoint, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Influence [b] at a checkpoint, and its gradient."""
        values, gradients = [], []
        for places in slots(len(images), images.is_cpu):
            leaf = images[places].detach().requires_grad_()
            found = loss_gradients(self.network, checkpoint.weights, self._standardise(leaf), labels[places])
            targets = torch.stack([checkpoint.targets[label] for label in labels[places].tolist()])
            value = 1 - cosine(found, targets)
            gradients.append(torch.autograd.grad(value.sum(), leaf)[0])
            values.append(value.detach())
        count = len(images)
        return torch.cat(values)[:count], torch.cat(gradients)[:count]

    def _standardise(self, images: Tensor) -> Tensor:
        return ((images + 1) / 2 - self.mean[:, None, None]) / self.std[:, None, None]


def slots(count: int, fill: bool) -> Iterator[Tensor]:
    """Places of `count` images, at most `SLOTS` at a time; the last ones are filled up by the last image."""
    for start in range(0, count, SLOTS):
        end = start + SLOTS if fill else min(start + SLOTS, count)
        yield torch.arange(start, end).clamp(max=count - 1)


def loss_gradients(network: nn.Module, weights: SurrogateWeights, images: Tensor, labels: Tensor) -> Tensor:
    """Gradients [b, parameters] of the cross-entropies of images [b, views, 3, s, s] of classes [b].

    The loss is the mean over the views. Differentiable in the images; parameters are in the order of
    `weights`.
    """

    def loss(parameters: Mapping[str, Tensor], views: Tensor, label: Tensor) -> Tensor:
        logits = functional_call(network, (parameters, weights.buffers), (views,))
        return F.cross_entropy(logits, label.expand(len(views)))

    found = vmap(grad(loss), in_dims=(None, 0, 0))(weights.parameters, images, labels)
    return torch.cat([found[name].flatten(1) for name in weights.parameters], 1)


def mean_gradient(network: nn.Module, weights: SurrogateWeights, images: Tensor, label: int) -> Tensor:
    """Mean gradient [parameters] of the cross-entropies of a class's standardised images [n, 3, s, s]."""
    parts = images.split(CHUNK)
    labels = torch.tensor([label], device=images.device)
    found = (loss_gradients(network, weights, part[None], labels)[0] * len(part) for part in parts)
    return sum(found) / len(images)


def choose_checkpoints(gradients: Iterable[Tensor], similarity: float = 0.7) -> list[int]:
    """Checkpoints whose mean gradients [classes, parameters] point elsewhere than those before.

    The first, then each whose cosine to the last chosen one, mean over the classes, is below `similarity`.
    """
    chosen, last = [], None
    for number, found in enumerate(gradients):
        if last is None or cosine(found, last).mean() < similarity:
            chosen.append(number)
            last = found
    return chosen

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

Named = Mapping[str, Tensor]

EPSILON = 1e-6  # RELEASE: added to the product of the norms
SMALL = 64  # pixels: up to this side all checkpoints are taken at once, as calls cost more than arithmetic
CHUNK = 50  # real images of a pass


def cosine(a: Tensor, b: Tensor) -> Tensor:
    """Cosines [...] of vectors [..., d]; zero of a zero vector."""
    return (a * b).sum(-1) / (a.norm(dim=-1) * b.norm(dim=-1) + EPSILON)


def deviation(latents: Tensor, memory: Tensor) -> Tensor:
    """Cosine [b] of latents [b, c, h, w] to the nearest of their finished ones [b, n, c, h, w]."""
    return cosine(latents.flatten(1)[:, None], memory.flatten(2)).max(1).values


class SurrogateWeights(NamedTuple):
    """Weights by name: those that are differentiated, and what else a network holds, as statistics."""

    parameters: Named
    buffers: Named


@dataclass(frozen=True)
class Checkpoint:
    """A moment of a classifier's training, and the gradients [parameters] images are to have, by label."""

    weights: SurrogateWeights
    targets: Mapping[int, Tensor]


@dataclass(frozen=True)
class Surrogate:
    """A classifier at some checkpoints of its training.

    `network` maps standardised images [b, 3, s, s] to logits, and its own weights are of no effect. `mean`
    and `std` [3] are those of the colours of images in 0..1. Gradients are taken of `at_once` images at a
    time, on a CPU filled up where they are fewer: with 1, or a multiple of 4, which leaves no remainder to
    other code, the bits of an image are then those of any batch.
    """

    network: nn.Module
    checkpoints: Sequence[Checkpoint]
    mean: Tensor
    std: Tensor
    at_once: int = 12

    def influence(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Influence [b, checkpoints] of images [b, views, 3, s, s] in [-1, 1], and its gradient like them.

        The loss of an image of a class `labels` [b] is the mean over its views. The gradient is that of the
        mean over the checkpoints; what lies before the images is then differentiated once for all of them.
        """
        together = len(self.checkpoints) if images.shape[-1] <= SMALL else 1
        starts = range(0, len(self.checkpoints), together)
        groups = [self.checkpoints[start : start + together] for start in starts]
        parts = [self._of_checkpoints(group, images, labels) for group in groups]
        values, gradients = zip(*parts, strict=True)
        return torch.cat(values, 1), sum(gradients) / len(self.checkpoints)

    def _of_checkpoints(
        self, group: Sequence[Checkpoint], images: Tensor, labels: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Influence [b, checkpoints] at some checkpoints, and the gradient of its sum over them."""
        values, gradients, weights = [], [], [checkpoint.weights for checkpoint in group]
        for places in slots(len(images), self.at_once, images.is_cpu):
            leaf = images[places].detach().requires_grad_()
            found = loss_gradients(self.network, weights, self._standardise(leaf), labels[places])
            chosen = labels[places].tolist()
            targets = [torch.stack([checkpoint.targets[label] for label in chosen]) for checkpoint in group]
            value, slopes = disagreement([own.detach() for own in found], torch.stack(targets))
            gradients.append(torch.autograd.grad(found, leaf, slopes)[0])
            values.append(value.T)
        count = len(images)
        return torch.cat(values)[:count], torch.cat(gradients)[:count]

    def _standardise(self, images: Tensor) -> Tensor:
        return ((images + 1) / 2 - self.mean[:, None, None]) / self.std[:, None, None]


def slots(count: int, size: int, fill: bool) -> Iterator[Tensor]:
    """Places of `count` images, `size` at a time; the last ones are filled up by the last image, if told."""
    for start in range(0, count, size):
        end = start + size if fill else min(start + size, count)
        yield torch.arange(start, end).clamp(max=count - 1)


def disagreement(found: Sequence[Tensor], targets: Tensor) -> tuple[Tensor, list[Tensor]]:
    """1 - cosine [...] of joined `found` [..., p] and `targets` [..., sum of p], and its gradient by each.

    What `cosine` and its derivative give, in fewer passes over memory.
    """
    parts = targets.split([own.shape[-1] for own in found], -1)
    dot = sum((own * target).sum(-1) for own, target in zip(found, parts, strict=True))
    size = torch.stack([own.norm(dim=-1) for own in found]).norm(dim=0)
    target_size = targets.norm(dim=-1)
    product = size * target_size + EPSILON
    own_share = dot * target_size / product**2 / torch.where(size == 0, torch.inf, size)
    slopes = [
        torch.addcmul(own * own_share[..., None], target, 1 / product[..., None], value=-1)
        for own, target in zip(found, parts, strict=True)
    ]
    return 1 - dot / product, slopes


def loss_gradients(
    network: nn.Module, weights: Sequence[SurrogateWeights], images: Tensor, labels: Tensor
) -> list[Tensor]:
    """Gradients [checkpoints, b, p] of cross-entropies of images [b, views, 3, s, s] of classes [b].

    One for each of the parameters of `weights`, in their order. The loss is the mean over the views.
    Differentiable in the images.
    """

    def loss(parameters: Named, buffers: Named, views: Tensor, label: Tensor) -> Tensor:
        logits = functional_call(network, (parameters, buffers), (views,))
        return F.cross_entropy(logits, label.expand(len(views)))

    over_images = vmap(grad(loss), in_dims=(None, None, 0, 0))
    over_checkpoints = vmap(over_images, in_dims=(0, 0, None, None))
    parameters, buffers = (_stack(parts) for parts in zip(*weights, strict=True))
    found = over_checkpoints(parameters, buffers, images, labels)
    return [found[name].flatten(2) for name in parameters]


def _stack(parts: Sequence[Named]) -> dict[str, Tensor]:
    """Tensors of the same names, stacked."""
    return {name: torch.stack([part[name] for part in parts]) for name in parts[0]}


def mean_gradient(network: nn.Module, weights: SurrogateWeights, images: Tensor, label: int) -> Tensor:
    """Mean gradient [parameters] of the cross-entropies of a class's standardised images [n, 3, s, s]."""
    parts = images.split(CHUNK)
    labels = torch.tensor([label], device=images.device)
    total = 0
    for part in parts:
        found = torch.cat(loss_gradients(network, [weights], part[None], labels), 2)
        total = total + found[0, 0] * len(part)
    return total / len(images)


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

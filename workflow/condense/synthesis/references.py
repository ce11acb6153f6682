"""What the samples of a class are compared with at each step of a chain: features of real latents or samples.

Computed once per (class, projector seed), for every budget, weight and seed of the noise. The projector and
what it saw are one artefact, so that they cannot disagree.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from condense.base.errors import InputError
from condense.diffusion.adm import Step
from condense.synthesis.hypercube import draw_noise
from condense.synthesis.noise_optimisation import square_root, statistics
from condense.synthesis.projector import Projector

PIECE = 64  # latents that are diffused at a time
LAYERS = 4


@dataclass(frozen=True)
class FeatureReference:
    """Features of one class at the s steps of a chain whose noise is optimised, the last of the chain first.

    Attributes:
        projector: Projector of the class.
        mean: Mean of the features, [s, J].
        deviation: Their biased standard deviation, [s, J].
        targets: Means [s, n, J] of n runs of the sorted standardised features; none without real data.
    """

    projector: Projector
    mean: Tensor
    deviation: Tensor
    targets: Tensor | None = None

    def tensors(self) -> dict[str, Tensor]:
        """Everything, as an artefact holds it."""
        layers = [*self.projector.weights, *self.projector.biases]
        found = {f"projector.{number}": layer for number, layer in enumerate(layers)}
        found |= {"mean": self.mean, "deviation": self.deviation}
        return found if self.targets is None else found | {"targets": self.targets}

    @classmethod
    def of(cls, tensors: dict[str, Tensor], groups: int) -> "FeatureReference":
        """The reference of an artefact's tensors."""
        layers = [tensors[f"projector.{number}"] for number in range(2 * LAYERS)]
        projector = Projector(tuple(layers[:LAYERS]), tuple(layers[LAYERS:]), groups)
        return cls(projector, tensors["mean"], tensors["deviation"], tensors.get("targets"))


def diffused_count(real: int, runs: int, draws: int = 5) -> tuple[int, int]:
    """Draws of each of `real` latents, and number of diffused latents in all, a multiple of `runs`."""
    draws = max(draws, math.ceil(runs / real))
    return draws, math.ceil(draws * real / runs) * runs


def diffuse_latents(
    latents: Tensor, share: float, runs: int, draws: int, generator: Generator
) -> Iterator[Tensor]:
    """Noisy latents [b, c, h, w] in pieces: each of latents [n, c, h, w] with several noises, a few again.

    The first `draws` noises of a latent are a jittered hypercube of their own. Where these do not divide into
    `runs`, further noises are normal, and the last few are of latents that are drawn.

    Args:
        latents: Real latents of a class.
        share: Squared share of the image at the noise level (alpha bar).
        runs: The total is a multiple of this.
        draws: Least number of noises of a latent.
        generator: Stream of the draws, on the CPU.
    """
    each, total = diffused_count(len(latents), runs, draws)
    for piece in latents.split(PIECE):
        noise = draw_noise("jitter", draws, latents.shape[1:], generator, (len(piece),))
        if each > draws:
            more = torch.randn(len(piece), each - draws, *latents.shape[1:], generator=generator)
            noise = torch.cat([noise, more], 1)
        yield with_noise(piece, noise.to(latents), share)
    if rest := total - each * len(latents):
        drawn = torch.randint(len(latents), (rest,), generator=generator)
        noise = torch.randn(rest, 1, *latents.shape[1:], generator=generator)
        yield with_noise(latents[drawn.to(latents.device)], noise.to(latents), share)


def with_noise(latents: Tensor, noise: Tensor, share: float) -> Tensor:
    """Noisy latents [r n, c, h, w] of latents [n, c, h, w] and noises [n, r, c, h, w], draw 1 first."""
    noisy = math.sqrt(share) * latents[:, None] + math.sqrt(1 - share) * noise
    return noisy.transpose(0, 1).flatten(0, 1)


def run_means(features: Tensor, runs: int) -> tuple[Tensor, Tensor, Tensor]:
    """Mean and biased deviation [J] of features [m, J], and means [runs, J] of their sorted equal runs.

    PAPER: eq. 20, whose lower limit is off by one. Runs are of the standardised features.
    """
    mean = features.mean(0)
    deviation = square_root((features - mean).square().mean(0))
    sorted_ = ((features - mean) / deviation).sort(dim=0).values
    return mean, deviation, sorted_.unflatten(0, (runs, -1)).mean(1)


def align_with(
    latents: Tensor,
    projector: Projector,
    levels: Sequence[float],
    runs: int,
    draws: int,
    streams: Sequence[Generator],
) -> FeatureReference:
    """Reference of real latents [n, c, h, w] of a class at levels (alpha bar) with a stream of draws each."""
    found = []
    for share, generator in zip(levels, streams, strict=True):
        pieces = diffuse_latents(latents, share, runs, draws, generator)
        features = torch.cat([projector.pooled(piece[None])[0] for piece in pieces])
        found.append(run_means(features, runs))
    return FeatureReference(projector, *(torch.stack(each) for each in zip(*found, strict=True)))


def levels(steps: Sequence[Step], level: str) -> list[float]:
    """Alpha bar at which real latents are compared with the sample that each step but the last gives.

    `output` is the noise level of that sample. RELEASE: `input` is one step noisier.
    """
    return [step.previous if level == "output" else step.cumulative for step in steps[1:]]


def coarser(targets: Tensor, count: int) -> Tensor:
    """Targets [s, count, J] from those of a multiple of as many runs [s, runs, J]."""
    if targets.shape[1] % count:
        raise InputError(f"{count} images per class do not divide {targets.shape[1]} runs: change `runs`.")
    return targets.unflatten(1, (count, -1)).mean(2)


def template(projector: Projector, samples: Iterator[Tensor]) -> FeatureReference:
    """Reference of plain samples [n, c, h, w] after each step of their chain, which come noisiest first."""
    found = [statistics(projector(x[None])) for x in samples]
    mean, deviation = (torch.cat(each[::-1]) for each in zip(*found, strict=True))
    return FeatureReference(projector, mean, deviation)

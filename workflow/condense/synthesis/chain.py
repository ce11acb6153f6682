"""A generator's guided ancestral chain, as every way to make images sees it.

The noise of an image is a function of (seed, class, number of the image) alone, so that ways to make images
that share a seed differ by what they do and by nothing else.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from condense.base.errors import InputError
from condense.base.linear import each_alone
from condense.base.seeds import stream
from condense.config.settings import Autoencoder
from condense.config.synthesis import Synthesis
from condense.diffusion import adm, autoencoders
from condense.diffusion.generator import Description, label_of, read_generator
from condense.diffusion.samplers import Predict, guide, lead, with_null


@dataclass(frozen=True)
class Target:
    """A class to make images of: its name and index in the study, and the generator's label of it."""

    name: str
    index: int
    label: int


@dataclass(frozen=True)
class Chain:
    """From noise to latents in respaced steps, index 0 nearest the image, guided towards labels."""

    network: Callable[..., Tensor]  # (x, t, labels, captions) -> noise and variances [b, 2c, h, w]
    shape: tuple[int, int, int]  # of a latent: channels, height, width
    decoder: autoencoders.Pixels | autoencoders.Diffusers
    device: torch.device
    count: int = 50  # of steps
    guidance: float = 4.0
    guided_channels: int | None = 3
    batch: int = 64  # latents per forward pass
    captions: Tensor | None = None  # [classes + 1, tokens, width]

    @property
    def steps(self) -> tuple[adm.Step, ...]:
        """The steps, from the image outwards."""
        return adm.chain(self.count)

    def predict(self, x: Tensor, index: int, labels: Tensor) -> Tensor:
        """Guided noise and variances [b, 2c, h, w] for x [b, c, h, w] at a step; differentiable in x."""

        def guided(labels: Tensor, text: Tensor | None) -> Predict:
            return guide(self.network, labels, self.guidance, self.guided_channels, text)

        return self._pass(x, index, labels, guided)

    def predict_with_null(self, x: Tensor, index: int, labels: Tensor) -> tuple[Tensor, Tensor]:
        """What `predict` gives, and what the network gives for the null class, of the same passes."""
        channels = min(self.guided_channels or x.shape[1], x.shape[1])

        def guided(labels: Tensor, text: Tensor | None) -> Predict:
            both = with_null(self.network, labels, text)

            def predict(x: Tensor, t: Tensor) -> Tensor:
                given, null = both(x, t)
                return torch.cat([lead(given, null, self.guidance, channels), null], 1)

            return predict

        return self._pass(x, index, labels, guided).chunk(2, 1)

    def step(self, x: Tensor, index: int, output: Tensor, noise: Tensor | None) -> Tensor:
        """Ancestral step towards the image, given the network's output; step 0 takes no noise."""
        step, (predicted, position) = self.steps[index], output.chunk(2, 1)
        mean = step.mean(x, predicted)
        if not index:
            return mean
        return torch.addcmul(mean, (0.5 * step.log_variance(position)).exp(), noise)

    def decode(self, latents: Tensor) -> Tensor:
        """Images [b, 3, h, w], about in [-1, 1]; differentiable where the latents require it."""
        return self.decoder.decode(latents)

    def noise(
        self, seed: int, images: Sequence[tuple[str, int]], purpose: str = "synthesise"
    ) -> Callable[[], Tensor]:
        """Normal noise [b, *shape] of images (class, number): each call gives the next, first the start.

        What the plain chain does not draw has a purpose of its own.
        """
        streams = [stream(purpose, seed, name, number) for name, number in images]
        return lambda: torch.stack([torch.randn(self.shape, generator=own) for own in streams]).to(
            self.device
        )

    def _pass(
        self, x: Tensor, index: int, labels: Tensor, predictor: Callable[[Tensor, Tensor | None], Predict]
    ) -> Tensor:
        """Predictions for x [b, c, h, w] in batches, by what `predictor` makes of labels and captions."""
        time = self.steps[index].time
        lower = torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda")
        parts = []
        with lower, each_alone():
            for part, given in zip(x.split(self.batch), labels.split(self.batch), strict=True):
                text = None if self.captions is None else self.captions[given]
                predict = predictor(given, text)
                parts.append(predict(part, torch.full((len(part),), time, device=x.device)).to(x.dtype))
        return torch.cat(parts)


def open_chain(
    weights: Path, settings: Synthesis, autoencoder: Autoencoder, device: torch.device
) -> tuple[Chain, Description]:
    """The chain of a generator's file and what the generator is; InputError where it has none."""
    network, captions, about = read_generator(weights, device)
    if about.objective != "adm":
        raise InputError(
            f"{weights} has the objective {about.objective}; images are made by a generator with the "
            "objective adm."
        )
    chain = Chain(
        network,
        about.shape,
        autoencoders.load(autoencoder, device),
        device,
        settings.steps,
        settings.guidance,
        settings.guided_channels,
        settings.batch,
        captions,
    )
    return chain, about


def targets(classes: dict[str, int], about: Description, weights: Path) -> list[Target]:
    """Classes of the study (index by name) with the labels that a generator has for them."""
    return [Target(name, index, label_of(name, index, about, weights)) for name, index in classes.items()]

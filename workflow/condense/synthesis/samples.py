"""Guided samples as the chain draws them: the control of every other way to make images."""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from condense.config.synthesis import GuidedSamples
from condense.synthesis.chain import Chain, Target
from condense.synthesis.given import Given


@torch.inference_mode()
def make_samples(
    chain: Chain,
    classes: Sequence[Target],
    budget: int,
    settings: GuidedSamples,
    given: Given,
    finished: Mapping[str, Tensor],
) -> Iterator[tuple[str, Tensor]]:
    """Latents of each class, all images of a class at a time."""
    for target in classes:
        if target.name not in finished:
            images = [(target.name, number) for number in range(budget)]
            yield target.name, draw_images(chain, images, target.label, settings.seed)


def draw_images(chain: Chain, images: Sequence[tuple[str, int]], label: int, seed: int) -> Tensor:
    """Latents [b, c, h, w] of images (class, number) of one label: the chain from noise to the end."""
    (last,) = deque(draw_steps(chain, images, label, seed), maxlen=1)
    return last


def draw_steps(chain: Chain, images: Sequence[tuple[str, int]], label: int, seed: int) -> Iterator[Tensor]:
    """The same after each step."""
    noise = chain.noise(seed, images)
    labels = torch.full((len(images),), label, device=chain.device)
    x = noise()
    for index in reversed(range(chain.count)):
        x = chain.step(x, index, chain.predict(x, index, labels), noise() if index else None)
        yield x

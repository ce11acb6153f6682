"""A small generator with captions and alignment, and what it is trained on."""

import torch

from benchmarks.gpu.selection_checks import normal
from condense.config.settings import Network, Recipe
from condense.diffusion.objectives import process_of
from condense.diffusion.transformer import Transformer
from condense.training.data import Latents, Sources
from condense.training.losses import Denoising
from condense.training.train import initialised

SHAPE, CLASSES, IMAGES, BATCH = (4, 8, 8), 5, 24, 8
NETWORK = Network(depth=2, width=64, heads=2)
RECIPE = Recipe(alignment_block=1, alignment_hidden=32)


def sources(seed: int = 0) -> Sources:
    """Latents, captions and features of some images."""
    moments = normal(IMAGES, 2, *SHAPE, seed=seed).half()
    names = [f"{i}.png" for i in range(IMAGES)]
    latents = Latents(moments, moments.abs() / 10, torch.arange(IMAGES) % CLASSES, names, CLASSES, SHAPE)
    captions = torch.cat([normal(CLASSES, 4, 16, seed=seed + 1), torch.zeros(1, 4, 16)])
    return Sources(latents, captions, normal(IMAGES, 2, 4, 4, 24, seed=seed + 2).half())


def network(objective: str) -> Transformer:
    """A small network with captions and alignment whose every weight matters."""
    made = initialised(sources(), objective, NETWORK, RECIPE, seed=0)
    random = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for value in made.parameters():
            value.add_(torch.randn(value.shape, generator=random), alpha=0.05)
    return made


def losses(objective: str) -> Denoising:
    """Loss of a generator with alignment."""
    return Denoising(process_of(objective).losses, RECIPE.alignment_weight)

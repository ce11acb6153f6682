"""Augmentation of whole batches that are held in memory, on the device of the images.

What is drawn is a function of (seed, epoch, step) alone and is drawn on the CPU, so that a training that is
taken up again, and one on another device, sees the same views.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from condense.base.errors import InputError
from condense.base.seeds import seed_of
from condense.config.recipes import Dc

GREY = (0.299, 0.587, 0.114)
# principal colours of ImageNet and their deviations (Krizhevsky et al. 2012)
PRINCIPAL = ((-0.5675, 0.7192, 0.4009), (-0.5808, -0.0045, -0.8140), (-0.5836, -0.6948, 0.4203))
DEVIATIONS = (0.2175, 0.0188, 0.0045)
ATTEMPTS = 10  # at a random crop, as torchvision makes


class Mix(NamedTuple):
    """What CutMix did to a batch: image i carries a box of image `partner[i]` and keeps `share` of itself."""

    partner: Tensor  # [b]
    share: float


@dataclass(frozen=True)
class Views:
    """A batch as the network sees it: standardised images [b, 3, s, s], and what mixed them."""

    images: Tensor
    mix: Mix | None = None


class Augmentation:
    """Turns images uint8 [b, 3, h, h] into views of `side` pixels, by the settings of a recipe."""

    def __init__(self, chosen: Dc, side: int, mean: Tensor, std: Tensor, seed: int) -> None:
        self.chosen, self.side, self.seed = chosen, side, seed
        self.mean, self.std = mean, std  # [3], on the device of the images

    def __call__(self, images: Tensor, epoch: int, step: int) -> Views:
        """Views of a batch; the same for the same epoch and step."""
        chosen, device, count = self.chosen, images.device, len(images)
        random = np.random.default_rng(seed_of("augmentation", self.seed, epoch, step))
        x = images.float() / 255
        if chosen.patch_shuffle > 1:
            tiles = random.permuted(np.tile(np.arange(chosen.patch_shuffle**2), (count, 1)), axis=1)
            x = shuffle_tiles(x, torch.from_numpy(tiles).to(device))
        mirrored = torch.from_numpy(random.random(count) < 0.5 * chosen.flip).to(device)
        if chosen.crop is None:
            x = torch.where(mirrored[:, None, None, None], x.flip(3), x) if chosen.flip else x
        else:
            boxes = draw_crops(random, count, x.shape[-1], chosen.crop, chosen.crop_ratio)
            x = crop(x, torch.from_numpy(boxes).to(device), mirrored, self.side)
        x = self._recolour(x, random)
        if random.random() >= chosen.cutmix:
            return Views(x)
        share = random.beta(chosen.cutmix_beta, chosen.cutmix_beta)
        box = cutmix_box(share, self.side, *random.integers(self.side, size=2).tolist())
        partner = torch.from_numpy(random.permutation(count)).to(device)
        return cut_and_mix(x, partner, box)

    def plain(self, images: Tensor) -> Tensor:
        """Standardised images float32 [b, 3, s, s] of uint8 ones, nothing else changed."""
        return (images.float() / 255 - self.mean[:, None, None]) / self.std[:, None, None]

    def _recolour(self, x: Tensor, random: np.random.Generator) -> Tensor:
        """Colour jitter, lighting and standardisation of images [b, 3, s, s] in 0..1."""
        chosen = self.chosen
        together = chosen.colour == "batch"
        drawn = 1 if together else len(x)
        strengths = (chosen.brightness, chosen.contrast, chosen.saturation)
        alphas = torch.from_numpy(random.uniform(-1, 1, (drawn, 3)) * strengths).to(x)
        order = torch.from_numpy(random.permuted(np.tile(np.arange(3), (drawn, 1)), axis=1))
        light = lighting(torch.from_numpy(random.normal(0, 1, (drawn, 3)) * chosen.lighting).to(x))
        if together:
            jittered = jitter_as_released(x, alphas[0], order[0].tolist()) + light[..., None, None]
            return (jittered - self.mean[:, None, None]) / self.std[:, None, None]
        if not any((*strengths, chosen.lighting)):
            return (x - self.mean[:, None, None]) / self.std[:, None, None]
        matrix, offset = jitter(x.mean((2, 3)), alphas, order.to(x.device))
        matrix = matrix / self.std[:, None]
        offset = (offset + light - self.mean) / self.std
        return recolour(x, matrix, offset)


def draw_crops(
    random: np.random.Generator, count: int, side: int, scale: tuple[float, float], ratio: tuple[float, float]
) -> np.ndarray:
    """(top, left, height, width) [count, 4] of random crops of square images, drawn as torchvision does.

    The area is uniform, the logarithm of the ratio too; after ten crops that do not fit, the whole image.
    """
    area = side**2 * random.uniform(*scale, (count, ATTEMPTS))
    ratios = np.exp(random.uniform(math.log(ratio[0]), math.log(ratio[1]), (count, ATTEMPTS)))
    width = np.rint(np.sqrt(area * ratios)).astype(np.int64)
    height = np.rint(np.sqrt(area / ratios)).astype(np.int64)
    fits = (width > 0) & (width <= side) & (height > 0) & (height <= side)
    first = fits.argmax(1)[:, None]
    size = np.concatenate([np.take_along_axis(height, first, 1), np.take_along_axis(width, first, 1)], 1)
    size = np.where(fits.any(1)[:, None], size, side)
    corner = random.integers(side - size + 1)
    return np.concatenate([corner, size], 1)


def crop(x: Tensor, boxes: Tensor, mirrored: Tensor, side: int) -> Tensor:
    """Crops [b, c, side, side] of images [b, c, h, w], (top, left, height, width) [b, 4], some mirrored [b].

    Bilinear with Pillow's widening of the filter where it shrinks: two matrix products per image.
    """
    rows = interpolation(boxes[:, 0], boxes[:, 2], x.shape[2], side, x.dtype)
    columns = interpolation(boxes[:, 1], boxes[:, 3], x.shape[3], side, x.dtype)
    columns = torch.where(mirrored[:, None, None], columns.flip(1), columns)
    return rows[:, None] @ (x @ columns[:, None].mT)


def interpolation(start: Tensor, length: Tensor, source: int, target: int, dtype: torch.dtype) -> Tensor:
    """Weights [b, target, source] that stretch `length` [b] pixels from `start` [b] over `target` pixels."""
    scale = length.to(dtype)[:, None, None] / target
    centre = start[:, None, None] + (torch.arange(target, device=start.device)[:, None] + 0.5) * scale
    pixel = torch.arange(source, device=start.device)
    weights = (1 - (pixel + 0.5 - centre).abs() / scale.clamp(min=1)).clamp(min=0)
    inside = (pixel >= start[:, None, None]) & (pixel < (start + length)[:, None, None])
    weights = weights * inside
    return (weights / weights.sum(2, keepdim=True)).to(dtype)


def shuffle_tiles(x: Tensor, tiles: Tensor) -> Tensor:
    """Images [b, c, s, s] whose g x g tiles are laid anew: place i holds tile `tiles`[:, i], [b, g²]."""
    grid = math.isqrt(tiles.shape[1])
    if x.shape[-1] % grid:
        raise InputError(f"patch_shuffle {grid} does not divide images of {x.shape[-1]} pixels: change one.")
    size = x.shape[-1] // grid
    cut = x.unflatten(3, (grid, size)).unflatten(2, (grid, size)).permute(0, 2, 4, 1, 3, 5).flatten(1, 2)
    cut = cut[torch.arange(len(x), device=x.device)[:, None], tiles].unflatten(1, (grid, grid))
    return cut.permute(0, 3, 1, 4, 2, 5).flatten(4, 5).flatten(2, 3)


def jitter(mean: Tensor, alphas: Tensor, order: Tensor) -> tuple[Tensor, Tensor]:
    """Matrix [b, 3, 3] and offset [b, 3] that jitter the colours of images with mean colours `mean` [b, 3].

    `alphas` [b, 3] are the shares by which brightness goes to black, contrast to the image's mean grey and
    saturation to each pixel's grey; `order` [b, 3] says which comes first. All three are affine maps of a
    colour, so that a batch takes one product however many there are.
    """
    grey = mean.new_tensor(GREY)
    identity = torch.eye(3, dtype=mean.dtype, device=mean.device)
    matrix, offset = identity.expand(len(mean), 3, 3), torch.zeros_like(mean)
    for turn in order.T:
        alpha = alphas.gather(1, turn[:, None])  # [b, 1]
        mean_grey = ((matrix @ mean[..., None])[..., 0] + offset) @ grey
        change = (1 - alpha)[..., None] * identity
        change = change + torch.where(turn == 2, alpha[:, 0], 0)[:, None, None] * grey.expand(3, 3)
        matrix = change @ matrix
        offset = (change @ offset[..., None])[..., 0]
        offset = offset + torch.where(turn == 1, alpha[:, 0] * mean_grey, 0)[:, None]
    return matrix, offset


def recolour(x: Tensor, matrix: Tensor, offset: Tensor) -> Tensor:
    """Images [b, 3, h, w] with each colour mapped by its image's matrix [b, 3, 3] and offset [b, 3]."""
    return torch.baddbmm(offset[..., None], matrix, x.flatten(2)).view_as(x)


def jitter_as_released(x: Tensor, alphas: Tensor, order: list[int]) -> Tensor:
    """Images [b, 3, h, w] jittered with one draw, alphas [3], as the release of Minimax does to a batch.

    # RELEASE: written for one image, it takes images 0, 1 and 2 of a batch for red, green and blue.
    """
    if len(x) < 3:
        raise InputError("colour: batch takes the first three images for colours; give three or more.")
    for turn in order:
        grey = x.clone()
        grey[:3] = sum(weight * image for weight, image in zip(GREY, x, strict=False))
        if turn == 0:
            grey = torch.zeros_like(x)
        elif turn == 1:
            grey = grey.mean().expand_as(x)
        x = torch.lerp(x, grey, alphas[turn])
    return x


def lighting(alphas: Tensor) -> Tensor:
    """Colour offsets [b, 3] along ImageNet's principal colours, of normal draws `alphas` [b, 3]."""
    return (alphas * alphas.new_tensor(DEVIATIONS)) @ alphas.new_tensor(PRINCIPAL).T


def cutmix_box(share: float, side: int, row: int, column: int) -> tuple[int, int, int, int]:
    """(top, left, bottom, right) of the box that covers 1 - `share` of an image around a pixel, clipped."""
    half = int(side * math.sqrt(1 - share)) // 2
    low = [min(max(centre - half, 0), side) for centre in (row, column)]
    high = [min(max(centre + half, 0), side) for centre in (row, column)]
    return *low, *high


def cut_and_mix(x: Tensor, partner: Tensor, box: tuple[int, int, int, int]) -> Views:
    """Images [b, 3, s, s] with a box of their partners [b]; the share kept is that of the clipped box."""
    top, left, bottom, right = box
    mixed = x.clone()
    mixed[:, :, top:bottom, left:right] = x[partner, :, top:bottom, left:right]
    share = 1 - (bottom - top) * (right - left) / (x.shape[-1] * x.shape[-2])
    return Views(mixed, Mix(partner, share))

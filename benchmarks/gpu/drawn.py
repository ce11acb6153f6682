"""Images that are drawn, where no photograph is needed: smooth colours that differ by class, and noise."""

from pathlib import Path

import numpy as np
from PIL import Image


def draw(label: int, number: int, width: int, height: int) -> np.ndarray:
    """Image uint8 [height, width, 3] of a class: low frequencies, whose phase is the image's, and noise."""
    random = np.random.default_rng((label, number))
    down, across = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    rates, shift = 6 * (label + 1) * random.random((2, 3)), 6 * random.random(3)
    waves = np.sin(down[..., None] * rates[0] + across[..., None] * rates[1] + shift)
    return (128 + 60 * waves + random.normal(0, 12, waves.shape)).clip(0, 255).astype(np.uint8)


def write_images(folder: Path, classes: int, count: int, size: tuple[int, int], form: str = "png") -> None:
    """Write `count` images of each class under folder/class, `size` is width and height."""
    for label in range(classes):
        place = folder / f"class{label:03}"
        place.mkdir(parents=True, exist_ok=True)
        for number in range(count):
            Image.fromarray(draw(label, number, *size)).save(place / f"{number:04}.{form}", quality=90)

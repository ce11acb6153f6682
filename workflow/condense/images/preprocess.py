"""From an image to a network's input: resize and crop in 8 bits with Pillow, normalise on the device."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from PIL import Image

IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}


@dataclass(frozen=True, kw_only=True)
class Preprocess:
    """Shorter side (or, squashed, each side) to `resize` pixels, then the centre square of `side`."""

    side: int
    resize: int
    mode: Literal["center", "squash"] = "center"
    interpolation: Literal["bicubic", "bilinear", "lanczos"] = "bicubic"
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "Preprocess":
        """From plain values, as JSON and YAML give them."""
        return cls(
            **{key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
        )

    def prepare(self, image: "Image.Image | np.ndarray") -> np.ndarray:
        """uint8 [side, side, 3] of an RGB image (Pillow's, or uint8 [h, w, 3]).

        Only the pixels that the crop keeps are computed; they equal those of resizing first, cropping after.
        """
        from PIL import Image

        if isinstance(image, np.ndarray):
            image = Image.fromarray(image)
        method = Image.Resampling[self.interpolation.upper()]
        return np.asarray(image.resize((self.side, self.side), method, box=self._box(*image.size)))

    def _box(self, width: int, height: int) -> tuple[float, float, float, float]:
        """Part of the image that resizing and cropping keep, in its own pixels."""
        short = (min(width, height),) * 2 if self.mode == "center" else (width, height)
        resized = (self.resize * width // short[0], self.resize * height // short[1])
        left, top = (round((length - self.side) / 2) for length in resized)
        x, y = width / resized[0], height / resized[1]
        return (left * x, top * y, (left + self.side) * x, (top + self.side) * y)

    def normalise(self, pixels: Tensor) -> Tensor:
        """float32 [b, 3, h, w], channels last in memory, of uint8 [b, h, w, 3]."""
        mean, std = (torch.tensor(v, device=pixels.device)[:, None, None] for v in (self.mean, self.std))
        return pixels.permute(0, 3, 1, 2).float().div_(255).sub_(mean).div_(std)

"""What ways to make images look at besides the chain: files of earlier stages, opened when asked for."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from condense.base.errors import InputError
from condense.base.shards import open_hdf5


@dataclass(frozen=True)
class Given:
    """Files that a job of `synthesise` was given, and the device that tensors go to.

    Attributes:
        device: Where tensors go.
        latents: Latents of real images.
        references: Folder of what is computed once and shared by jobs; computed by each job when none.
        generator: Digest of the generator's file.
    """

    device: torch.device
    latents: Path | None = None
    references: Path | None = None
    generator: str = ""

    def real(self, index: int) -> tuple[Tensor, Tensor | None]:
        """Latents of the images of a class, by its index: mean and deviation [n, c, h, w], unmirrored.

        There is no deviation where the autoencoder has none. InputError where the class has no image.
        """
        if self.latents is None:
            raise InputError("--latents is missing: this way to make images looks at real ones.")
        rows = np.flatnonzero(self._labels == index)
        if not len(rows):
            raise InputError(f"{self.latents} has no latent of class {index}; make it anew.")
        with open_hdf5(self.latents) as file:
            moments = [
                torch.from_numpy(file[name][rows, 0]).float().to(self.device) if name in file else None
                for name in ("mean", "deviation")
            ]
        return moments[0], moments[1]

    @cached_property
    def _labels(self) -> np.ndarray:
        with open_hdf5(self.latents) as file:
            return file["label"][()]

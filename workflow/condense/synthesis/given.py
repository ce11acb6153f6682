"""What ways to make images look at besides the chain: files of earlier stages, opened when asked for."""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from condense.base.errors import InputError
from condense.base.shards import open_hdf5
from condense.config.settings import Images
from condense.images.index import Row, read_index
from condense.images.preprocess import Preprocess
from condense.students.data import class_images


@dataclass(frozen=True)
class Given:
    """Files that a job of `synthesise` was given, and the device that tensors go to.

    Attributes:
        device: Where tensors go.
        latents: Latents of real images.
        references: Folder of what is computed once and shared by jobs; computed by each job when none.
        generator: Digest of the generator's file.
        surrogate_weights: Student whose gradients guide.
        reference_index: Index of the images of all classes.
        dataset: Where these images are.
    """

    device: torch.device
    latents: Path | None = None
    references: Path | None = None
    generator: str = ""
    surrogate_weights: Path | None = None
    reference_index: Path | None = None
    dataset: Images = field(default_factory=Images)

    def real(self, index: int) -> tuple[Tensor, Tensor | None]:
        """Latents of the images of a class, by its index: mean and deviation [n, c, h, w], unmirrored.

        There is no deviation where the autoencoder has none. InputError where the class has no image.
        """
        latents = self.needed("latents")
        rows = np.flatnonzero(self._labels == index)
        if not len(rows):
            raise InputError(f"{latents} has no latent of class {index}; make it anew.")
        with open_hdf5(latents) as file:
            moments = [
                torch.from_numpy(file[name][rows, 0]).float().to(self.device) if name in file else None
                for name in ("mean", "deviation")
            ]
        return moments[0], moments[1]

    def pictures(self, name: str, count: int, preprocess: Preprocess) -> Tensor:
        """The first images of a class, by their names, uint8 [n, 3, s, s]: `count`, or all that there are."""
        rows = self._rows.get(name, [])
        if not rows:
            raise InputError(f"{self.reference_index} has no image of class {name!r}: list the images anew.")
        return class_images(self.dataset, rows[:count], preprocess)

    def needed(self, option: str) -> Path:
        """A file that a way to make images looks at; InputError where it was not given."""
        path = getattr(self, option)
        if path is None:
            raise InputError(f"--{option.replace('_', '-')} is missing: this way to make images looks at it.")
        return path

    @cached_property
    def _rows(self) -> dict[str, list[Row]]:
        return read_index(self.needed("reference_index"))

    def classes(self) -> list[int]:
        """Indices of the classes that have latents, in order."""
        return np.unique(self._labels).tolist()

    @cached_property
    def _labels(self) -> np.ndarray:
        with open_hdf5(self.latents) as file:
            return file["label"][()]

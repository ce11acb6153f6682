"""What a generator is trained on: latents, captions and features, read from the files of their stages."""

import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
import torch
from torch import Tensor

from condense.base.errors import InputError, damaged


@dataclass(frozen=True)
class Latents:
    """Training data of a generator: fp16 moments of each image and its mirror image, and labels."""

    mean: Tensor  # [n, 2, c, h, w]; second index 1 is the mirror image
    deviation: Tensor | None  # like mean; None where the encoder is deterministic
    labels: Tensor  # [n]
    paths: list[str]
    classes: int
    shape: tuple[int, int, int]

    def to(self, device: torch.device) -> "Latents":
        """Copy with the tensors on a device."""
        moved = None if self.deviation is None else self.deviation.to(device)
        return replace(self, mean=self.mean.to(device), deviation=moved, labels=self.labels.to(device))

    def sample(self, chosen: Tensor, mirrored: Tensor, spread: Tensor | None) -> Tensor:
        """Latents [b, c, h, w] of images [b], mirrored where 1, drawn from the posterior by `spread`."""
        mean = self.mean[chosen, mirrored].float()
        if self.deviation is None:
            return mean
        return mean + self.deviation[chosen, mirrored].float() * spread


class Sources(NamedTuple):
    """What a generator is trained on: latents, and what its recipe attaches to them."""

    latents: Latents
    captions: Tensor | None = None  # [classes + 1, tokens, width]; the last is the null class's, zero
    patches: Tensor | None = None  # [n, 2, h, w, width], on the CPU; second index 1 is the mirror image


def read_latents(path: Path) -> Latents:
    """Open the latents of a subset in memory."""
    try:
        with h5py.File(path) as file:
            deviation = torch.from_numpy(file["deviation"][()]) if "deviation" in file else None
            return Latents(
                mean=torch.from_numpy(file["mean"][()]),
                deviation=deviation,
                labels=torch.from_numpy(file["label"][()]),
                paths=[name.decode() for name in file["path"][()]],
                classes=int(file.attrs["classes"]),
                shape=tuple(int(side) for side in file["mean"].shape[2:]),
            )
    except (OSError, KeyError, RuntimeError) as error:
        raise damaged(path, "a whole file of latents", error) from None


def read_captions(path: Path) -> Tensor:
    """Table [classes + 1, tokens, width] of masked states; the last row, of the null class, is zero."""
    try:
        with h5py.File(path) as file:
            states = torch.from_numpy(file["states"][()])
    except (OSError, KeyError, RuntimeError) as error:
        raise damaged(path, "a whole file of captions", error) from None
    return torch.cat([states, torch.zeros_like(states[:1])])


def read_patches(path: Path, paths: list[str]) -> Tensor:
    """Features fp16 [n, 2, h, w, d] of the images `paths`, read from the disk as they are used."""
    try:
        with h5py.File(path) as file:
            stored, named = file["features"], [name.decode() for name in file["path"][()]]
            shape, offset = stored.shape, stored.id.get_offset()
    except (OSError, KeyError, RuntimeError) as error:
        raise damaged(path, "a whole file of features", error) from None
    if named != paths:
        raise InputError(f"{path} holds features of other images than the latents; make it anew.")
    if offset is None:  # an empty subset
        return torch.zeros(shape, dtype=torch.float16)
    mapped = np.memmap(path, np.float16, "r", offset, shape)  # a writable map reserves memory for all of it
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        return torch.from_numpy(mapped)

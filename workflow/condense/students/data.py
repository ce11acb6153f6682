"""Images that students are trained and examined on: whole sets in memory, prepared once."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from condense.base.errors import InputError
from condense.base.progress import say
from condense.config.settings import Images
from condense.images.index import Row, list_images, list_validation, read_index, validation_source
from condense.images.preprocess import Preprocess
from condense.images.sources import batches, source
from condense.images.subset import MADE, Chosen, by_class, open_chosen, read_subset

if TYPE_CHECKING:
    from PIL import Image

GROUP = 64  # images decoded by one thread at a time
SAMPLED = 2000  # about so many images tell mean and deviation of the colours


@dataclass(frozen=True)
class ImageSet:
    """Images uint8 [n, 3, h, h] with labels [n], counted through `classes`, and their names."""

    images: Tensor
    labels: Tensor
    paths: list[str]
    classes: list[str]

    def __len__(self) -> int:
        return len(self.labels)

    def digest(self) -> str:
        """SHA-256 of images and labels, on the CPU."""
        return hashlib.sha256(self.images.numpy().tobytes() + self.labels.numpy().tobytes()).hexdigest()

    def to(self, device: torch.device) -> "ImageSet":
        """Copy with the tensors on a device."""
        return replace(self, images=self.images.to(device), labels=self.labels.to(device))


def prepared(resolution: int, resize: float, keep_margin: bool = False, tiles: int = 1) -> Preprocess:
    """How an image is held: shorter side to `resize` times the resolution, cropped to the square.

    The square is of the resolution or, with its margin, of the longest side that so many `tiles` divide.
    Where that is less than the resolution, it is of the resolution, and shuffling its tiles is refused.
    """
    resized = round(resolution * resize)
    side = max(resized - resized % tiles, resolution) if keep_margin else resolution
    return Preprocess(side=side, resize=resized, interpolation="bilinear")


def training_set(
    images: Images, subset: Path | None, index: Path | None, preprocess: Preprocess, made: Path = MADE
) -> ImageSet:
    """The images of a subset, real or made; all that are not held out when none is given.

    Raises InputError for a subset that names what is not there, and for an image that cannot be read.
    """
    rows = _rows(index) if index else list_images(images)
    opened = source(images)
    if subset is not None:
        chosen = _chosen(subset, rows)
        unlisted = replace(images, unreadable="fail")  # whoever chose it could read it
        return _read(
            chosen, _names(rows), lambda row, side: open_chosen(row, opened, made, side), unlisted, preprocess
        )
    return _read(rows, _names(rows), lambda row, side: opened.open(row.path, side), images, preprocess)


def validation_set(images: Images, index: Path | None, preprocess: Preprocess) -> ImageSet:
    """The images that students are examined on; of each class one or more."""
    rows = _rows(index) if index else list_validation(images)
    opened = validation_source(images)
    return _read(rows, _names(rows), lambda row, side: opened.open(row.path, side), images, preprocess)


def class_images(images: Images, rows: Sequence[Row], preprocess: Preprocess) -> Tensor:
    """Images uint8 [n, 3, h, h] of some rows of an index, all of one class, in their order.

    Raises InputError for an image that cannot be read, unless such are skipped, and where none is left.
    """
    opened = source(images)
    name = rows[0].cls
    held = _read(rows, [name], lambda row, side: opened.open(row.path, side), images, preprocess)
    if not len(held):
        raise InputError(f"none of the first {len(rows)} images of class {name!r} can be read: repair them.")
    return held.images


def colour_statistics(
    images: Images, index: Path | None, preprocess: Preprocess
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation [3] of the colours, in 0..1, over images taken evenly from those to choose from."""
    rows = _rows(index) if index else list_images(images)
    rows = rows[:: 1 + (len(rows) - 1) // SAMPLED]
    opened = source(images)
    held = _read(rows, _names(rows), lambda row, side: opened.open(row.path, side), images, preprocess)
    pixels = held.images
    colours = pixels.transpose(0, 1).flatten(1).double() / 255
    return tuple(colours.mean(1).tolist()), tuple(colours.std(1, correction=0).tolist())


def _rows(index: Path) -> list[Row]:
    return [row for members in read_index(index).values() for row in members]


def _names(rows: Sequence[Row]) -> list[str]:
    """Names of the classes, by class index."""
    found = {row.class_index: row.cls for row in rows}
    return [found[number] for number in sorted(found)]


def _chosen(subset: Path, rows: Sequence[Row]) -> list[Chosen]:
    """Rows of a subset, class by class, in the order of their ranks."""
    known = {row.path: row.cls for row in rows}
    indices = {row.cls: row.class_index for row in rows}
    chosen = [row for members in by_class(read_subset(subset)).values() for row in members]
    for row in chosen:
        listed = row.made or known.get(row.path) == row.cls
        if not listed or indices.get(row.cls) != row.class_index:
            raise InputError(
                f"{subset} names {row.path!r} of class {row.cls!r}, which is none of the images to choose "
                "from: give the root, and the images.validation, of the study that made it."
            )
    return chosen


def _read(
    rows: Sequence[Row] | Sequence[Chosen],
    classes: list[str],
    open_row: Callable[[Any, int], "Image.Image"],
    images: Images,
    preprocess: Preprocess,
) -> ImageSet:
    """Open each row and prepare it; what cannot be read stops the work, or is left out and counted."""
    groups = [rows[start : start + GROUP] for start in range(0, len(rows), GROUP)]
    pixels, kept, unreadable = [], [], []
    for batch in batches(groups, lambda row: preprocess.prepare(open_row(row, preprocess.resize))):
        pixels.append(batch.pixels.reshape(-1, preprocess.side, preprocess.side, 3))
        kept += batch.paths
        unreadable += batch.unreadable
    if unreadable and images.unreadable == "fail":
        raise InputError(
            f"{len(unreadable)} of {len(rows)} images cannot be read: {unreadable[0][1]}; "
            "repair them, or set images.unreadable to skip."
        )
    if unreadable:
        say(f"{len(unreadable)} of {len(rows)} images cannot be read and are left out")
    side = preprocess.side
    stacked = np.concatenate(pixels) if pixels else np.empty((0, side, side, 3), np.uint8)
    return ImageSet(
        images=torch.from_numpy(stacked).permute(0, 3, 1, 2).contiguous(),
        labels=torch.tensor([row.class_index for row in kept], dtype=torch.int64),
        paths=[row.path for row in kept],
        classes=classes,
    )

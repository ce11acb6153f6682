"""One class of images as selection sees it: where its features are, and what is known of each image."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from condense.base.errors import InputError

LEAST = np.finfo(np.float32).tiny  # a probability of zero counts as this, so that its logarithm is finite
ROWS = 4096  # of features that are read at once, of a class that need not fit into memory


@dataclass(frozen=True)
class ImageClass:
    """One class: its images in the order of their paths, and where their features are."""

    name: str
    index: int
    paths: list[str]
    order: np.ndarray  # rows of `source` in the order of `paths`
    source: Any = None  # features [rows, d], an array or an HDF5 dataset; none where the selector needs none
    log_probability: np.ndarray | None = None  # of the own class, in the order of `paths`
    log_runner_up: np.ndarray | None = None  # of the strongest other class
    score: np.ndarray | None = None  # of the images' difficulty, in the order of `paths`

    def check(self, budget: int) -> None:
        """Refuse a budget that the class is too small for."""
        if budget > len(self.paths):
            count = len(self.paths)
            raise InputError(
                f"class {self.name} has {count} images, fewer than the budget of {budget}; lower it."
            )

    def features(self) -> np.ndarray:
        """Read all features [n, d]. Raises InputError as `read` does."""
        return self.read(np.arange(len(self.paths)))

    def tiles(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Positions [k] and features [k, d] of so many images at a time as fit into memory anywhere."""
        for start in range(0, len(self.paths), ROWS):
            at = np.arange(start, min(start + ROWS, len(self.paths)))
            yield at, self.read(at)

    def read(self, at: np.ndarray) -> np.ndarray:
        """Read the features [k, d] of images at positions [k].

        Raises InputError that names the first image whose are not finite.
        """
        if self.source.ndim != 2:
            shape = (len(self.paths), *self.source.shape[1:])
            raise InputError(f"class {self.name} has features of shape {shape}; they must be [n, d].")
        values = _take(self.source, self.order[at])
        wrong = ~np.isfinite(values).all(1)
        if wrong.any():
            path = self.paths[int(at[wrong.argmax()])]
            raise InputError(
                f"the features of {path} (class {self.name}) are not finite; embed that image anew."
            )
        return values.astype(values.dtype.newbyteorder("="), copy=False)  # tensors have the processor's


def _take(source: Any, rows: np.ndarray) -> np.ndarray:
    """Rows [k] of an array, or of an HDF5 dataset of which little else is read."""
    if isinstance(source, np.ndarray):
        return source[rows]
    low, high = int(rows.min()), int(rows.max()) + 1
    if high - low <= 2 * len(rows):
        return source[low:high][rows - low]
    ascending, back = np.unique(rows, return_inverse=True)
    return source[ascending][back]


def ordered(
    name: str,
    index: int,
    paths: list[str],
    source: Any = None,
    log_probability: np.ndarray | None = None,
    log_runner_up: np.ndarray | None = None,
) -> ImageClass:
    """Put the images of a class in the order of their paths, so that no order of files changes a subset."""
    order = np.array(sorted(range(len(paths)), key=paths.__getitem__), dtype=np.int64)
    logs = [
        None if values is None else np.maximum(values[order], np.log(LEAST))
        for values in (log_probability, log_runner_up)
    ]
    return ImageClass(name, index, [paths[i] for i in order], order, source, *logs)

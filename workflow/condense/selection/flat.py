"""A user's own file of features and labels, HDF5 or npz, as classes."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from zipfile import BadZipFile
from zlib import error as DamagedStream

import h5py
import numpy as np

from condense.base.errors import InputError
from condense.base.progress import say
from condense.base.shards import read_text
from condense.selection.image_class import LEAST, ImageClass, ordered

NEAR_CHANCE = 3  # times chance: columns in a wrong order get about twice, since a few stay in their places


def open_npz(path: Path) -> np.lib.npyio.NpzFile:
    """Open an npz file."""
    try:
        return np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as npz ({error}).") from None


def flat_classes(arrays: Mapping[str, Any], origin: Path, probabilities: Path | None) -> list[ImageClass]:
    """Classes of a user's own file: sorted labels, each with its rows."""
    if probabilities:
        raise InputError(
            f"{origin} is not a shard of the pipeline; put its probabilities into that same file."
        )
    for name in ("features", "labels"):
        if name not in arrays:
            held = ", ".join(arrays) or "none that is not in a group"
            raise InputError(
                f"{origin} has no array '{name}'; it needs features [N, d] and labels [N], and has {held}."
            )
    arrays = _read(arrays, origin)
    features, labels = arrays["features"], _labels(arrays["labels"], origin)
    rows, names = len(features), np.unique(labels)
    paths = np.array([str(row) for row in range(rows)]) if "paths" not in arrays else _text(arrays["paths"])
    if len(np.unique(paths)) < rows:
        raise InputError(f"{origin} names two images alike in 'paths'; a path must be unique.")
    known = _probabilities(arrays, labels, names, origin)
    found = []
    for index, name in enumerate(names):
        members = np.flatnonzero(labels == name)
        logs = [None if values is None else np.log(np.maximum(values[members], LEAST)) for values in known]
        label = int(name) if np.issubdtype(names.dtype, np.number) else index
        images = ordered(str(name), label, paths[members].tolist(), features, *logs)
        found.append(replace(images, order=members[images.order]))
    return found


def _read(arrays: Mapping[str, Any], origin: Path) -> dict[str, Any]:
    """The arrays that are known by name, HDF5's on disk; InputError for one that is not what it is called."""
    found = {}
    for name in ("features", "labels", "paths", "probabilities"):
        try:
            if name in arrays:
                found[name] = arrays[name]
        except (ValueError, OSError, BadZipFile, DamagedStream) as error:
            raise InputError(
                f"{origin}: {name} cannot be read ({error}); save numbers or text, no Python objects."
            ) from None
    _check(found, origin)
    return found


def _check(found: Mapping[str, Any], origin: Path) -> None:
    """Refuse arrays of another type or shape than their names ask for."""
    shape = found["features"].shape
    if len(shape) != 2 or 0 in shape:
        raise InputError(f"{origin} has features of shape {shape}; they must be [N, d], a row per image.")
    for name, array in found.items():
        kind, count = array.dtype, [*array.shape, 0][0]
        if name in ("features", "probabilities") and (kind.kind not in "fiu" or kind.itemsize > 8):
            raise InputError(f"{origin} has {name} of type {kind}; give real numbers, such as float32.")
        if count != shape[0]:
            raise InputError(f"{origin} has {count} {name} for {shape[0]} features; give one per row.")
        if name in ("labels", "paths") and array.ndim != 1:
            raise InputError(
                f"{origin} has {name} of shape {array.shape}; give [N]: of a table with a column per class, "
                "the number of the column."
            )


def _probabilities(
    arrays: Mapping[str, Any], labels: np.ndarray, names: np.ndarray, origin: Path
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Probability [N] of each row's own class and of its strongest other one, as far as they are known."""
    if "probabilities" not in arrays:
        return None, None
    values = np.asarray(arrays["probabilities"][()], dtype=np.float64)
    if not ((values >= 0) & (values <= 1)).all():
        raise InputError(f"{origin} holds probabilities outside [0, 1]; give probabilities, not logits.")
    if values.ndim == 1:
        return values, None
    if values.ndim != 2 or values.shape[1] != len(names):
        raise InputError(
            f"{origin} has probabilities of shape {values.shape} for {len(names)} labels; "
            "give [N] of the own class, or [N, labels] in ascending order of the labels."
        )
    mine = np.searchsorted(names, labels)[:, None] == np.arange(len(names))
    rival = np.where(mine, 0, values).max(1)
    _warn_near_chance(values[mine] > rival, len(names), origin)
    return values[mine], rival


def _warn_near_chance(right: np.ndarray, classes: int, origin: Path) -> None:
    """Say where probabilities name the own class of hardly more images than a guess would."""
    if classes > 1 and right.mean() <= min(NEAR_CHANCE / classes, 1 / 2):
        say(
            f"warning: {origin}: the probabilities name the own class of {right.mean():.0%} of the images "
            f"(chance: {1 / classes:.0%}); their columns must be in ascending order of the labels."
        )


def _text(array: Any) -> np.ndarray:
    """Strings of an npz array or of an HDF5 dataset."""
    if isinstance(array, h5py.Dataset) and h5py.check_string_dtype(array.dtype):
        return np.array(read_text(array))
    return np.asarray(array[()]).astype(str)


def _labels(array: Any, origin: Path) -> np.ndarray:
    """Labels as whole numbers where they are numbers, else as text."""
    if np.issubdtype(array.dtype, np.integer):
        return np.asarray(array[()])
    if not np.issubdtype(array.dtype, np.floating):
        return _text(array)
    values = np.asarray(array[()])
    whole = np.isfinite(values) & (values == np.floor(values))
    if not whole.all():
        row = int(whole.argmin())
        raise InputError(
            f"{origin}: label {values[row]} of row {row} is no whole number; number classes, or name them."
        )
    return values.astype(np.int64)

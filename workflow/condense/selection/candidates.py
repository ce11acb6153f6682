"""Images of each class, as selection sees them: read from the pipeline's shards or from a user's own file."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from condense.base.errors import InputError
from condense.base.progress import say
from condense.base.shards import is_ours, open_hdf5, open_shard, read_text
from condense.images.index import read_index

NEAR_CHANCE = 3  # times chance: columns in a wrong order get about twice, since a few stay in their places
LEAST = np.finfo(np.float32).tiny  # a probability of zero counts as this, so that its logarithm is finite


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
        """Read the features [n, d]. Raises InputError that names the first image whose are not finite."""
        values = np.asarray(self.source[()])[self.order]
        if values.ndim != 2:
            raise InputError(f"class {self.name} has features of shape {values.shape}; they must be [n, d].")
        wrong = ~np.isfinite(values).all(1)
        if wrong.any():
            path = self.paths[int(wrong.argmax())]
            raise InputError(
                f"the features of {path} (class {self.name}) are not finite; embed that image anew."
            )
        return values


@dataclass(frozen=True)
class Choice:
    """Chosen images of one class for one budget, as ranked positions in its list of paths."""

    images: ImageClass
    budget: int
    ranked: list[int]
    diagnostics: dict[str, Any]


def list_classes(index: Path) -> list[ImageClass]:
    """Classes of an index of images, without features."""
    found = [
        _ordered(name, rows[0].class_index, [row.path for row in rows])
        for name, rows in read_index(index).items()
    ]
    return sorted(found, key=lambda images: images.index)


@contextmanager
def open_features(features: Path, probabilities: Path | None = None) -> Iterator[list[ImageClass]]:
    """Classes of an embeddings shard, or of a flat HDF5 or npz file, in the order of their index.

    A flat file holds `features` [N, d], `labels` [N] and optionally `paths` [N] (else images are named by
    their row) and `probabilities`: [N] of the own class, or [N, K] with a column per label, labels ascending:
    as numbers where they are whole numbers, else as text.
    """
    with ExitStack() as stack:
        if Path(features).suffix == ".npz":
            yield _flat(stack.enter_context(_open_npz(features)), features, probabilities)
            return
        shard = stack.enter_context(open_hdf5(features))
        arrays = {name: found for name, found in shard.items() if isinstance(found, h5py.Dataset)}
        if arrays or not is_ours(shard):
            yield _flat(arrays, features, probabilities)
            return
        known = stack.enter_context(open_shard(probabilities)) if probabilities else {}
        yield sorted(
            (_group(name, shard[name], known, probabilities) for name in shard), key=lambda found: found.index
        )


def add_scores(classes: list[ImageClass], origin: Path) -> list[ImageClass]:
    """The same classes with the score of each image, from `difficulty` or `margins`."""
    with open_shard(origin) as shard:
        return [replace(images, score=_score(images, shard, origin)) for images in classes]


def _score(images: ImageClass, shard: h5py.File, origin: Path) -> np.ndarray:
    """Scores of a class in the order of its paths."""
    if images.name not in shard:
        raise InputError(f"{origin} has no scores of class {images.name}; make it anew.")
    group = shard[images.name]
    known = dict(zip(read_text(group["paths"]), group["score"][()].tolist(), strict=True))
    if missing := next((path for path in images.paths if path not in known), None):
        raise InputError(f"{origin} has no score of {missing}; make it anew.")
    values = np.array([known[path] for path in images.paths], np.float64)
    if not np.isfinite(values).all():
        path = images.paths[int(np.argmin(np.isfinite(values)))]
        raise InputError(f"{origin} has a score of {path} that is not finite; look at that image.")
    return values


def _group(name: str, group: h5py.Group, known: Mapping[str, Any], origin: Path | None) -> ImageClass:
    """Class of one group of an embeddings shard, with its probabilities where a file of them is given."""
    if missing := {"paths", "features"} - {*group}:
        raise InputError(f"{group.file.filename} has no {min(missing)} of class {name}: give embeddings.")
    paths, log_probability, log_runner_up = read_text(group["paths"]), None, None
    if origin:
        if name not in known or read_text(known[name]["paths"]) != paths:
            raise InputError(f"{origin} does not list the images of class {name}; classify them anew.")
        log_probability, log_runner_up = (
            known[name][key][()] for key in ("log_probability", "log_runner_up")
        )
        if not (log_probability <= 0).all():
            raise InputError(f"{origin} holds a log-probability of class {name} above 0; classify anew.")
    logs = (log_probability, log_runner_up)
    return _ordered(name, int(group.attrs["class_index"]), paths, group["features"], *logs)


def _ordered(
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


def _open_npz(path: Path) -> np.lib.npyio.NpzFile:
    try:
        return np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as npz ({error}).") from None


def _flat(arrays: Mapping[str, Any], origin: Path, probabilities: Path | None) -> list[ImageClass]:
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
    features, labels = arrays["features"][()], _labels(arrays["labels"], origin)
    rows, names = len(features), np.unique(labels)
    for name in ("labels", "paths", "probabilities"):
        if name in arrays and len(arrays[name]) != rows:
            raise InputError(
                f"{origin} has {len(arrays[name])} {name} for {rows} features; give one per row."
            )
    paths = np.array([str(row) for row in range(rows)]) if "paths" not in arrays else _text(arrays["paths"])
    if len(np.unique(paths)) < rows:
        raise InputError(f"{origin} names two images alike in 'paths'; a path must be unique.")
    known = _probabilities(arrays, labels, names, origin)
    found = []
    for index, name in enumerate(names):
        members = np.flatnonzero(labels == name)
        logs = [None if values is None else np.log(np.maximum(values[members], LEAST)) for values in known]
        label = int(name) if np.issubdtype(names.dtype, np.number) else index
        found.append(_ordered(str(name), label, paths[members].tolist(), features[members], *logs))
    return found


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
    return np.array(read_text(array)) if isinstance(array, h5py.Dataset) else np.asarray(array).astype(str)


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

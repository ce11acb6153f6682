"""Images of each class, as selection sees them: read from the pipeline's shards or from a user's own file."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from condense.base.errors import InputError
from condense.base.shards import is_ours, open_hdf5, open_shard, read_text
from condense.images.index import read_index
from condense.selection.flat import flat_classes, open_npz
from condense.selection.image_class import ImageClass, ordered


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
        ordered(name, rows[0].class_index, [row.path for row in rows])
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
            yield flat_classes(stack.enter_context(open_npz(features)), features, probabilities)
            return
        shard = stack.enter_context(open_hdf5(features))
        arrays = {name: found for name, found in shard.items() if isinstance(found, h5py.Dataset)}
        if arrays or not is_ours(shard):
            yield flat_classes(arrays, features, probabilities)
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
    return ordered(name, int(group.attrs["class_index"]), paths, group["features"], *logs)

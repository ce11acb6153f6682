"""HDF5 shards of per-class arrays: one group per class, its index as attribute, whole or absent."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np

from gadc.errors import InputError
from gadc.storage import replacing

Arrays = Mapping[str, np.ndarray | list[str]]
TEXT = h5py.string_dtype("utf-8")


def write_shard(path: Path, attributes: Mapping[str, str], groups: Iterable[tuple[str, int, Arrays]]) -> None:
    """Write (class, class index, arrays) groups; the attribute `complete` says that every class is in."""
    with replacing(path) as beside, h5py.File(beside, "w") as file:
        file.attrs.update(attributes)
        for name, index, arrays in groups:
            group = file.create_group(name)
            group.attrs["class_index"] = index
            for key, values in arrays.items():
                group.create_dataset(key, data=values, dtype=TEXT if isinstance(values, list) else None)
        file.attrs["complete"] = True


@contextmanager
def open_shard(path: Path) -> Iterator[h5py.File]:
    """Open a shard to read. Raises InputError for a damaged or unfinished file."""
    try:
        file = h5py.File(path, "r", locking="best-effort")
    except OSError as error:
        raise InputError(f"{path} cannot be read as HDF5 ({error}): delete it and run again.") from None
    with file:
        if not file.attrs.get("complete"):
            raise InputError(f"{path} is unfinished: delete it and run again.")
        yield file


def read_text(dataset: h5py.Dataset) -> list[str]:
    """Strings of a text dataset."""
    return list(dataset.asstr()[()])

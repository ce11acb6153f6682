"""HDF5 shards of per-class arrays: one group per class, its index as attribute, whole or absent."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import h5py
import numpy as np

from condense.base.errors import AGAIN, InputError
from condense.base.storage import replacing

Arrays = Mapping[str, np.ndarray | list[str]]


@contextmanager
def create(path: Path) -> Iterator[h5py.File]:
    """Make a new HDF5 file, in memory until it is whole: HDF5 crashes where it meets a full disk."""
    content = BytesIO()
    with h5py.File(content, "w", libver=("v110", "latest")) as file:  # its structure carries checksums
        yield file
    path.write_bytes(content.getbuffer())


@contextmanager
def create_around(
    path: Path, name: str, shape: tuple[int, ...], dtype: type, beside: Arrays
) -> Iterator[BinaryIO]:
    """Make a new HDF5 file around one array too large for memory; yields the file to write its bytes to.

    The bytes come in the array's order, all of them. HDF5 itself, which crashes where it meets a full disk,
    makes the arrays `beside` and what describes the large one, in memory, and never sees the disk.
    """
    content = BytesIO()
    aligned = {"alignment_threshold": 1, "alignment_interval": 64}  # so that the array can be mapped
    with h5py.File(content, "w", libver=("v110", "latest"), **aligned) as file:
        for key, values in beside.items():
            put(file, key, values)
        layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        layout.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)  # it has its place, which is the end of the file
        layout.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
        offset = file.create_dataset(name, shape, dtype, dcpl=layout).id.get_offset()
    with path.open("wb") as file:
        file.write(content.getvalue().ljust(offset or 0, b"\0"))  # no place has an array without elements
        yield file


def put(group: h5py.Group, name: str, values: np.ndarray | list[str]) -> None:
    """Write an array or a list of strings; a flipped bit is an error when it is read."""
    if isinstance(values, list):
        values = np.array([text.encode() for text in values], dtype=np.bytes_)
        values = values.astype(h5py.string_dtype("utf-8", max(values.dtype.itemsize, 1)))
    group.create_dataset(name, data=values, fletcher32=True if values.size else None)


def write_shard(path: Path, attributes: Mapping[str, str], groups: Iterable[tuple[str, int, Arrays]]) -> None:
    """Write (class, class index, arrays) groups; the attribute `complete` says that every class is in."""
    with replacing(path) as beside, create(beside) as file:
        file.attrs.update(attributes)
        for name, index, arrays in groups:
            group = file.create_group(name)
            group.attrs["class_index"] = index
            for key, values in arrays.items():
                put(group, key, values)
        file.attrs["complete"] = True


@contextmanager
def open_hdf5(path: Path) -> Iterator[h5py.File]:
    """Open an HDF5 file, ours or another's, to read. Raises InputError where it is damaged."""
    try:
        with h5py.File(path, "r", locking="best-effort") as file:
            yield file
    except (OSError, KeyError, RuntimeError) as error:
        if "synchronously" in str(error):  # HDF5's own, and not of the work that is done meanwhile
            reason = str(error).splitlines()[0]
            raise InputError(f"{path} cannot be read as HDF5 ({reason}): {AGAIN}.") from None
        raise


def is_ours(file: h5py.File) -> bool:
    """Whether the pipeline wrote a shard: it marks its own as complete, and lets no other appear."""
    return "complete" in file.attrs


@contextmanager
def open_shard(path: Path) -> Iterator[h5py.File]:
    """Open a shard to read. Raises InputError for a damaged file, and for one that is not ours."""
    with open_hdf5(path) as file:
        if not is_ours(file):
            held = ", ".join(file) or "nothing"
            raise InputError(
                f"{path} is unfinished or no shard of the pipeline: it holds {held}; give another."
            )
        yield file


def read_text(dataset: h5py.Dataset) -> list[str]:
    """Strings of a text dataset."""
    return list(dataset.asstr()[()])

"""Parquet files as a source: a column of encoded images and one of labels, as Hugging Face stores them."""

import json
from collections import OrderedDict
from functools import cache, cached_property
from itertools import accumulate
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

from condense.base.errors import InputError
from condense.images.packed import UNLABELLED, Packed, Places, keep

KEPT = 2**30  # bytes of images that stay in memory, as they are encoded


class Stored(NamedTuple):
    """Where an image is in a Parquet file."""

    file: Path
    group: int  # of rows, which is what can be read at once
    row: int  # of the group


class Parquet(Packed):
    """Images of Parquet files; a class is a label, an image is named by its stored path or its row."""

    kind, suffix = "Parquet file", ".parquet"

    @cached_property
    def places(self) -> Places:
        """Row of each image; of the images only the stored paths are read."""
        label = None if self.settings.unlabelled else self.settings.label_column
        return _list_rows(self.files, self.settings.image_column, label)

    def classes(self) -> list[str]:
        """Names of the labels, sorted: those in the files' metadata, else the labels themselves."""
        named = set()
        if not self.settings.unlabelled:
            named = set().union(
                *(_class_names(file, self.settings.label_column) or () for file in self.files)
            )
        return sorted(named or self.places)[: self.settings.classes]

    def sizes(self, name: str) -> dict[str, int]:
        """Encoded bytes of each image of a class; for this every image is read once."""
        column = self.settings.image_column
        return {path: _sizes(at.file, column)[at.group][at.row] for path, at in self.places[name].items()}

    def content(self, place: Stored) -> bytes:
        """An image as it is encoded there."""
        stored = _GROUPS.read(place.file, place.group, self.settings.image_column)[place.row].as_py()
        return (stored["bytes"] if isinstance(stored, dict) else stored) or b""


class _Groups:
    """Groups of rows of a column, of which the last used stay in memory."""

    def __init__(self) -> None:
        self.kept: OrderedDict[tuple, Any] = OrderedDict()
        self.lock = Lock()

    def read(self, file: Path, group: int, column: str) -> Any:
        """Values of a column in a group of rows."""
        key = file, group, column, file.stat().st_mtime_ns
        with self.lock:
            if key not in self.kept:
                self.kept[key] = _read(file, column, group)
                while len(self.kept) > 1 and sum(found.nbytes for found in self.kept.values()) > KEPT:
                    self.kept.popitem(last=False)
            self.kept.move_to_end(key)
            return self.kept[key]


_GROUPS = _Groups()


@cache
def _list_rows(files: tuple[Path, ...], image_column: str, label_column: str | None) -> Places:
    """Row of each image, by class and path."""
    found: dict[str, dict[str, Stored]] = {}
    number = 0
    for file in files:
        paths = _stored_paths(file, image_column)
        labels = [UNLABELLED] * len(paths)
        names = None
        if label_column is not None:
            labels = _read(file, label_column).to_pylist()
            names = _class_names(file, label_column)
        starts = [0, *accumulate(_group_sizes(file))]
        group = 0
        for row, (label, path) in enumerate(zip(labels, paths, strict=True)):
            group += row == starts[group + 1]
            name = _class_of(label, names, file, row)
            path = f"{name}/{Path(path).name if path else f'{number:08}.png'}"
            keep(found, name, path, Stored(file, group, row - starts[group]), file)
            number += 1
    return found


def _class_of(label: Any, names: list[str] | None, file: Path, row: int) -> str:
    """Name of the class of a row."""
    if names is not None and isinstance(label, int) and 0 <= label < len(names):
        return names[label]
    if names is not None or label is None or "/" in str(label):
        known = "a name of a class" if names is None else f"one of its {len(names)} classes"
        raise InputError(f"{file} has the label {label!r} in row {row}, which is not {known}: correct it.")
    return str(label)


def _class_names(file: Path, column: str) -> list[str] | None:
    """Names of the classes that Hugging Face's metadata give for a column of numbers."""
    described = (_open(file).schema_arrow.metadata or {}).get(b"huggingface", b"{}")
    features = json.loads(described).get("info", {}).get("features", {})
    return features.get(column, {}).get("names")


def _stored_paths(file: Path, column: str) -> list[str | None]:
    """Path that is stored with each image of a file, none where one has none; no image is read."""
    import pyarrow as pa

    opened = _open(file)
    _require(opened, file, column)
    kind = opened.schema_arrow.field(column).type
    content = kind.field("bytes").type if pa.types.is_struct(kind) else kind
    if not (pa.types.is_binary(content) or pa.types.is_large_binary(content)):
        raise InputError(f"{file} has no encoded images in column {column!r}: set images.image_column.")
    paths = [None] * opened.metadata.num_rows
    if pa.types.is_struct(kind) and kind.get_field_index("path") >= 0:
        paths = [stored["path"] for stored in _read(file, f"{column}.path").to_pylist()]
    return paths if all(paths) else [None] * len(paths)


@cache
def _sizes(file: Path, column: str) -> list[list[int]]:
    """Encoded bytes of the images of each group of rows."""
    import pyarrow as pa
    import pyarrow.compute as pc

    found = []
    for group in range(len(_group_sizes(file))):
        images = _read(file, column, group)
        if pa.types.is_struct(images.type):
            images = pc.struct_field(images, "bytes")
        found.append([size or 0 for size in pc.binary_length(images).to_pylist()])
    return found


@cache
def _group_sizes(file: Path) -> list[int]:
    described = _open(file).metadata
    return [described.row_group(group).num_rows for group in range(described.num_row_groups)]


def _read(file: Path, column: str, group: int | None = None) -> Any:
    """A column of a file, or of a group of its rows."""
    import pyarrow as pa

    opened = _open(file)
    _require(opened, file, column.partition(".")[0])
    try:
        every = opened.read([column]) if group is None else opened.read_row_group(group, [column])
        return every.column(0)
    except (pa.ArrowException, OSError) as error:
        raise _damaged(file, error) from None


def _require(opened: Any, file: Path, column: str) -> None:
    """Refuse a file without a column."""
    if column not in opened.schema_arrow.names:
        raise InputError(
            f"{file} has no column {column!r} but {', '.join(opened.schema_arrow.names)}: "
            "set images.image_column and images.label_column."
        )


def _open(file: Path) -> Any:
    """A Parquet file, of which only the description is read."""
    import pyarrow as pa
    from pyarrow.parquet import ParquetFile

    try:
        return ParquetFile(file)
    except (pa.ArrowException, OSError) as error:
        raise _damaged(file, error) from None


def _damaged(file: Path, error: Exception) -> InputError:
    reason = str(error).splitlines()[0]
    return InputError(f"{file} cannot be read as Parquet ({reason}): download it again.")

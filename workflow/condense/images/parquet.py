"""Parquet files as a source: a column of encoded images and one of labels, as Hugging Face stores them."""

import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from condense.base.errors import InputError
from condense.config.settings import Images
from condense.images.decoding import decode

if TYPE_CHECKING:
    from PIL import Image


class Parquet:
    """Images of local Parquet files; a class is a label, an image is named by its stored path or its row.

    The images of a file are read into memory as they are encoded when the first of them is opened.
    """

    def __init__(self, settings: Images) -> None:
        self.settings = settings

    def classes(self) -> list[str]:
        """Names of the labels, sorted: those in the files' metadata, else the labels themselves."""
        names = set().union(*(_names(file, self.settings.label_column) for file in self._files()))
        return sorted(names)[: self.settings.classes]

    def images(self, name: str) -> list[tuple[str, int]]:
        """Images of a class, sorted by name; InputError where there are none."""
        rows = self._rows().get(name)
        if not rows:
            raise InputError(f"Class {name!r} has no image in {self.settings.root}.")
        found = sorted((path, size) for path, (_, _, size) in rows.items())
        return found[: self.settings.per_class]

    def open(self, path: str, side: int | None = None) -> "Image.Image":
        """Decode one image; a JPEG much larger than `side` comes reduced, to twice `side` or more."""
        file, row, _ = self._rows()[path.partition("/")[0]][path]
        stored = _column(file, self.settings.image_column)[row].as_py()
        content = stored["bytes"] if isinstance(stored, dict) else stored
        return decode(file.parent / path, side, content or b"")

    def holds(self, path: str, name: str) -> bool:
        """Whether a row of the class has that path."""
        return path in self._rows().get(name, {})

    def state(self, name: str) -> int:
        """Newest modification time of the files, in nanoseconds."""
        return max(file.stat().st_mtime_ns for file in self._files())

    def _rows(self) -> dict[str, dict[str, tuple[Path, int, int]]]:
        columns = (self.settings.image_column, self.settings.label_column)
        return _list_rows(tuple(self._files()), *columns)

    def _files(self) -> list[Path]:
        """The file that the root names, or the files that it is a pattern of."""
        root = Path(self.settings.root or "")
        files = [root] if root.is_file() else sorted(root.parent.glob(root.name)) if root.name else []
        if not files or not all(file.is_file() for file in files):
            raise InputError(
                f"No Parquet file is at {root}: give images.root a file, or a pattern as x-*.parquet."
            )
        return files


@cache
def _list_rows(
    files: tuple[Path, ...], image_column: str, label_column: str
) -> dict[str, dict[str, tuple[Path, int, int]]]:
    """File, row and encoded bytes of each image, by class and path."""
    found: dict[str, dict[str, tuple[Path, int, int]]] = {}
    number = 0
    for file in files:
        labels = _column(file, label_column).to_pylist()
        names = _class_names(file, label_column)
        for row, (label, (path, size)) in enumerate(zip(labels, _stored(file, image_column), strict=True)):
            name = _class_of(label, names, file, row)
            kept = found.setdefault(name, {})
            path = f"{name}/{Path(path).name if path else f'{number:08}.png'}"
            if path in kept:
                raise InputError(f"{file} names two images {path!r}: remove the paths of its images.")
            kept[path] = (file, row, size)
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


def _names(file: Path, column: str) -> list[str]:
    """Names of the classes of a file; no image is read."""
    names = _class_names(file, column)
    if names is not None:
        return names
    return [_class_of(label, None, file, row) for row, label in enumerate(_column(file, column).to_pylist())]


def _class_names(file: Path, column: str) -> list[str] | None:
    """Names of the classes that Hugging Face's metadata give for a column of numbers."""
    described = (_open(file).schema_arrow.metadata or {}).get(b"huggingface", b"{}")
    features = json.loads(described).get("info", {}).get("features", {})
    return features.get(column, {}).get("names")


def _stored(file: Path, column: str) -> list[tuple[str | None, int]]:
    """(stored path, encoded bytes) of each image of a file."""
    import pyarrow as pa
    import pyarrow.compute as pc

    images = _column(file, column)
    if pa.types.is_struct(images.type):
        paths = pc.struct_field(images, "path").to_pylist()
        images = pc.struct_field(images, "bytes")
    else:
        paths = [None] * len(images)
    if not (pa.types.is_binary(images.type) or pa.types.is_large_binary(images.type)):
        raise InputError(f"{file} has no encoded images in column {column!r}: set images.image_column.")
    sizes = [size or 0 for size in pc.binary_length(images).to_pylist()]
    return list(zip(paths if all(paths) else [None] * len(sizes), sizes, strict=True))


@cache
def _column(file: Path, name: str) -> Any:
    """A column of a file, in memory."""
    import pyarrow as pa

    opened = _open(file)
    if name not in opened.schema_arrow.names:
        raise InputError(
            f"{file} has no column {name!r} but {', '.join(opened.schema_arrow.names)}: "
            "set images.image_column and images.label_column."
        )
    try:
        return opened.read(columns=[name]).column(0)
    except (pa.ArrowException, OSError) as error:
        raise _damaged(file, error) from None


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

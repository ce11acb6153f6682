"""Stage 1: list the images of one shard of classes."""

import csv
import hashlib
import re
from pathlib import Path
from typing import Annotated, NamedTuple

import pandas as pd
import typer

from condense.base.errors import InputError
from condense.base.progress import say
from condense.base.storage import replacing
from condense.base.tables import read_table, write_table
from condense.config.options import take
from condense.config.settings import Images
from condense.images.sources import source


class Row(NamedTuple):
    """One image: path below the root with forward slashes, class, the class's place, size of the file."""

    path: str
    cls: str
    class_index: int
    bytes: int


HEADER = ("path", "class", "class_index", "bytes")


def members(classes: list[str], shard: str) -> list[tuple[int, str]]:
    """(index, name) of the classes in shard "i-of-k": consecutive, as even as possible, perhaps none."""
    match = re.fullmatch(r"([1-9]\d*)-of-([1-9]\d*)", shard)
    if not match or int(match[1]) > int(match[2]):
        raise InputError(f"Shard {shard!r} must read like 1-of-4.")
    number, shards = int(match[1]), int(match[2])
    start, stop = (len(classes) * n // shards for n in (number - 1, number))
    return list(enumerate(classes))[start:stop]


def list_images(images: Images, shard: str = "1-of-1") -> list[Row]:
    """Rows of one shard. Raises InputError for a missing root, a root without classes and an empty class."""
    opened = source(images)
    rows = []
    for number, name in members(opened.classes(), shard):
        rows += [Row(path, name, number, size) for path, size in opened.images(name)]
    for row in rows:
        try:
            row.path.encode()
        except UnicodeEncodeError:
            raise InputError(f"The name {row.path!a} is not UTF-8 text: rename the file or folder.") from None
    return rows


def fingerprint(images: Images, shard: str) -> str:
    """Digest that changes when images join or leave the classes of a shard, without looking at any file.

    "missing" where there is no root, so that a plan can be made before the images are there.
    """
    opened = source(images)
    try:
        classes = members(opened.classes(), shard)
        state = [(number, name, opened.state(name)) for number, name in classes]
    except (InputError, OSError):
        return "missing"
    return hashlib.sha256(repr(state).encode()).hexdigest()[:16]


def read_index(*paths: Path) -> dict[str, list[Row]]:
    """Rows of index files by class, in order. Raises InputError for a file that is not an index."""
    classes: dict[str, list[Row]] = {}
    for path in paths:
        with Path(path).open(newline="", encoding="utf-8") as file:
            lines = csv.reader(file)
            if tuple(next(lines, ())) != HEADER:
                raise InputError(f"{path} is not an index: its first line must be {','.join(HEADER)}.")
            for image, name, number, size in lines:
                classes.setdefault(name, []).append(Row(image, name, int(number), int(size)))
    return classes


@take(images=Images)
def index(
    output: Annotated[Path, typer.Option(help="CSV to write: path, class, class_index, bytes.")],
    images: Images,
    shard: Annotated[str, typer.Option(help="Which part of the sorted classes, as in 1-of-4.")] = "1-of-1",
) -> None:
    """List the images of a shard of classes, sorted; nothing is decoded."""
    rows = list_images(images, shard)
    with replacing(output) as beside, beside.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(HEADER)
        writer.writerows(rows)
    say(f"{len(rows)} images in {len({row.cls for row in rows})} classes -> {output}")


def merge_index(
    shards: Annotated[list[Path], typer.Argument(help="Index of each shard, in order.")],
    output: Annotated[Path, typer.Option(help="Index of all images.")],
) -> None:
    """Put the lists of all classes together."""
    table = pd.concat([read_table(path) for path in shards], ignore_index=True)
    if table.empty:
        raise InputError("there is no image in any class; check images.root and the extensions of its files.")
    write_table(table.sort_values(["class_index", "path"], kind="stable"), output)

"""Stage 1: list the images of one shard of classes."""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from condense.base.errors import InputError, damaged
from condense.base.progress import say
from condense.base.tables import whole_rows, write_rows
from condense.config.options import take
from condense.config.settings import Images
from condense.images.sources import Source, source


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
    """Rows of one shard, without held-out images.

    Raises InputError for a missing root, a root without classes and an empty class.
    """
    opened = source(images)
    rows = []
    for number, name in members(opened.classes(), shard):
        kept = [(path, size) for path, size in opened.images(name) if not held_out(path, images)]
        if not kept:
            raise InputError(f"All images of class {name!r} are held out: lower images.validation.")
        rows += [Row(path, name, number, size) for path, size in kept]
    return _with_text_names(rows)


def list_validation(images: Images) -> list[Row]:
    """Rows of the images that students are examined on, of the same classes as those to choose from.

    Raises InputError where there are none, or none of a class, or classes that the study does not have.
    """
    names, opened = source(images).classes(), validation_source(images)
    share = isinstance(images.validation, float)
    found = opened.classes()
    if strange := [name for name in found if name not in names]:
        raise InputError(
            f"{images.validation} has a class {strange[0]!r}, which {images.root} does not have: "
            "both need the same classes."
        )
    rows = []
    for number, name in enumerate(names):
        members = opened.images(name) if name in found else []
        if share:
            members = [(path, size) for path, size in members if held_out(path, images)]
        if not members:
            raise InputError(
                f"Class {name!r} has no validation image in {images.validation}: "
                + ("raise images.validation." if share else "add some.")
            )
        rows += [Row(path, name, number, size) for path, size in members]
    return _with_text_names(rows)


def validation_source(images: Images) -> Source:
    """Where the images are that students are examined on. Raises InputError where the settings name none."""
    return source(validation_images(images))


def validation_images(images: Images) -> Images:
    """Settings of the source of those images, likewise."""
    if images.validation is None:
        raise InputError(
            "No validation images are given: set images.validation to another root, or to a share."
        )
    if isinstance(images.validation, float):
        return images
    if images.source == "digits":
        raise InputError("Source digits has no other root: give images.validation as a share, such as 0.2.")
    return replace(images, root=images.validation, validation=None, per_class=None)


def held_out(path: str, images: Images) -> bool:
    """Whether an image is held out: a function of its name and the share alone, so that no image changes
    sides when others join or leave.
    """
    if not isinstance(images.validation, float):
        return False
    place = int.from_bytes(hashlib.sha256(path.encode(errors="surrogateescape")).digest()[:8])
    return place < images.validation * 2**64


def _with_text_names(rows: list[Row]) -> list[Row]:
    """The rows; InputError for a name that is no text."""
    for row in rows:
        try:
            row.path.encode()
        except UnicodeEncodeError:
            raise InputError(f"The name {row.path!a} is not UTF-8 text: rename the file or folder.") from None
        if not is_below(row.path):
            raise InputError(f"The name {row.path!r} has a backslash: rename the file or folder.")
    return rows


def is_below(path: str) -> bool:
    """Whether a path names something below whichever folder it is joined to, on any system."""
    return "\\" not in path and "\0" not in path and not {"", ".", ".."} & {*path.split("/")}


def fingerprint(images: Images, shard: str, validation: bool = False) -> str:
    """Digest that changes when images join or leave the classes of a shard, without looking at any file.

    "missing" where there is no root, so that a plan can be made before the images are there.
    """
    try:
        opened = validation_source(images) if validation else source(images)
        classes = members(opened.classes(), shard)
        state = [(number, name, opened.state(name)) for number, name in classes]
    except (InputError, OSError):
        return "missing"
    return hashlib.sha256(repr(state).encode()).hexdigest()[:16]


def each_row(*paths: Path) -> Iterator[Row]:
    """Rows of index files, in order. Raises InputError for a file that is not an index, or is cut."""
    for path in paths:
        try:
            for line in whole_rows(path, HEADER):
                image, name, number, size = (line[column] for column in HEADER)
                if not (is_below(image) and is_below(name) and number.isdecimal() and size.isdecimal()):
                    raise ValueError(f"its line of {image!r} is none")
                yield Row(image, name, int(number), int(size))
        except (OSError, ValueError) as error:
            raise damaged(path, "an index", error) from None


def read_index(*paths: Path) -> dict[str, list[Row]]:
    """Rows of index files by class, in order."""
    classes: dict[str, list[Row]] = {}
    for row in each_row(*paths):
        classes.setdefault(row.cls, []).append(row)
    return classes


def class_names(index: Path) -> list[str]:
    """Names of the classes of an index, by class index."""
    found = {row.class_index: row.cls for row in each_row(index)}
    return [found[number] for number in sorted(found)]


def write_index(rows: list[Row], output: Path) -> None:
    """Write rows of an index whole."""
    write_rows(output, HEADER, rows)
    say(f"{len(rows)} images in {len({row.cls for row in rows})} classes -> {output}")


@take(images=Images)
def index(
    output: Annotated[Path, typer.Option(help="CSV to write: path, class, class_index, bytes.")],
    images: Images,
    shard: Annotated[str, typer.Option(help="Which part of the sorted classes, as in 1-of-4.")] = "1-of-1",
) -> None:
    """List the images of a shard of classes, sorted; nothing is decoded."""
    write_index(list_images(images, shard), output)


@take(images=Images)
def validation_index(
    output: Annotated[Path, typer.Option(help="CSV to write, as of `index`.")],
    images: Images,
) -> None:
    """List the images that students are examined on."""
    write_index(list_validation(images), output)


def merge_index(
    shards: Annotated[list[Path], typer.Argument(help="Index of each shard, in order.")],
    output: Annotated[Path, typer.Option(help="Index of all images.")],
) -> None:
    """Put the lists of all classes together."""
    rows = sorted(each_row(*shards), key=lambda row: (row.class_index, row.path))
    if not rows:
        raise InputError("there is no image in any class; check images.root and the extensions of its files.")
    found = {row.class_index for row in rows}
    if lost := {*range(max(found))} - found:
        raise InputError(
            f"{', '.join(map(str, shards))} list no image of class index {min(lost)}: "
            "if the pipeline made them, delete them and run again."
        )
    write_rows(output, HEADER, rows)

"""Subsets: the images of each class that were chosen or made, the one table that later stages read.

A row is path, class, class index and rank, the place in its class from 0. The path lies below the image
root; in a row whose column `made` says 1, below the folder of made images, which no index lists. Subsets
without made images have no such column.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import pandas as pd
import typer

from condense.base.errors import AGAIN, InputError, damaged
from condense.base.tables import read_rows, read_table, whole_rows, write_rows, write_table
from condense.config import synthesis
from condense.images.decoding import decode
from condense.images.index import each_row, is_below
from condense.images.names import is_image_name
from condense.images.sources import Source

if TYPE_CHECKING:
    from PIL import Image

COLUMNS = ("path", "class", "class_index", "rank")
MADE = Path(synthesis.MADE)
MadeFolder = Annotated[Path, typer.Option("--made", help="Folder of the images that a subset calls made.")]


class Chosen(NamedTuple):
    """One image of a subset."""

    path: str
    cls: str
    class_index: int
    rank: int
    made: bool = False


def read_subset(
    subset: Path, *, index: Path | None = None, images: Source | None = None, made: Path | None = None
) -> list[Chosen]:
    """Rows of a subset in their order. InputError for one that is cut, or names what it must not.

    No path leads out of its folder. A caller that opens images gives what says which there are: the `index`
    or the source of `images`, and the folder of `made` ones; then every row names an image of its class.
    The rows of a class stand in the order of their ranks, which are counted anew.
    """
    try:
        rows = list(_rows(subset))
        if twice := _twice(rows):
            raise ValueError(f"{twice} is chosen twice")
    except (OSError, ValueError) as error:
        raise damaged(subset, "a whole subset", error) from None
    if index is not None:
        _check_listed(rows, index, subset)
    for row in rows:
        if images is not None and not row.made and not images.holds(row.path, row.cls):
            raise InputError(f"{row.path} is not there: give the image root of the study that made {subset}.")
        if made is not None and row.made and not _is_made(made, row.path):
            raise InputError(
                f"{subset} names {row.path!r}, which is no made image below {made}: correct it, or {AGAIN}."
            )
    return rows


def write_subset(rows: Iterable[Chosen], output: Path) -> None:
    """Write a subset whole."""
    rows = list(rows)
    columns = (*COLUMNS, "made") if any(row.made for row in rows) else COLUMNS
    write_rows(output, columns, ((*row[:4], int(row.made))[: len(columns)] for row in rows))


def by_class(rows: Iterable[Chosen]) -> dict[str, list[Chosen]]:
    """Rows of each class, in their order."""
    found: dict[str, list[Chosen]] = {}
    for row in rows:
        found.setdefault(row.cls, []).append(row)
    return found


def open_chosen(row: Chosen, images: Source, made: Path, side: int | None = None) -> "Image.Image":
    """An image of a subset, upright RGB; where only `side` pixels matter it may come reduced."""
    return decode(made / row.path, side) if row.made else images.open(row.path, side)


def merge_subset(
    shards: Annotated[
        list[Path], typer.Argument(help="Subsets of the shards, then as many tables of diagnostics.")
    ],
    output: Annotated[Path, typer.Option(help="Subset of all classes.")],
    diagnostics: Annotated[Path, typer.Option(help="Diagnostics of all classes.")],
) -> None:
    """Put the chosen images of all classes together."""
    half = len(shards) // 2
    if len(shards) != 2 * half:
        raise InputError("give as many tables of diagnostics as subsets.")
    rows: list[Chosen] = []
    for subset, told in zip(shards[:half], shards[half:], strict=True):
        part = read_subset(subset)
        _check_counts(subset, part, told)
        rows += part
    if twice := _twice(rows):
        raise InputError(f"{twice} is chosen twice; delete results/selections.")
    write_subset(sorted(rows, key=lambda row: (row.class_index, row.rank)), output)
    write_table(pd.concat([read_table(path) for path in shards[half:]], ignore_index=True), diagnostics)


def _rows(subset: Path) -> Iterator[Chosen]:
    """Rows as they stand. Raises ValueError for the first that cannot be one."""
    seen: Counter = Counter()
    last: dict[str, int] = {}
    for line in whole_rows(subset, COLUMNS[:3]):
        path, name, number = (line[column] for column in COLUMNS[:3])
        rank, made = line.get("rank", str(seen[name])), line.get("made", "0")
        if not (number.isdecimal() and rank.isdecimal() and made in ("0", "1")):
            raise ValueError(f"class_index, rank or made of {path!r} is no number")
        if not is_below(path) or (made == "1" and not is_below(name)):
            raise ValueError(f"{path!r} of class {name!r} leads out of the folder of the images")
        if int(rank) <= last.get(name, -1):
            raise ValueError(f"the rank of {path!r} is not above that of the row before in its class")
        yield Chosen(path, name, int(number), seen[name], made == "1")
        last[name] = int(rank)
        seen[name] += 1


def _twice(rows: Iterable[Chosen]) -> str | None:
    """A path that two rows have, if any."""
    return next((path for path, count in Counter(row.path for row in rows).items() if count > 1), None)


def _check_listed(rows: Sequence[Chosen], index: Path, subset: Path) -> None:
    """Refuse an image, or a made image's class, that the index does not list."""
    real, known, classes = {row.path for row in rows if not row.made}, {}, set()
    for listed in each_row(index):
        classes.add((listed.cls, listed.class_index))
        if listed.path in real:
            known[listed.path] = (listed.cls, listed.class_index)
    if rows and not {row.cls for row in rows} & {name for name, _ in classes}:
        raise InputError(f"{subset} has no image of a class of {index}: give the index of its own study.")
    for row in rows:
        own = (row.cls, row.class_index)
        if (own not in classes) if row.made else (known.get(row.path) != own):
            raise InputError(
                f"{subset} names {row.path!r} of class {row.cls!r}, class index {row.class_index}, "
                f"which {index} does not list: correct it, or {AGAIN}."
            )


def _is_made(folder: Path, path: str) -> bool:
    """Whether a path names an image that lies below the folder, and not behind a link out of it."""
    file = folder / path
    return is_image_name(file.name) and file.is_file() and file.resolve().is_relative_to(folder.resolve())


def _check_counts(subset: Path, rows: Sequence[Chosen], diagnostics: Path) -> None:
    """Refuse a shard that has not as many images of each class as its selection tells."""
    held = Counter(row.cls for row in rows)
    told: dict[str, set[str]] = {name: set() for name in held}
    for line in read_rows(diagnostics, ("class", "chosen")):
        told.setdefault(line["class"], set()).add(line["chosen"])
    for name, counts in told.items():
        if str(held[name]) not in counts:
            raise InputError(
                f"{subset} holds {held[name]} images of class {name!r}, but by {diagnostics} it should hold "
                f"{' or '.join(sorted(counts)) or 'none'}: if the pipeline made them, delete both, run again."
            )

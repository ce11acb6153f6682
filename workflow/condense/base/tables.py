"""CSV tables of the pipeline, read and written whole."""

import csv
import json
import os
import sys
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path

import pandas as pd

from condense.base.errors import damaged
from condense.base.storage import replacing

NAMES = ("class", "path", "method", "generator", "student", "budget")  # text, also where like numbers
csv.field_size_limit(sys.maxsize)  # a trace of a selection is one cell of its diagnostics


def read_table(path: Path, columns: Collection[str] = (), least: int = 0) -> pd.DataFrame:
    """Read a CSV table of the pipeline; names stay text.

    InputError where it is cut, lacks one of some columns, or has fewer rows than the least.
    """
    for _ in read_rows(path, columns):  # pandas would fill up a row that is cut
        pass
    try:
        table = pd.read_csv(path, dtype=dict.fromkeys(NAMES, str), keep_default_na=False, na_values=[""])
        if missing := [name for name in columns if name not in table]:  # of a file without any row
            raise ValueError(f"column {missing[0]} is missing")
        if len(table) < least:
            raise ValueError(f"it has {len(table)} rows")
        return table
    except ValueError as error:
        raise damaged(path, "a whole table", error) from None


def read_rows(path: Path, columns: Collection[str] = ()) -> Iterator[dict[str, str]]:
    """Rows of a CSV file that has these columns, by column. InputError where it has not or is cut."""
    try:
        yield from whole_rows(path, columns)
    except (OSError, ValueError) as error:
        raise damaged(path, "a whole table", error) from None


def whole_rows(path: Path, columns: Collection[str] = ()) -> Iterator[dict[str, str]]:
    """The same with the fault as OSError or ValueError, for files of which something else is to be said."""
    with Path(path).open("rb") as file:
        if not file.seek(0, os.SEEK_END):
            raise ValueError("it is empty")
        file.seek(-1, os.SEEK_END)
        if file.read() != b"\n":
            raise ValueError("its last line has no end, as of a file that is cut off")
    with Path(path).open(newline="", encoding="utf-8-sig") as file:
        lines = csv.reader(file, strict=True)
        try:
            header = next(lines, [])
            if missing := [name for name in columns if name not in header]:
                raise ValueError(f"column {missing[0]} is missing")
            for cells in lines:
                if cells and len(cells) != len(header):
                    raise ValueError(f"line {lines.line_num} has {len(cells)} of {len(header)} cells")
                if cells:
                    yield dict(zip(header, cells, strict=True))
        except csv.Error as error:
            raise ValueError(f"line {lines.line_num}: {error}") from None


def read_lines(path: Path, keys: Collection[str], least: int = 0) -> list[dict[str, float]]:
    """Rows of a file of JSON lines that have these keys. InputError for others, or fewer than the least."""
    try:
        rows = [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]
        for number, row in enumerate(rows, 1):
            if not isinstance(row, dict) or not row.keys() >= set(keys):
                raise ValueError(f"line {number} has not {', '.join(keys)}")
        if len(rows) < least:
            raise ValueError(f"it has {len(rows)} rows")
        return rows
    except (OSError, ValueError) as error:
        raise damaged(path, "a whole history", error) from None


def write_rows(path: Path, columns: Sequence[str], rows: Iterable[Iterable[object]]) -> None:
    """Write a CSV file whole, row by row."""
    with replacing(path) as beside, beside.open("w", newline="", encoding="utf-8") as file:
        lines = csv.writer(file, lineterminator="\n")
        lines.writerow(columns)
        lines.writerows(rows)


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Write a CSV table whole, floats with all their digits."""
    with replacing(path) as beside:
        table.to_csv(beside, index=False, lineterminator="\n")

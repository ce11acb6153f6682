"""Published figures and what is odd about them; never mixed with measured ones."""

import csv
import hashlib
from functools import cache
from pathlib import Path

RESOURCES = Path(__file__).parents[1] / "resources"
ORDER = ("GADC", "D2C")  # where two papers print a figure, the first is meant


@cache
def figures() -> list[dict[str, str]]:
    """Every published figure: where it stands, what it is about, its value."""
    return _read("published.csv")


def facts() -> str:
    """Digest of the published figures and notes: corrected ones make tables anew."""
    content = b"".join((RESOURCES / name).read_bytes() for name in ("published.csv", "notes.csv"))
    return hashlib.sha256(content).hexdigest()[:16]


def published_methods() -> list[str]:
    """Methods of which a figure is published."""
    return [*dict.fromkeys(row["method"] for row in figures())]


def find_figure(table: str, **about: str) -> dict[str, str] | None:
    """The published figure of a cell: the one in the table of that name, else the first printed."""
    found = [row for row in figures() if all(row[key] == value for key, value in about.items())]
    found.sort(key=lambda row: (row["table"] != table, ORDER.index(row["source"])))
    return found[0] if found else None


def notes(table: str) -> list[str]:
    """What to know about the published figures of a table; `*` stands for every table."""
    return [row["note"] for row in _read("notes.csv") if row["table"] in (table, "*")]


@cache
def _read(name: str) -> list[dict[str, str]]:
    with (RESOURCES / name).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))

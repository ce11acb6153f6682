"""Published values and what is odd about them; never mixed with measured ones."""

import csv
import hashlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from condense.config.learners import Run

RESOURCES = Path(__file__).parents[1] / "resources"
ORDER = ("GADC", "D2C")  # where two papers print a value, the first is meant

# by kind of learner: column of published.csv, and the key of the learner's description that must equal it
SAME = {
    "generator": {
        "generator": "architecture",
        "resolution": "resolution",
        "iterations": "training_steps",
        "recipe": "recipe",
    },
}
PROTOCOL = {"generator": {"guidance": 1.5, "samples": 50_000}}  # by which the papers score


@cache
def values() -> list[dict[str, str]]:
    """Every published value: where it stands, what it is about."""
    return _read("published.csv")


def digest() -> str:
    """Digest of the published values and notes: corrected ones make tables anew."""
    content = b"".join((RESOURCES / name).read_bytes() for name in ("published.csv", "notes.csv"))
    return hashlib.sha256(content).hexdigest()[:16]


def published_methods() -> list[str]:
    """Methods of which a value is published."""
    return [*dict.fromkeys(row["method"] for row in values())]


def find_value(run: Run, metric: str, about: Mapping[str, Any], table: str = "") -> dict[str, str] | None:
    """The published value of a run; None where no paper prints one for the same network and training.

    `about` describes the run's learner; `run.budget` is the study's name of the budget. Of several values
    the one in the paper's table of the given name is meant, else the first that is printed.
    """
    kind = run.learner.kind
    if kind not in SAME or not PROTOCOL[kind].items() <= about.items():
        return None
    wanted = {"method": run.method, "budget": run.budget, "metric": metric}
    wanted |= {column: str(about[key]) for column, key in SAME[kind].items()}
    if "" in wanted.values():  # a network of no published size
        return None
    found = [row for row in values() if wanted.items() <= row.items()]
    found.sort(key=lambda row: (row["table"] != table, ORDER.index(row["source"])))
    return found[0] if found else None


def notes(table: str) -> list[str]:
    """What to know about the published values of a table; `*` stands for every table."""
    return [row["note"] for row in _read("notes.csv") if row["table"] in (table, "*")]


@cache
def _read(name: str) -> list[dict[str, str]]:
    with (RESOURCES / name).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))

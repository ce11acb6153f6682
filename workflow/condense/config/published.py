"""Published values and what is odd about them; never mixed with measured ones."""

import csv
import hashlib
from collections.abc import Collection, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from condense.config.learners import Kind, Run

RESOURCES = Path(__file__).parents[1] / "resources"
FILES: dict[Kind, str] = {"generator": "published.csv", "student": "published_accuracies.csv"}
# where two papers print a value, the first is meant
ORDER = ("GADC", "D2C", "DC", "DsCo", "IMS3", "OT-DD")

# by kind of learner: column of its file, and the key of the run's description that must equal it
SAME: dict[Kind, dict[str, str]] = {
    "generator": {
        "method": "method",
        "budget": "budget",
        "generator": "architecture",
        "resolution": "resolution",
        "iterations": "training_steps",
        "recipe": "recipe",
    },
    "student": {
        "method": "kind_of_method",  # whatever a study calls it
        "images_per_class": "images_per_class",
        "dataset": "dataset",
        "network": "network",
        "resolution": "resolution",
        "recipe": "recipe",
        "labels": "labels",
    },
}
# by which the papers score
PROTOCOL: dict[Kind, dict[str, Any]] = {"generator": {"guidance": 1.5, "samples": 50_000}, "student": {}}


@cache
def values(kind: Kind) -> list[dict[str, str]]:
    """Every published value of one kind of learner: where it stands, what it is about."""
    return _read(FILES[kind])


def digest() -> str:
    """Digest of the published values and notes: corrected ones make tables anew."""
    content = b"".join((RESOURCES / name).read_bytes() for name in (*FILES.values(), "notes.csv"))
    return hashlib.sha256(content).hexdigest()[:16]


def published_methods() -> list[str]:
    """Methods of which a value is published for a generator, where papers and studies share names."""
    return [*dict.fromkeys(row["method"] for row in values("generator"))]


def find_value(run: Run, metric: str, about: Mapping[str, Any], table: str = "") -> dict[str, str] | None:
    """The published value of a run; None where no paper prints one for the same network and training.

    `about` describes the run's learner, and of a student the choice of its images too; `run.budget` is the
    study's name of the budget. Of several values the one in the paper's table of the given name is meant,
    else the first that is printed.
    """
    kind = run.learner.kind
    if kind not in FILES:  # no paper appraises subsets
        return None
    known = {"method": run.method, "budget": run.budget} | {**about}
    if not PROTOCOL[kind].items() <= known.items():
        return None
    wanted = {column: str(known[key]) for column, key in SAME[kind].items()} | {"metric": metric}
    if "" in wanted.values():  # a network of no published size, a dataset without a name
        return None
    found = [row for row in values(kind) if wanted.items() <= row.items()]
    found.sort(key=lambda row: (row["table"] != table, ORDER.index(row["source"])))
    return found[0] if found else None


def notes(table: str, kinds: Collection[Kind]) -> list[str]:
    """What to know about the published values of a table of some learners; `*`: of each with generators."""
    known = (table, "*") if "generator" in kinds else (table,)
    return [row["note"] for row in _read("notes.csv") if row["table"] in known]


@cache
def _read(name: str) -> list[dict[str, str]]:
    with (RESOURCES / name).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))

"""What the job that makes a table knows of the study: the table's keys, its runs, their learners."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import TypeAdapter

from condense.config.learners import KINDS, Kind, Learner, Run


@dataclass(frozen=True)
class Entry:
    """A run that stands in a table."""

    run: Run  # its budget is the study's name of it
    own_budget: str  # the budget in paths; "" where the study has no such method, only a published value
    paths: Mapping[int, tuple[str, str]]  # by seed: the method in paths, and its encoder ("" for none)
    needs: tuple[str, ...]  # what the method looks at, as in `config.methods`
    choice: Mapping[str, Any] = field(default_factory=dict)  # by which published values are found


@dataclass(frozen=True)
class Making:
    """Benchmark files, as patterns, of the jobs behind a subset: its own, and those that others share."""

    own: tuple[str, ...]
    shared: tuple[str, ...]


@dataclass(frozen=True)
class TableLayout:
    """A table: its keys, its runs in order, and by kind and name the descriptions of their learners."""

    name: str
    caption: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    metrics: tuple[str, ...]
    pairs: tuple[tuple[str, str], ...]
    note: str
    published: bool  # whether published values stand beside measured ones
    vary: tuple[str, ...]  # what a seed draws anew, as in a study's config
    entries: tuple[Entry, ...]
    learners: Mapping[Kind, Mapping[str, Mapping[str, Any]]]
    control: str = ""  # method over which gains are told; "" for none
    making: Mapping[str, Making] = field(default_factory=dict)  # with a control, by `method/own budget`
    parts: tuple[str, ...] = ("encoder", "draw", "training", "sampling")  # what there is for seeds to vary
    own_set: Mapping[str, bool] = field(default_factory=dict)  # of methods: is each seed's set its own

    @classmethod
    def from_json(cls, text: str) -> "TableLayout":
        """The layout that `to_json` wrote."""
        return TypeAdapter(cls).validate_json(text)

    def to_json(self) -> str:
        """The layout as one line of text."""
        return TypeAdapter(type(self)).dump_json(self).decode()

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """Kinds of the table's learners."""
        return tuple(kind for kind in KINDS if kind in self.learners)

    @property
    def shown(self) -> set[str]:
        """Keys whose values make the rows or the columns."""
        return {*self.rows, *self.columns}

    def about(self, learner: Learner) -> Mapping[str, Any]:
        """Description of a learner: what makes its results comparable."""
        return self.learners[learner.kind][learner.name]

    def learner(self, record: Mapping[str, Any]) -> Learner:
        """Learner of a row of the table as it is written: its name stands in the column of its kind."""
        return next(
            Learner(kind, record[kind]) for kind in self.kinds if record.get(kind) in self.learners[kind]
        )

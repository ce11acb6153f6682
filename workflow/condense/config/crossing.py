"""Tables of a study: which runs meet in a table, and in which of its cells."""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from condense.config.learners import KINDS, Learner, Run
from condense.config.metrics import BY_KIND, metrics_of
from condense.config.metrics import Name as MetricName
from condense.config.names import Distinct

Key = Literal["method", *KINDS, "budget", "metric"]


class Crossing(BaseModel):
    """Methods, learners and budgets, each with each; what is left out is the table's."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    methods: Distinct[str] | None = Field(
        None, min_length=1, description="Methods, in the order of the table."
    )
    generators: Distinct[str] | None = Field(None, min_length=1, description="Generators, likewise.")
    students: Distinct[str] | None = Field(None, min_length=1, description="Students, after the generators.")
    judges: Distinct[str] | None = Field(
        None,
        min_length=1,
        description="Encoders that compare subsets with held-out images.",
    )
    budgets: Distinct[str] | None = Field(None, min_length=1, description="Budgets, likewise.")

    def learners(self) -> list[Learner]:
        """Generators, students and judges, in order."""
        return _learners(generator=self.generators, student=self.students, judge=self.judges)


def _learners(**names: Sequence[str] | None) -> list[Learner]:
    """Learners by kind, in order."""
    return [Learner(kind, name) for kind in KINDS for name in names.get(kind) or ()]


class Comparison(BaseModel):
    """Rows of `results/fid_{budget}.csv` and of `results/accuracy_{budget}.csv`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    methods: Distinct[str] = Field(min_length=1, description="Methods, in the order of the rows.")
    generators: Distinct[str] = Field([], description="Generators; each is trained on each method's images.")
    students: Distinct[str] = Field([], description="Students, likewise.")

    def learners(self) -> list[Learner]:
        """Generators and students, in order."""
        return _learners(generator=self.generators, student=self.students)

    @model_validator(mode="after")
    def compares_learners(self) -> "Comparison":
        """Something is trained on the subsets."""
        if not self.learners():
            raise ValueError("a comparison needs generators or students")
        return self


class Subsets(BaseModel):
    """Rows of `results/subsets.csv`: what is measured of subsets before anything is trained on them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    measure: str = Field(description="Name of the gadc method in whose features and by whose objective.")
    methods: Distinct[str] = Field(description="Methods, in the order of the rows.")
    budgets: Distinct[str] = Field(description="Budgets, in the order of the rows.")


class Table(Crossing):
    """One table: a projection of runs onto rows and columns; keys with one value go into the caption."""

    caption: str = Field("", description="What the table shows.")
    rows: Distinct[Key] = Field(["method"], min_length=1, description="Keys whose values make the rows.")
    columns: Distinct[Key] = Field(["metric"], description="Keys whose values make the columns.")
    methods: Distinct[str] = Field(min_length=1, description="Methods, in the order of the table.")
    budgets: Distinct[str] = Field(min_length=1, description="Budgets, likewise.")
    metrics: Annotated[Distinct[MetricName], Field(min_length=1)] = Field(["fid"], description="Metrics.")
    also: list[Crossing] = Field([], description="Further crossings in the same table.")
    pairs: Distinct[Annotated[Distinct[str], Field(min_length=2, max_length=2)]] = Field(
        [], description="Pairs of methods whose difference over seeds is printed below the table."
    )
    plot: Literal["images", "training_steps", "guidance", "grid"] | None = Field(
        None, description="Draw the first metric against this, a line per method; or all of it as a grid."
    )
    control: str | None = Field(
        None, description="Method over which each method's gain is told, column by column; a grid has one."
    )
    note: str = Field("", description="Footnote.")

    @model_validator(mode="after")
    def metrics_fit_learners(self) -> "Table":
        """Something is done with the subsets, and each metric is one of it."""
        if not self.learners():
            raise ValueError("a table needs generators, students or judges")
        kinds = dict.fromkeys(run.learner.kind for run in self.runs())
        for metric in self.metrics:
            if not any(metric in BY_KIND[kind] for kind in kinds):
                raise ValueError(f"{metric} is no metric of a {' or '.join(kinds)}")
        for kind in kinds:
            if not BY_KIND[kind].keys() & set(self.metrics):
                raise ValueError(f"none of the metrics is one of a {kind}")
        return self

    @model_validator(mode="after")
    def a_grid_compares_methods(self) -> "Table":
        """A control is compared with the other rows, so that methods make these."""
        if self.plot == "grid" and self.control is None:
            raise ValueError("plot: grid needs a control, as in `control: random`")
        if self.control is not None and self.rows != ["method"]:
            raise ValueError("with a control the rows are methods: leave `rows` out")
        return self

    @model_validator(mode="after")
    def cells_hold_one_run(self) -> "Table":
        """No two runs may share a cell."""
        if twice := set(self.rows) & set(self.columns):
            raise ValueError(f"{', '.join(sorted(twice))} cannot make both the rows and the columns")
        shown = {*self.rows, *self.columns}
        if len(self.metrics) > 1 and "metric" not in shown:
            raise ValueError("several metrics need `metric` in the rows or columns")
        seen = set()
        for run in self.runs():
            for metric in metrics_of(run.learner, self.metrics):
                place = run.names() | {"metric": metric}
                cell = tuple((key, name) for key, name in place.items() if key in shown)
                if cell in seen:
                    names = ", ".join(name for _, name in cell)
                    raise ValueError(
                        f"two runs share the cell of {names}; put another key into rows or columns"
                    )
                seen.add(cell)
        return self

    @property
    def drawn(self) -> str:
        """Folder of its picture below results/figures."""
        return "grids" if self.plot == "grid" else "tables"

    @property
    def judged(self) -> bool:
        """Whether its sets are judged and trained on besides, so that ranks by both can be compared."""
        kinds = {run.learner.kind for run in self.runs()}
        return self.control is not None and "judge" in kinds and len(kinds) > 1

    def runs(self) -> list[Run]:
        """Each run, in order, each once; `budget` is the study's name of it."""
        return [
            *dict.fromkeys(
                Run(method, learner, budget)
                for part in (self, *self.also)
                for budget in part.budgets or self.budgets
                for learner in part.learners() or self.learners()
                for method in part.methods or self.methods
            )
        ]

"""Tables of a study: which runs meet in a table, and in which of its cells (config key `tables`)."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from condense.config.metrics import Name as MetricName
from condense.config.names import Distinct

Key = Literal["method", "generator", "budget", "metric"]


class Crossing(BaseModel):
    """Methods, generators and budgets, each with each; what is left out is the table's."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    methods: Distinct[str] | None = Field(
        None, min_length=1, description="Methods, in the order of the table."
    )
    generators: Distinct[str] | None = Field(None, min_length=1, description="Generators, likewise.")
    budgets: Distinct[str] | None = Field(None, min_length=1, description="Budgets, likewise.")


class Table(Crossing):
    """One table: a projection of runs onto rows and columns; keys with one value go into the caption."""

    caption: str = Field("", description="What the table shows.")
    rows: Distinct[Key] = Field(["method"], min_length=1, description="Keys whose values make the rows.")
    columns: Distinct[Key] = Field(["metric"], description="Keys whose values make the columns.")
    methods: Distinct[str] = Field(min_length=1, description="Methods, in the order of the table.")
    generators: Distinct[str] = Field(min_length=1, description="Generators, likewise.")
    budgets: Distinct[str] = Field(min_length=1, description="Budgets, likewise.")
    metrics: Annotated[Distinct[MetricName], Field(min_length=1)] = Field(["fid"], description="Metrics.")
    also: list[Crossing] = Field([], description="Further crossings in the same table.")
    pairs: Distinct[Annotated[Distinct[str], Field(min_length=2, max_length=2)]] = Field(
        [], description="Pairs of methods whose difference over seeds is printed below the table."
    )
    plot: Literal["images", "training_steps", "guidance"] | None = Field(
        None, description="Draw the first metric against this, a line per method."
    )
    note: str = Field("", description="Footnote.")

    @model_validator(mode="after")
    def cells_hold_one_run(self) -> "Table":
        """No two runs may share a cell."""
        if twice := set(self.rows) & set(self.columns):
            raise ValueError(f"{', '.join(sorted(twice))} cannot make both the rows and the columns")
        shown, seen = {*self.rows, *self.columns}, set()
        if len(self.metrics) > 1 and "metric" not in shown:
            raise ValueError("several metrics need `metric` in the rows or columns")
        for run in self.runs():
            cell = tuple(
                value
                for key, value in zip(("method", "generator", "budget"), run, strict=True)
                if key in shown
            )
            if cell in seen:
                raise ValueError(
                    f"two runs share the cell of {', '.join(cell)}; put another key into rows or columns"
                )
            seen.add(cell)
        return self

    def runs(self) -> list[tuple[str, str, str]]:
        """(method, generator, budget) of each run, in order, each once."""
        parts = [self, *self.also]
        return [
            *dict.fromkeys(
                (method, generator, budget)
                for part in parts
                for budget in part.budgets or self.budgets
                for generator in part.generators or self.generators
                for method in part.methods or self.methods
            )
        ]

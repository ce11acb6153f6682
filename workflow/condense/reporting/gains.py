"""Methods held against a control, column by column: ranks, gains over replicates, what making took."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from condense.config.learners import KINDS, Run
from condense.config.metrics import METRICS
from condense.reporting.cost import seconds
from condense.reporting.differences import FEWEST, LEVEL, NUMBERS, Difference
from condense.reporting.layout import TableLayout
from condense.reporting.scores import metric_of

COLUMNS = (
    *("rank", "ranked", "control", "gain", "gain_low", "gain_high", "gain_seeds"),
    *("making_seconds", "shared_seconds"),
)
HOW = (
    "Gains over {} are paired differences at the same seeds, positive where better, with the "
    f"{LEVEL:.0%} interval of their mean; resolved: zero lies outside. Intervals are not widened for "
    "their number: where nothing differs, one in twenty excludes zero."
)
Column = tuple[str, str, str]  # learner, budget, metric


def add_gains(
    layout: TableLayout, rows: list[dict[str, Any]], scores: pd.DataFrame | None, benchmarks: Path | None
) -> None:
    """Add `COLUMNS` to the rows of a table that has a control.

    A gain is the method's value less the control's, or the reverse where less is better, at common seeds.
    Seconds are those of the jobs that made the set in the first replicate: its own, and those that other
    sets share.
    """
    own_budgets = {entry.run: entry.own_budget for entry in layout.entries}
    for row in rows:
        runs = [Run(name, layout.learner(row), row["budget"]) for name in (row["method"], layout.control)]
        pair = [metric_of(scores, run, own_budgets.get(run, ""), row["metric"]) for run in runs]
        row["control"] = layout.control
        sign = METRICS[row["metric"]].better
        if sign and runs[0] != runs[1] and all(values is not None for values in pair):
            gain = Difference.between(*pair)
            gain = gain if sign > 0 else gain.negated()
            row |= {"gain": gain.mean, "gain_low": gain.low, "gain_high": gain.high, "gain_seeds": gain.seeds}
        making = layout.making.get(f"{row['method']}/{own_budgets[runs[0]]}")
        if benchmarks and making:
            row["making_seconds"] = seconds(benchmarks, making.own)
            row["shared_seconds"] = seconds(benchmarks, making.shared)
    for column in by_column(rows).values():
        _rank([row for row in column if pd.notna(row.get("mean")) and METRICS[row["metric"]].better])


def _rank(rows: Sequence[dict[str, Any]]) -> None:
    """Ranks of rows by their means, 1 for the best; equals share the better rank."""
    values = pd.Series([METRICS[row["metric"]].better * row["mean"] for row in rows], dtype=float)
    for row, rank in zip(rows, values.rank(ascending=False, method="min"), strict=True):
        row |= {"rank": int(rank), "ranked": len(rows)}


def by_column(rows: Sequence[dict[str, Any]]) -> dict[Column, list[dict[str, Any]]]:
    """Rows by learner, budget and metric, those of a learner side by side, in order of appearance."""
    found: dict[str, dict[Column, list[dict[str, Any]]]] = {}
    for row in rows:
        learner = next(str(row[kind]) for kind in KINDS if pd.notna(row.get(kind)))
        column = (learner, row["budget"], row["metric"])
        found.setdefault(learner, {}).setdefault(column, []).append(row)
    return {column: mine for columns in found.values() for column, mine in columns.items()}


def sentences(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    """What is resolved, a sentence per column where something is compared; one for all without intervals."""
    compared = {
        column: found
        for column, mine in by_column(rows).items()
        if (found := [row for row in mine if pd.notna(row.get("gain"))])
    }
    most = max((int(row["gain_seeds"]) for mine in compared.values() for row in mine), default=0)
    if compared and most < FEWEST:
        yield f"{NUMBERS[most].capitalize()} and no interval: nothing is resolved in any column."
        return
    for (learner, budget, metric), mine in compared.items():
        yield f"{learner}, {budget}, {METRICS[metric].label}: {_resolved(mine)}."


def _resolved(rows: Sequence[Mapping[str, Any]]) -> str:
    """Which methods of a column are better than its control, and which worse."""
    control, counts = rows[0]["control"], sorted({int(row["gain_seeds"]) for row in rows})
    with_interval = [row for row in rows if pd.notna(row["gain_low"])]
    if not with_interval:
        return f"{NUMBERS[counts[-1]]} and no interval, nothing is resolved"
    better = [row["method"] for row in with_interval if row["gain_low"] > 0]
    worse = [row["method"] for row in with_interval if row["gain_high"] < 0]
    parts = [f"better than {control}: {', '.join(better)}"] * bool(better)
    parts += [f"{'worse' if better else f'worse than {control}'}: {', '.join(worse)}"] * bool(worse)
    left = len(rows) - len(better) - len(worse)
    open_ = f"not resolved: {left} of {len(rows)}" if parts else f"no method is resolved from {control}"
    parts += [open_] * bool(left)
    return f"{'; '.join(parts)} (over {' or '.join(map(str, counts))} seeds)"

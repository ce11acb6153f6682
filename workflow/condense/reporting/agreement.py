"""Stage tables: whether cheap measures of subsets rank them as training on them does."""

from collections.abc import Callable, Iterator
from html import escape
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import typer

from condense.base.storage import replacing
from condense.base.tables import read_table, write_table
from condense.config.learners import Learner
from condense.config.metrics import METRICS, metrics_of
from condense.reporting.differences import LEVEL, signed
from condense.reporting.layout import TableLayout
from condense.reporting.scores import metric_of, read_scores
from condense.reporting.typeset import html_page

DRAWS = 2000  # of the bootstrap
FEWEST = 6  # methods that are ranked: of fewer a bootstrap says nothing
COLUMNS = (
    *("table", "budget", "judge", "measure", "learner", "metric"),
    *("methods", "seeds", "tau", "low", "high"),
)


def agreement(
    scores: Annotated[list[Path], typer.Argument(help="Score of each run of a table.")],
    layout: Annotated[str, typer.Option(help="Layout of the table, as JSON.")],
    output: Annotated[Path, typer.Option(help="One row per measure and use (CSV).")],
    markdown: Annotated[Path, typer.Option(help="The same as Markdown.")],
    html: Annotated[Path, typer.Option(help="The same as a page.")],
) -> None:
    """Compare the ranks that a table's judges give its sets with those that training on them gives."""
    given = TableLayout.from_json(layout)
    rows = [*agreements(given, read_scores(scores))]
    write_table(pd.DataFrame(rows, columns=COLUMNS), output)
    written = read_table(output).to_dict("records")
    for path, text in ((markdown, _markdown(given, written)), (html, _html(given, written))):
        with replacing(path) as beside:
            beside.write_text(text, encoding="utf-8")


def agreements(layout: TableLayout, scores: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Kendall's tau-b of each measure and each use, over methods whose sets have the budget's size."""
    sized = [entry.run for entry in layout.entries if entry.own_budget == entry.run.budget]
    columns: dict[tuple[str, Learner, str], dict[str, pd.Series]] = {}
    for run in sized:
        for metric in metrics_of(run.learner, layout.metrics):
            values = metric_of(scores, run, run.budget, metric)
            if METRICS[metric].better and values is not None:
                mine = columns.setdefault((run.budget, run.learner, metric), {})
                mine[run.method] = METRICS[metric].better * values
    for (budget, judge, measure), measured in columns.items():
        for (other, learner, metric), used in columns.items():
            if judge.kind == "judge" and learner.kind != "judge" and budget == other:
                row = {"table": layout.name, "budget": budget, "judge": judge.name, "measure": measure}
                row |= {"learner": learner.name, "metric": metric}
                if found := rank_agreement(measured, used):
                    yield row | found


def rank_agreement(measured: dict[str, pd.Series], used: dict[str, pd.Series]) -> dict[str, Any] | None:
    """Tau-b of two values of methods, series by seed, larger for better; None for too few, or all tied.

    The interval is the percentiles of a bootstrap that draws methods and, where there are several, the seeds
    of both values together; a method counts as often as it is drawn, and forms no pair with itself.
    """
    methods = [method for method in measured if method in used]
    values = [pd.DataFrame({method: given[method] for method in methods}) for given in (measured, used)]
    first, second = (table.to_numpy() for table in values[0].align(values[1], join="inner", axis=0))
    whole = ~(np.isnan(first) | np.isnan(second)).any(0)
    first, second = first[:, whole], second[:, whole]
    seeds, count = first.shape
    if not seeds or count < FEWEST:
        return None
    point = tau(first.mean(0)[None], second.mean(0)[None], np.ones((1, count)))[0]
    if np.isnan(point):
        return None
    draw = np.random.default_rng(0)
    drawn = draw.integers(seeds, size=(DRAWS, seeds))
    times = draw.multinomial(count, np.full(count, 1 / count), size=DRAWS)
    found = tau(first[drawn].mean(1), second[drawn].mean(1), times)
    low, high = np.nanquantile(found, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return {"methods": count, "seeds": seeds, "tau": point, "low": low, "high": high}


def tau(first: np.ndarray, second: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Kendall's tau-b [draws] of values [draws, n] that occur so many times [draws, n]; NaN where all tie.

    Kendall 1945; for values that occur once it is `scipy.stats.kendalltau`, which takes one draw at a time.
    """
    signs = [np.sign(values[:, :, None] - values[:, None, :]) for values in (first, second)]
    pairs = times[:, :, None] * times[:, None, :]
    both, one, other = (
        (pairs * left * right).sum((1, 2))
        for left, right in ((signs[0], signs[1]), (signs[0], signs[0]), (signs[1], signs[1]))
    )
    norm = np.sqrt(one * other)
    return np.divide(both, norm, out=np.full(len(norm), np.nan), where=norm > 0)


def told(row: dict[str, Any] | None) -> str:
    """A tau with its interval; a dash where too few methods were ranked."""
    if row is None:
        return "–"
    return f"{signed(row['tau'], 2)} ({signed(row['low'], 2)} to {signed(row['high'], 2)})"


def _lines(rows: list[dict[str, Any]], embolden: Callable[[str], str]) -> list[list[str]]:
    """Headings, then a line per measure with a cell per use; in bold where zero lies outside the interval."""
    most = max((row["methods"] for row in rows), default=0)
    cells = {(_measure(row, most), _use(row)): row for row in rows}
    uses = [*dict.fromkeys(use for _, use in cells)]
    lines = [["Measure", *uses]]
    for measure in dict.fromkeys(measure for measure, _ in cells):
        mine = [cells.get((measure, use)) for use in uses]
        sure = [row is not None and row["low"] * row["high"] > 0 for row in mine]
        texts = [embolden(told(row)) if bold else told(row) for row, bold in zip(mine, sure, strict=True)]
        lines.append([measure, *texts])
    return lines


def _measure(row: dict[str, Any], most: int) -> str:
    few = f", {row['methods']} methods" if row["methods"] < most else ""
    return f"{METRICS[row['measure']].label} by {row['judge']}{few}"


def _use(row: dict[str, Any]) -> str:
    return f"{row['learner']}, {row['budget']}, {METRICS[row['metric']].label}"


def _notes(layout: TableLayout, rows: list[dict[str, Any]]) -> list[str]:
    """What the numbers are, and what their intervals cover."""
    methods, seeds = ([*dict.fromkeys(int(row[key]) for row in rows)] for key in ("methods", "seeds"))
    over = " or ".join(map(str, sorted(methods)))
    times = "one seed" if seeds == [1] else f"{' or '.join(map(str, sorted(seeds)))} seeds"
    drawn = "methods and seeds" if max(seeds, default=1) > 1 else "methods alone, as there is one seed"
    return [
        "Kendall's tau-b between a measure of a set and what training on it gives, larger for better in "
        "both: 1 for the same order of methods, 0 for none, -1 for the reverse.",
        f"Over {over} methods whose sets have the budget's size, by their means over {times}; "
        f"{LEVEL:.0%} interval of a bootstrap that draws {drawn} ({DRAWS:,} draws). Bold: zero lies outside, "
        "which one in twenty would by chance. Methods are no random draw: an interval tells how much rests "
        "on single ones of these.",
        f"Settings of all runs stand below table {layout.name}.",
    ]


def _title(layout: TableLayout) -> str:
    return f"Choosing without training: {layout.caption or layout.name}"


def _markdown(layout: TableLayout, rows: list[dict[str, Any]]) -> str:
    """The table for a README."""
    head, *body = _lines(rows, lambda text: f"**{text}**")
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *body]
    table = [f"| {' | '.join(line)} |" for line in lines]
    notes = [f"- {note}" for note in _notes(layout, rows)]
    return "\n".join([f"# {_title(layout)}", "", *table, "", *notes, ""])


def _html(layout: TableLayout, rows: list[dict[str, Any]]) -> str:
    """A page of its own."""
    lines = _lines(rows, lambda text: f"<b>{text}</b>")
    table = [f"<tr>{''.join(f'<td>{text}' for text in line)}" for line in lines]
    notes = [f"<li>{escape(note)}" for note in _notes(layout, rows)]
    title = _title(layout)
    return html_page(title, [f"<h1>{escape(title)}</h1><table>", *table, "</table><ul>", *notes, "</ul>"])

"""Stage tables: one row per run and metric of a table, measured beside published."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import typer

from condense.base.storage import replacing
from condense.base.tables import read_table, write_table
from condense.config.metrics import COSTS, metrics_of
from condense.config.published import find_value
from condense.reporting.cost import run_costs
from condense.reporting.gains import COLUMNS as GAINS
from condense.reporting.gains import add_gains
from condense.reporting.layout import Entry, TableLayout
from condense.reporting.learners import PRESENTATIONS
from condense.reporting.scores import read_scores, scores_of, within
from condense.reporting.typeset import Sheet


def tabulate(
    layout: Annotated[str, typer.Option(help="Layout of the table, as JSON.")],
    output: Annotated[Path, typer.Option(help="One row per run and metric, all digits (CSV).")],
    markdown: Annotated[Path, typer.Option(help="The table as Markdown.")],
    latex: Annotated[Path, typer.Option(help="The table for LaTeX, with booktabs.")],
    html: Annotated[Path, typer.Option(help="The table as a page.")],
    scores: Annotated[list[Path] | None, typer.Argument(help="Score of each run.")] = None,
    index: Annotated[Path | None, typer.Option(help="Index of all images, to count them.")] = None,
    benchmarks: Annotated[Path | None, typer.Option(help="Folder of benchmark files, for costs.")] = None,
) -> None:
    """Make one table of the study from the scores of its runs."""
    given = TableLayout.from_json(layout)
    every = read_scores(scores) if scores else None
    write_table(project(given, every, benchmarks), output)
    total = None if index is None else len(read_table(index, ["path"]))
    sheet = Sheet(given, read_table(output), every, total)
    for path, text in ((markdown, sheet.markdown()), (latex, sheet.latex()), (html, sheet.html())):
        with replacing(path) as beside:
            beside.write_text(text, encoding="utf-8")


def project(layout: TableLayout, scores: pd.DataFrame | None, benchmarks: Path | None = None) -> pd.DataFrame:
    """One row per run and metric, in the order of the layout; what is not known stays empty."""
    rows = []
    costs = COSTS.keys() & set(layout.metrics)
    for entry in layout.entries:
        mine = scores_of(scores, entry.run, entry.own_budget)
        if mine is not None and benchmarks and costs:
            mine = mine.assign(**_costs(mine, entry, layout.about(entry.run.learner), benchmarks))
        metrics = metrics_of(entry.run.learner, layout.metrics)
        rows += [_row(layout, entry, metric, mine) for metric in metrics]
    if layout.control:
        add_gains(layout, rows, scores, benchmarks)
    return pd.DataFrame(rows, columns=columns(layout))


def columns(layout: TableLayout) -> list[str]:
    """Columns of a table's CSV: one per kind of learner, and what makes the values of each comparable."""
    context = [column for kind in layout.kinds for column in PRESENTATIONS[kind].context]
    return [
        *("table", "method", *layout.kinds, "budget", "metric", "status", "seeds", "mean", "std"),
        *("published", "published_std", "difference"),
        *("published_source", "published_recipe", "published_note"),
        *dict.fromkeys(context),
        *(GAINS if layout.control else ()),
    ]


def _row(layout: TableLayout, entry: Entry, metric: str, mine: pd.DataFrame | None) -> dict[str, Any]:
    """A run's row: the mean over seeds, the published value, and what makes them comparable."""
    about = layout.about(entry.run.learner)
    presentation = PRESENTATIONS[entry.run.learner.kind]
    row: dict[str, Any] = {"table": layout.name, "metric": metric} | entry.run.names()
    row |= {key: about[key] for key in presentation.context if key in about}
    values = None if mine is None or metric not in mine else mine[metric].dropna()
    if values is not None and len(values):
        row |= {"status": "measured", "seeds": len(values), "mean": values.mean()}
        row["std"] = values.std(ddof=1) if len(values) > 1 else None
        row["trainings_std"] = within(mine, metric)
    if mine is not None:
        row["images"] = int(mine["subset_images"].iloc[0])
        if row["images"] and "images_seen" in about:
            row["views"] = about["images_seen"] / row["images"]
        row |= {key: mine[key].iloc[0] for key in presentation.scored_by if key in mine}
    if layout.published and (found := find_value(entry.run, metric, {**about, **entry.choice}, layout.name)):
        row |= {"published": float(found["value"]), "published_note": found["note"]}
        row["published_source"] = f"{found['source']} {found['table']}"
        row["published_recipe"] = found["recipe"]
        if deviation := found.get("deviation"):
            row["published_std"] = float(deviation)
        if "mean" in row:
            row["difference"] = row["mean"] - row["published"]
    return row


def _costs(
    mine: pd.DataFrame, entry: Entry, about: Mapping[str, Any], folder: Path
) -> dict[str, list[float | None]]:
    """Costs of a run, a list over seeds for each metric."""
    names = entry.run.names() | {"budget": entry.own_budget, "origin": about["origin"]}
    gpus = mine["gpus"] if "gpus" in mine else [0] * len(mine)
    kind, found = entry.run.learner.kind, []
    for seed, count in zip(mine["seed"], gpus, strict=True):
        method, encoder = entry.paths[seed]
        names |= {"method": method, "encoder": encoder, "seed": str(seed)}
        found.append(run_costs(folder, kind, int(count), entry.needs, **names))
    return {metric: [costs[metric] for costs in found] for metric in COSTS}

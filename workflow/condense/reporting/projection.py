"""Stage tables: runs projected onto the cells of a table, measured beside published, one row per cell."""

import json
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import typer

from condense.base.storage import replacing
from condense.base.tables import read_table, write_table
from condense.config.metrics import COSTS
from condense.config.published import find_value
from condense.reporting.cost import run_costs
from condense.reporting.typeset import Sheet

COLUMNS = [
    *("table", "method", "generator", "budget", "metric", "status", "seeds", "mean", "std"),
    *("published", "difference", "published_source", "published_recipe", "published_note"),
    *("images", "recipe", "resolution", "training_steps", "views", "guidance", "sampler", "steps"),
    *("samples", "labels", "detector", "reference"),
]


def tabulate(
    layout: Annotated[str, typer.Option(help="The table's rows, columns and cells, as JSON.")],
    output: Annotated[Path, typer.Option(help="One row per cell, all digits (CSV).")],
    markdown: Annotated[Path, typer.Option(help="The table as Markdown.")],
    latex: Annotated[Path, typer.Option(help="The table for LaTeX, with booktabs.")],
    html: Annotated[Path, typer.Option(help="The table as a page.")],
    scores: Annotated[list[Path] | None, typer.Argument(help="Score of each run.")] = None,
    index: Annotated[Path | None, typer.Option(help="Index of all images, to count them.")] = None,
    benchmarks: Annotated[Path | None, typer.Option(help="Folder of benchmark files, for costs.")] = None,
) -> None:
    """Make one table of the study from the scores of its runs."""
    told = json.loads(layout)
    runs = pd.concat([read_table(path) for path in scores], ignore_index=True) if scores else None
    table = project(told, runs, benchmarks)
    write_table(table, output)
    total = None if index is None else len(read_table(index))
    sheet = Sheet(told, read_table(output), runs, total)
    for path, text in ((markdown, sheet.markdown()), (latex, sheet.latex()), (html, sheet.html())):
        with replacing(path) as beside:
            beside.write_text(text, encoding="utf-8")


def project(told: dict[str, Any], runs: pd.DataFrame | None, benchmarks: Path | None = None) -> pd.DataFrame:
    """One row per cell and metric, in the order of the layout; what is not known stays empty."""
    rows = []
    for cell in told["cells"]:
        mine = select_runs(runs, cell)
        if mine is not None and benchmarks:
            mine = mine.assign(**_costs(mine, cell, told["generators"], benchmarks))
        for metric in told["metrics"]:
            rows.append(_row(told, cell, metric, mine))
    return pd.DataFrame(rows, columns=COLUMNS)


def select_runs(runs: pd.DataFrame | None, cell: dict[str, str]) -> pd.DataFrame | None:
    """Runs of a cell, a row per seed; None where there are none."""
    if runs is None:
        return None
    wanted = pd.Series(
        {"method": cell["method"], "generator": cell["generator"], "budget": cell["own_budget"]}
    )
    mine = runs[(runs[wanted.index] == wanted).all(axis=1)].drop_duplicates("seed")
    return mine if len(mine) else None


def _row(
    told: dict[str, Any], cell: dict[str, str], metric: str, mine: pd.DataFrame | None
) -> dict[str, Any]:
    """A cell's row: the mean over seeds, the published value, and what makes them comparable."""
    about = told["generators"][cell["generator"]]
    row = {key: cell[key] for key in ("method", "generator", "budget")} | {"table": told["name"]}
    row |= {key: value for key, value in about.items() if key in COLUMNS} | {"metric": metric}
    values = None if mine is None or metric not in mine else mine[metric].dropna()
    if values is not None and len(values):
        row |= {"status": "measured", "seeds": len(values), "mean": values.mean()}
        row["std"] = values.std(ddof=1) if len(values) > 1 else None
    if mine is not None:
        images = int(mine["subset_images"].iloc[0])
        row |= {
            "images": images,
            "views": about["training_steps"] * about["batch"] / images if images else None,
        }
        row |= {key: mine[key].iloc[0] for key in ("detector", "reference") if key in mine}
    found = None
    if told["published"]:
        found = find_value(cell["method"], cell["budget"], metric, about, told["name"])
    if found:
        row |= {
            "published": float(found["value"]),
            "published_source": f"{found['source']} {found['table']}",
        }
        row |= {"published_recipe": found["recipe"], "published_note": found["note"]}
        if "mean" in row:
            row["difference"] = row["mean"] - row["published"]
    return row


def _costs(
    mine: pd.DataFrame, cell: dict[str, str], generators: dict[str, Any], folder: Path
) -> dict[str, list[float | None]]:
    """Costs of a cell's runs, a list over seeds for each metric."""
    names = {key: cell[key] for key in ("method", "generator", "encoder")} | {"budget": cell["own_budget"]}
    names["origin"] = generators[cell["generator"]]["origin"]
    gpus = mine["gpus"] if "gpus" in mine else [0] * len(mine)
    found = [
        run_costs(folder, int(count), cell["needs"], seed=str(seed), **names)
        for seed, count in zip(mine["seed"], gpus, strict=True)
    ]
    return {metric: [costs[metric] for costs in found] for metric in COSTS}

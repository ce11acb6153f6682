"""Stage figures: tables as curves, the objective along a selection, distances to training images."""

from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import typer

from condense.base.errors import InputError
from condense.base.tables import read_table
from condense.config.metrics import METRICS
from condense.reporting.style import COLUMN, PAGE, line, plot

AXES = {"images": "images chosen", "training_steps": "training steps", "guidance": "guidance"}
ACROSS = 3  # panels in a row
LEGEND = 1.3  # inches beside a panel
HOLLOW = {"linestyle": ":", "markerfacecolor": "none", "marker": "s"}  # published values
BINS = ("low", "high", "generated", "held_out")

Outputs = Annotated[list[Path], typer.Option(help="Picture to write (.png or .svg); repeat it for both.")]


def plot_table(
    table: Annotated[Path, typer.Argument(help="Table of `tabulate` (CSV).")],
    output: Outputs,
    against: Annotated[str, typer.Option(help=f"One of {', '.join(AXES)}.")],
) -> None:
    """Draw a table's first metric against a column of numbers, a line per method; published ones hollow."""
    rows = read_table(table, ["method", "metric", "mean", "std", "published", against], least=1)
    rows = rows[rows["metric"] == rows["metric"].iloc[0]].dropna(subset=[against])
    height = max(2.6, 0.17 * (1 + rows["method"].nunique()))
    with plot(output, 1, 1, figsize=(COLUMN + LEGEND, height)) as (figure, panels):
        panel = panels[0, 0]
        for number, (method, mine) in enumerate(rows.groupby("method", sort=False)):
            mine = mine.sort_values(against)
            look = line(number)
            measured = mine.dropna(subset=["mean"])
            if len(measured):
                errors = measured["std"].fillna(0)
                panel.errorbar(
                    measured[against], measured["mean"], errors, label=method, marker="o", capsize=2, **look
                )
            printed = mine.dropna(subset=["published"])
            if len(printed):
                panel.plot(printed[against], printed["published"], **look | HOLLOW)
        if rows["published"].notna().any():
            panel.plot([], [], color="0.4", label="published", **HOLLOW)
        values = sorted(rows[against].unique())
        panel.set(xlabel=AXES[against], ylabel=METRICS[rows["metric"].iloc[0]].label if len(rows) else "")
        if against == "images":
            panel.set_xscale("log")
        panel.set_xticks(values, [f"{value:g}" for value in values], minor=False)
        panel.minorticks_off()
        figure.legend(loc="outside right upper")


def plot_objective(
    diagnostics: Annotated[list[Path], typer.Argument(help="Diagnostics of selections (CSV).")],
    output: Outputs,
) -> None:
    """Draw the objective along greedy construction and exchange, means over the classes."""
    with plot(output, 1, 2, figsize=(PAGE, 2.6)) as (figure, panels):
        left, right = panels[0]
        for number, path in enumerate(diagnostics):
            table = read_table(path, ["method", "greedy_trace", "exchange_trace"], least=1)
            greedy, exchange = (traces(table[name]) for name in ("greedy_trace", "exchange_trace"))
            look = line(number) | {"label": table["method"].iloc[0], "marker": "."}
            left.plot(range(1, greedy.shape[1] + 1), greedy.mean(0), **look)
            relative = 100 * (exchange / exchange[:, :1]).mean(0)
            right.plot(range(len(relative)), relative, **look)
        left.set(xlabel="images added", ylabel="objective", title="Greedy construction")
        right.set(xlabel="round of the exchange", ylabel="objective, % of greedy", title="Exchange")
        figure.legend(*right.get_legend_handles_labels(), loc="outside right upper")


def traces(column: pd.Series) -> np.ndarray:
    """Objective [classes, steps] of a column of traces; a class that ended early keeps its last value."""
    rows = [[float(word) for word in text.split()] for text in column.astype(str)]
    longest = max(map(len, rows))
    return np.array([row + row[-1:] * (longest - len(row)) for row in rows])


def plot_distances(
    histograms: Annotated[list[Path], typer.Argument(help="Histograms of `score --distances` (CSV).")],
    output: Outputs,
) -> None:
    """Draw how far generated and held-out images lie from the nearest training image, a panel per run."""
    runs = {path: table for path in histograms if len(table := read_table(path, BINS))}
    if not runs:
        raise InputError("no run of these has training images; leave the figure out.")
    across = min(ACROSS, len(runs))
    down = -(-len(runs) // across)
    size = {"figsize": (PAGE, 0.4 + 1.5 * down), "sharex": True}
    with plot(output, down, across, **size) as (figure, panels):
        for panel in panels.flat[len(runs) :]:
            panel.axis("off")
        for panel, (path, table) in zip(panels.flat, runs.items(), strict=False):
            generator, method = path.parts[-4:-2]
            edges = [*table["low"], table["high"].iloc[-1]]
            for name, number in (("generated", 0), ("held_out", 1)):
                share = table[name] / max(1, table[name].sum())
                panel.stairs(share, edges, label=name.replace("_", "-"), fill=number == 0, alpha=0.6,
                             linewidth=1.2, **line(number))  # fmt: skip
            panel.set(title=f"{method}, {generator}")
        panels.flat[0].legend()
        figure.supxlabel("distance to the nearest training image of the class", fontsize=8)
        figure.supylabel("share of images", fontsize=8)

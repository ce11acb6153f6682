"""Stage figures: how students learnt, and which class they take for which."""

from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from condense.base.tables import read_lines, read_table
from condense.config.names import replicate_of
from condense.reporting.curves import Outputs
from condense.reporting.style import COLUMN, PAGE, line, plot, shorten

NAME = 0.7  # inches that a name may take there
NAMED = 20  # most classes whose names fit beside a picture


def plot_learning(
    histories: Annotated[list[Path], typer.Argument(help="Histories of students (JSON lines).")],
    output: Outputs,
) -> None:
    """Draw loss and accuracy of students over epochs: a row per student, methods by colours."""
    rows: dict[str, dict[str, list[list[dict[str, float]]]]] = {}
    for path in histories:
        student, method = path.parts[-4:-2]
        method = replicate_of(method)[0]
        runs = rows.setdefault(student, {}).setdefault(method, [])
        lines = read_lines(path, ("training", "epoch", "loss"), least=1)
        runs.extend([*epochs] for _, epochs in groupby(lines, itemgetter("training")))
    named = max(map(len, rows.values()), default=0)
    height = max(2.4 * max(1, len(rows)), 0.17 * named)
    with plot(output, max(1, len(rows)), 2, figsize=(PAGE, height)) as (figure, panels):
        for (student, methods), (left, right) in zip(rows.items(), panels, strict=False):
            for number, (method, runs) in enumerate(methods.items()):
                for seed, epochs in enumerate(runs):
                    look = line(number) | {"label": "_" * bool(seed) + method}
                    left.plot([row["epoch"] for row in epochs], [row["loss"] for row in epochs], **look)
                    taken = [(row["epoch"], row["accuracy"]) for row in epochs if "accuracy" in row]
                    right.plot(*np.array(taken).T, marker=".", **look)
            left.set(title=student, xlabel="epoch", ylabel="loss", yscale="log")
            right.set(xlabel="epoch", ylabel="accuracy (%)")
        shown = max(panels[:, 1], key=lambda panel: len(panel.get_legend_handles_labels()[1]))
        figure.legend(*shown.get_legend_handles_labels(), loc="outside right upper")


def plot_confusion(
    confusion: Annotated[Path, typer.Argument(help="Images by class and guess, from `examine` (CSV).")],
    output: Outputs,
) -> None:
    """Draw what a student takes each class for: a row per class, shares of its validation images."""
    table = read_table(confusion, ["class"], least=1)
    names = [*table["class"]]
    counts = table.drop(columns="class").to_numpy(dtype=float)
    shares = 100 * counts / counts.sum(1, keepdims=True)
    with plot(output, 1, 1, figsize=(COLUMN, COLUMN)) as (figure, panels):
        panel = panels[0, 0]
        picture = panel.imshow(shares, vmin=0, vmax=100, cmap="viridis", interpolation="nearest")
        panel.set(xlabel="taken for", ylabel="class", xticks=[], yticks=[])
        if len(names) <= NAMED:
            short = [shorten(name, NAME, 6) for name in names]
            panel.set_xticks(range(len(names)), short, rotation=90, fontsize=6)
            panel.set_yticks(range(len(names)), short, fontsize=6)
        panel.grid(visible=False)
        figure.colorbar(picture, ax=panel, label="% of the class", shrink=0.8)

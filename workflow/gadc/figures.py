"""Stage figures: what people look at first."""

import json
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from gadc.errors import InputError
from gadc.storage import replacing

COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000"]  # Okabe and Ito


def plot_samples(
    parts: Annotated[list[Path], typer.Argument(help="Generated images, in order (npz).")],
    output: Annotated[Path, typer.Option(help="Grid: a row per class, the first images of each (png).")],
    classes: Annotated[int, typer.Option(help="Most classes to show.")] = 10,
    columns: Annotated[int, typer.Option(help="Images per class.")] = 10,
    least: Annotated[
        int, typer.Option(help="Least width of the picture in pixels; small images are enlarged.")
    ] = 640,
) -> None:
    """Draw a grid of generated images, each in the row of its class."""
    from PIL import Image

    rows: dict[int, list[np.ndarray]] = {label: [] for label in range(classes)}
    for path in parts:
        with np.load(path) as part:
            images, labels = part["images"], part["labels"]
        for label, row in rows.items():
            row.extend(images[labels == label][: columns - len(row)])
    rows = {label: row for label, row in rows.items() if row}
    if not rows:
        raise InputError(f"{parts[0]} and its sister files hold no image.")
    side = next(iter(rows.values()))[0].shape[0]
    grid = np.full((len(rows) * (side + 1), columns * (side + 1), 3), 255, np.uint8)
    for line, row in enumerate(rows.values()):
        for column, image in enumerate(row):
            top, left = line * (side + 1), column * (side + 1)
            grid[top : top + side, left : left + side] = image
    factor = max(1, -(-least // grid.shape[1]))
    picture = Image.fromarray(grid).resize(
        (grid.shape[1] * factor, grid.shape[0] * factor), Image.Resampling.NEAREST
    )
    with replacing(output) as beside:
        picture.save(beside, format="png")


def plot_losses(
    histories: Annotated[list[Path], typer.Argument(help="Histories of trainings (JSON lines).")],
    output: Annotated[Path, typer.Option(help="Loss against step, one panel per generator (png).")],
) -> None:
    """Draw the loss curves of trainings; generators are compared by panels, methods by colours."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    curves: dict[str, dict[str, np.ndarray]] = {}
    for path in histories:
        generator, method, budget, run = path.parts[-4:]
        losses = np.array([json.loads(line)["loss"] for line in path.read_text().splitlines()])
        if len(losses):
            curves.setdefault(generator, {})[f"{method} {budget} {run.split('.')[0]}"] = losses
    figure, panels = pyplot.subplots(
        1, max(1, len(curves)), figsize=(4.5 * max(1, len(curves)), 3.2), squeeze=False
    )
    for panel, (generator, runs) in zip(panels[0], curves.items(), strict=False):
        for number, (name, losses) in enumerate(runs.items()):
            window = max(1, len(losses) // 50)
            smooth = np.convolve(losses, np.ones(window) / window, mode="valid")
            panel.plot(
                np.arange(window, len(losses) + 1),
                smooth,
                label=name,
                color=COLOURS[number % len(COLOURS)],
                lw=1,
            )
        panel.set(title=generator, xlabel="step", ylabel=f"loss (mean of {window} steps)", yscale="log")
        panel.legend(fontsize=7, frameon=False)
    figure.tight_layout()
    with replacing(output) as beside:
        figure.savefig(beside, format="png", dpi=150)
    pyplot.close(figure)

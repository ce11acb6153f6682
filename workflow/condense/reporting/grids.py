"""Stage figures: what people look at first."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from condense.base.errors import InputError
from condense.base.storage import replacing
from condense.base.tables import read_lines
from condense.diffusion.parts import read_part
from condense.reporting.style import COLUMN, PAGE, line, plot, shorten

NAME = 1.2  # inches that the name of a row may take
FEW = 3  # images of a class that a comparison of methods shows


def plot_samples(
    parts: Annotated[list[Path], typer.Argument(help="Generated images, in order (npz).")],
    output: Annotated[Path, typer.Option(help="Grid: a row per class, the first images of each (png).")],
    few: Annotated[Path | None, typer.Option(help="A few of them, for `plot-methods` (npz).")] = None,
    classes: Annotated[int, typer.Option(help="Most classes to show.")] = 10,
    columns: Annotated[int, typer.Option(help="Images per class.")] = 10,
    least: Annotated[
        int, typer.Option(help="Least width of the picture in pixels; small images are enlarged.")
    ] = 640,
) -> None:
    """Draw a grid of generated images, each in the row of its class."""
    from PIL import Image

    found = first_images(parts, classes, columns)
    if not found:
        raise InputError(f"{parts[0]} and its sister files hold no image.")
    grid = tile(found)
    factor = max(1, -(-least // grid.shape[1]))
    picture = Image.fromarray(grid).resize(
        (grid.shape[1] * factor, grid.shape[0] * factor), Image.Resampling.NEAREST
    )
    with replacing(output) as beside:
        picture.save(beside, format="png")
    if few:
        # the shortest row decides, so that there is one array
        count = min(FEW, *map(len, found))
        with replacing(few) as beside, beside.open("wb") as file:
            np.savez_compressed(file, images=np.array([row[:count] for row in found]))


def plot_methods(
    runs: Annotated[list[Path], typer.Argument(help="A few images of each run, of `plot-samples` (npz).")],
    output: Annotated[list[Path], typer.Option(help="Picture to write (.png or .svg); repeat it for both.")],
) -> None:
    """Draw images of several methods side by side, from the same noise and labels: a row per class."""
    side_by_side(output, {path.parts[-3]: tile(read_part(path, "images")[0]) for path in runs})


def side_by_side(output: list[Path], pictures: dict[str, np.ndarray], rows: Sequence[str] = ()) -> None:
    """Write titled pictures uint8 [h, w, 3] beside each other, the rows of the first one named."""
    height = max(len(picture) / picture.shape[1] for picture in pictures.values())
    size = {"figsize": (PAGE, 0.3 + height * PAGE / len(pictures))}
    with plot(output, 1, len(pictures), **size) as (_, panels):
        for panel, (title, picture) in zip(panels[0], pictures.items(), strict=True):
            panel.imshow(picture, interpolation="nearest")
            panel.set_title(shorten(title, PAGE / len(pictures) - 0.1, 6), fontsize=6)
            panel.set(xticks=[], yticks=[])
            panel.spines[:].set_visible(False)
        if rows:
            step = len(next(iter(pictures.values()))) / len(rows)
            names = [shorten(name, NAME, 6) for name in rows]
            panels[0, 0].set_yticks((np.arange(len(rows)) + 0.5) * step, names, fontsize=6)
            panels[0, 0].tick_params(length=0)
            panels[0, 0].grid(visible=False)


def first_images(parts: list[Path], classes: int, columns: int) -> list[list[np.ndarray]]:
    """The first images of each class among a run's samples, a list per class."""
    rows: dict[int, list[np.ndarray]] = {label: [] for label in range(classes)}
    for path in parts:
        images, labels = read_part(path, "images", "labels")
        for label, row in rows.items():
            row.extend(images[labels == label][: columns - len(row)])
        if all(len(row) == columns for row in rows.values()):
            break
    return [row for row in rows.values() if row]


def tile(rows: Sequence[Sequence[np.ndarray]]) -> np.ndarray:
    """One picture uint8 [h, w, 3] of rows of images, white between them."""
    side = len(rows[0][0])
    columns = max(map(len, rows))
    step = side + max(1, side // 24)
    grid = np.full((len(rows) * step, columns * step, 3), 255, np.uint8)
    for down, row in enumerate(rows):
        for across, image in enumerate(row):
            top, left = down * step, across * step
            grid[top : top + side, left : left + side] = image
    return grid


def plot_losses(
    histories: Annotated[list[Path], typer.Argument(help="Histories of trainings (JSON lines).")],
    output: Annotated[list[Path], typer.Option(help="Picture to write (.png or .svg); repeat it for both.")],
) -> None:
    """Draw the loss curves of trainings; generators are compared by panels, methods by colours."""
    curves: dict[str, dict[str, np.ndarray]] = {}
    for path in histories:
        generator, method, budget, run = path.parts[-4:]
        losses = np.array([row["loss"] for row in read_lines(path, ["loss"])])
        if len(losses):
            curves.setdefault(generator, {})[f"{method} {budget} {run.split('.')[0]}"] = losses
    count = max(1, len(curves))
    with plot(output, 1, count, figsize=(COLUMN * count, 2.6)) as (_, panels):
        for panel, (generator, runs) in zip(panels[0], curves.items(), strict=False):
            for number, (name, losses) in enumerate(runs.items()):
                window = max(1, len(losses) // 50)
                smooth = np.convolve(losses, np.ones(window) / window, mode="valid")
                panel.plot(np.arange(window, len(losses) + 1), smooth, label=name, **line(number))
            panel.set(title=generator, xlabel="step", ylabel=f"loss (mean of {window} steps)", yscale="log")
            if runs:
                panel.legend()

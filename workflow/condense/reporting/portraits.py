"""Stage figures: a subset as people see it, its images beside random ones, and its place in its classes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from condense.base.errors import InputError
from condense.config.options import take
from condense.config.settings import Images
from condense.images.index import read_index
from condense.images.sources import centre_crop, source
from condense.images.subset import MADE, MadeFolder, by_class, open_chosen, read_subset
from condense.reporting.grids import side_by_side, tile
from condense.reporting.style import COLOURS, PAGE, plot, shorten
from condense.selection.candidates import open_features


@take(images=Images)
def plot_chosen(
    subset: Annotated[Path, typer.Option(help="Subset.")],
    index: Annotated[Path, typer.Option(help="Index of all images.")],
    output: Annotated[list[Path], typer.Option(help="A row per class: chosen, random (png, svg).")],
    images: Images,
    most_classes: Annotated[int, typer.Option(help="Most classes to show.", min=1)] = 10,
    columns: Annotated[int, typer.Option(help="Images of each kind in a row.", min=1)] = 6,
    side: Annotated[int, typer.Option(help="Side of an image, in pixels.", min=8)] = 96,
    made: MadeFolder = MADE,
) -> None:
    """Draw the first images that were chosen of each class beside as many random ones."""
    opened = source(images)
    everything = read_index(index)
    chosen = by_class(read_subset(subset, index=index, made=made))
    names = [name for name in everything if name in chosen][:most_classes]
    if not names:
        raise InputError(f"{subset} has no image.")
    rows: dict[str, list[list[np.ndarray]]] = {"chosen": [], "random": []}
    for name in names:
        paths = sorted(row.path for row in everything[name])
        drawn = np.random.default_rng([*name.encode()]).permutation(len(paths))[: len(chosen[name])]
        shown = [open_chosen(row, opened, made) for row in chosen[name][:columns]]
        rows["chosen"].append([_square(image, side) for image in shown])
        rows["random"].append([_square(opened.open(paths[at]), side) for at in drawn[:columns]])
    side_by_side(output, {title: tile(found) for title, found in rows.items()}, names)


def _square(image: Any, side: int) -> np.ndarray:
    """The middle of an image, uint8 [side, side, 3]; a small one is enlarged, its pixels stay squares."""
    from PIL import Image

    square = centre_crop(image, min(side, *image.size))
    return np.asarray(square.resize((side, side), Image.Resampling.NEAREST))


def plot_map(
    features: Annotated[list[Path], typer.Argument(help="Embeddings, a file per shard.")],
    subset: Annotated[Path, typer.Option(help="Subset.")],
    output: Annotated[list[Path], typer.Option(help="A panel per class (png, svg).")],
    most_classes: Annotated[int, typer.Option(help="Most classes to show.", min=1)] = 10,
) -> None:
    """Draw all and the chosen images of each class along the class's two axes of largest variance."""
    chosen = by_class(read_subset(subset))
    classed = list(_panels(features, most_classes))
    columns = min(5, len(classed))
    rows = -(-len(classed) // columns)
    with plot(output, rows, columns, figsize=(PAGE, PAGE / 5 * rows)) as (_, panels):
        for panel, (name, paths, points) in zip(panels.flat, classed, strict=False):
            own = [row.path for row in chosen.get(name, [])]
            inside = np.isin(paths, own)
            if inside.sum() < len(own):
                raise InputError(f"{subset} names images of class {name!r} that are not embedded.")
            panel.scatter(*points[~inside].T, s=2, color="0.75", linewidths=0)
            panel.scatter(*points[inside].T, s=7, color=COLOURS[1], linewidths=0)
            panel.set_title(shorten(name, PAGE / 5 - 0.1, 8))
        for panel in panels.flat:
            panel.set_axis_off()


def _panels(shards: list[Path], count: int) -> Iterator[tuple[str, list[str], np.ndarray]]:
    """Name, paths and plane coordinates of the first classes."""
    for path in shards:
        with open_features(path) as found:
            for images in found[:count]:
                yield images.name, images.paths, principal_axes(images.features())
                count -= 1


def principal_axes(features: np.ndarray) -> np.ndarray:
    """Coordinates [n, 2] of features [n, d] along their two axes of largest variance, signs fixed."""
    centred = features.astype(np.float64) - features.mean(0, dtype=np.float64)
    left, scale, _ = np.linalg.svd(centred, full_matrices=False)
    found = np.zeros((len(features), 2))
    found[:, : left.shape[1]] = (left * scale)[:, :2]
    return found * np.where(found[np.abs(found).argmax(0), [0, 1]] < 0, -1, 1)

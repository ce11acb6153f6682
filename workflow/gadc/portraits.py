"""Stage figures: a subset as people see it, its images beside random ones, and its place in its classes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from gadc.errors import InputError
from gadc.images import centre_crop, source
from gadc.index import read_index
from gadc.merge import chosen_paths
from gadc.options import take
from gadc.pairs import lay_out
from gadc.samples import open_features
from gadc.settings import Images
from gadc.storage import replacing
from gadc.style import COLOURS, PAGE, plot


@take(images=Images)
def plot_chosen(
    subset: Annotated[Path, typer.Option(help="Subset.")],
    index: Annotated[Path, typer.Option(help="Index of all images.")],
    output: Annotated[Path, typer.Option(help="A row per class: chosen left, random right (png).")],
    images: Images,
    classes: Annotated[int, typer.Option(help="Most classes to show.", min=1)] = 10,
    columns: Annotated[int, typer.Option(help="Images of each kind in a row.", min=1)] = 6,
    side: Annotated[int, typer.Option(help="Side of an image, in pixels.", min=8)] = 64,
) -> None:
    """Draw the first images that were chosen of each class beside random ones."""
    from PIL import Image

    opened, chosen, rows = source(images), chosen_paths(subset), []
    for name, members in list(read_index(index).items())[:classes]:
        paths = sorted(row.path for row in members)
        drawn = np.random.default_rng([*name.encode()]).permutation(len(paths))[:columns]
        both = chosen.get(name, [])[:columns], [paths[at] for at in drawn]
        rows.append(np.concatenate([_strip(opened, some, columns, side) for some in both], 1))
    if not rows:
        raise InputError(f"{index} lists no class; look at images.root.")
    with replacing(output) as beside:
        Image.fromarray(lay_out(rows, 1)).save(beside, format="png")


def _strip(opened, paths: list[str], columns: int, side: int) -> np.ndarray:
    """Images uint8 [side, columns * side + side / 4, 3] beside each other, white where there are none."""
    from PIL import Image

    strip = np.full((side, columns * side + side // 4, 3), 255, np.uint8)
    for column, path in enumerate(paths):
        image = opened.open(path)
        square = centre_crop(image, min(side, *image.size))
        strip[:, column * side : (column + 1) * side] = square.resize((side, side), Image.Resampling.NEAREST)
    return strip


def plot_map(
    features: Annotated[list[Path], typer.Argument(help="Embeddings, a file per shard.")],
    subset: Annotated[Path, typer.Option(help="Subset.")],
    output: Annotated[list[Path], typer.Option(help="A panel per class (png, svg).")],
    classes: Annotated[int, typer.Option(help="Most classes to show.", min=1)] = 10,
) -> None:
    """Draw all and the chosen images of each class along the class's two axes of largest variance."""
    chosen, classed = chosen_paths(subset), list(_panels(features, classes))
    columns = min(5, len(classed))
    rows = -(-len(classed) // columns)
    with plot(output, rows, columns, figsize=(PAGE, PAGE / 5 * rows)) as (_, panels):
        for panel, (name, paths, points) in zip(panels.flat, classed, strict=False):
            inside = np.isin(paths, chosen.get(name, []))
            panel.scatter(*points[~inside].T, s=2, color="0.75", linewidths=0)
            panel.scatter(*points[inside].T, s=7, color=COLOURS[1], linewidths=0)
            panel.set_title(name)
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

"""Stage figures: the generated images that lie nearest to a training image, each beside it."""

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from condense.base.errors import InputError
from condense.base.storage import replacing
from condense.base.tables import read_table
from condense.config.options import take
from condense.config.settings import Images
from condense.diffusion.parts import read_part
from condense.images.sources import load, source

GAP = 2  # white pixels around a pair; its two images touch


@take(images=Images)
def plot_pairs(
    parts: Annotated[list[Path], typer.Argument(help="Generated images, in order (npz).")],
    pairs: Annotated[Path, typer.Option(help="Closest pairs, from `score --pairs`.")],
    output: Annotated[Path, typer.Option(help="Pairs, nearest first: generated left, training right (png).")],
    images: Images,
    columns: Annotated[int, typer.Option(help="Pairs in a row.", min=1)] = 6,
    least: Annotated[int, typer.Option(help="Least width in pixels; small images are enlarged.")] = 640,
) -> None:
    """Draw the generated images nearest to training images beside these: copies show at a glance."""
    from PIL import Image

    table = read_table(pairs, ["sample", "path"])
    opened = source(images)
    generated = read_chosen(parts, table["sample"].tolist())
    real = [load(opened, path, len(image)) for path, image in zip(table["path"], generated, strict=True)]
    grid = lay_out([np.concatenate(pair, 1) for pair in zip(generated, real, strict=True)], columns)
    factor = max(1, -(-least // grid.shape[1]))
    picture = Image.fromarray(grid.repeat(factor, 0).repeat(factor, 1))
    with replacing(output) as beside:
        picture.save(beside, format="png")


def read_chosen(parts: list[Path], places: list[int]) -> list[np.ndarray]:
    """Images uint8 [h, w, 3] at some places of samples that are spread over several files."""
    found: dict[int, np.ndarray] = {}
    start = 0
    for path in parts:
        (images,) = read_part(path, "images")
        found |= {i: images[i - start] for i in places if start <= i < start + len(images)}
        start += len(images)
    if len(found) < len(set(places)):
        raise InputError(f"the closest pairs name sample {max(places)}, but there are {start}; score again.")
    return [found[i] for i in places]


def lay_out(pairs: list[np.ndarray], columns: int) -> np.ndarray:
    """Picture uint8 [h, w, 3] of equally large pieces in rows on white; only white where there are none."""
    height, width = pairs[0].shape[:2] if pairs else (1, 1)
    rows = max(1, -(-len(pairs) // columns))
    grid = np.full((rows * (height + GAP) + GAP, columns * (width + GAP) + GAP, 3), 255, np.uint8)
    for i, pair in enumerate(pairs):
        top, left = (i // columns) * (height + GAP) + GAP, (i % columns) * (width + GAP) + GAP
        grid[top : top + height, left : left + width] = pair
    return grid

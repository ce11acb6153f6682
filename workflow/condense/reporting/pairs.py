"""Stage figures: the generated images that lie nearest to a training image, each beside it."""

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from condense.base.errors import InputError
from condense.base.tables import read_table
from condense.config.options import take
from condense.config.settings import Images
from condense.diffusion.parts import read_part
from condense.images.sources import load, source
from condense.images.subset import read_subset
from condense.reporting.style import PAGE, plot, shorten

LETTERS = 6  # height of the words below a pair, in points


@take(images=Images)
def plot_pairs(
    parts: Annotated[list[Path], typer.Argument(help="Generated images, in order (npz).")],
    pairs: Annotated[Path, typer.Option(help="Closest pairs, from `score --pairs`.")],
    subset: Annotated[Path, typer.Option(help="Subset that was trained on; it names the classes.")],
    output: Annotated[Path, typer.Option(help="Pairs, nearest first: generated left, training right (png).")],
    images: Images,
    columns: Annotated[int, typer.Option(help="Pairs in a row.", min=1)] = 4,
) -> None:
    """Draw the generated images nearest to training images beside these: copies show at a glance.

    Below a pair stand its class, its rank and its distance in the detector's features.
    """
    table = read_table(pairs, ["sample", "path", "distance"])
    generated = read_chosen(parts, table["sample"].tolist())
    names = _classes(table["path"].tolist(), subset, pairs)
    opened = source(images)
    rows = max(1, -(-len(table) // columns))
    width = PAGE / columns
    with plot([output], rows, columns, figsize=(PAGE, rows * (width / 2 + 0.3))) as (_, panels):
        for panel in panels.flat:
            panel.set(xticks=[], yticks=[])
            panel.spines[:].set_visible(False)
        found = zip(panels.flat, generated, names, table["path"], table["distance"], strict=False)
        for rank, (panel, image, name, path, distance) in enumerate(found, 1):
            panel.imshow(np.concatenate([image, load(opened, path, len(image))], 1))
            told = f"{shorten(name, width - 0.2, LETTERS)}\n{rank}: distance {distance:.4g}"
            panel.set_xlabel(told, fontsize=LETTERS)


def _classes(paths: list[str], subset: Path, pairs: Path) -> list[str]:
    """Names of the classes of training images. InputError for an image that the subset does not have."""
    known = {row.path: row.cls for row in read_subset(subset)}
    for path in paths:
        if path not in known:
            raise InputError(f"{pairs} names {path!r}, which {subset} does not have: score again.")
    return [known[path] for path in paths]


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

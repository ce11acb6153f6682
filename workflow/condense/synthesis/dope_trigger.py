"""Stage dope-trigger: when more made images are no longer worth their making (DsCo, eq. 30).

The paper makes sets of growing size, and trains a student on each. The larger set is not made where the
student recognises no more than one further real image for each further made one.
"""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from condense.base.errors import InputError
from condense.base.progress import say
from condense.base.shards import open_shard
from condense.base.tables import write_rows

ENOUGH = 1.0  # PAPER: further recognised images per further made one; "> 0" in sec. 5.1.3 is a misprint


class Trained(NamedTuple):
    """Students' recognition of all real images after training on so many made ones."""

    images: int  # M, over all classes
    recognised: int  # N_M


def marginal_gains(trained: Sequence[Trained]) -> list[float]:
    """Further recognised images per further made one, from each set to the next larger."""
    pairs = pairwise(trained)
    return [(more.recognised - less.recognised) / (more.images - less.images) for less, more in pairs]


def last_made(trained: Sequence[Trained]) -> Trained | None:
    """The last set that is made: the first whose gain to the next is not above 1; None where all are."""
    gains = marginal_gains(trained)
    return next((less for less, gain in zip(trained, gains, strict=False) if gain <= ENOUGH), None)


def dope_trigger(
    confusion: Annotated[
        list[Path], typer.Argument(help="Files of `confusion` (HDF5), of all shards and students.")
    ],
    output: Annotated[Path, typer.Option(help="Table of a row per set (CSV).")],
) -> None:
    """Tell how many real images students recognise by the size of their made sets, and where to stop."""
    recognised: dict[int, int] = {}
    every: dict[int, dict[str, int]] = {}
    for path in confusion:
        with open_shard(path) as file:
            images = int(file.attrs["images"])
            for name in file:
                every.setdefault(images, {})[name] = len(file[name]["score"])
                recognised[images] = recognised.get(images, 0) + int(file[name]["recognised"][()].sum())
    trained = [Trained(images, recognised[images]) for images in sorted(recognised)]
    if len({tuple(sorted(found.items())) for found in every.values()}) > 1:
        raise InputError("the students did not judge the same images: give all shards of each.")
    found = every[trained[0].images]
    total, classes = sum(found.values()), len(found)
    gains = [*marginal_gains(trained), None]
    # a gain cannot be larger than what is left to recognise
    bounds = [(total - less.recognised) / (more.images - less.images) for less, more in pairwise(trained)]
    rows = zip(trained, gains, [*bounds, None], strict=True)
    write_rows(
        output,
        ("images_per_class", "images", "recognised", "real_images", "gain", "largest_gain"),
        ((own.images / classes, *own, total, gain, bound) for own, gain, bound in rows),
    )
    last = last_made(trained)
    told = f"stop at {last.images / classes:g} images per class" if last else "go on"
    say(f"{', '.join(f'N_{own.images} = {own.recognised}' for own in trained)}: {told} -> {output}")

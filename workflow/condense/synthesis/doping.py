"""Stage dope: a made set topped up with the real images that a student trained on it confuses most (DsCo)."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from condense.base.errors import InputError
from condense.base.progress import say
from condense.base.shards import open_shard, read_text
from condense.base.tables import write_rows
from condense.config.doping import Doped
from condense.config.options import take
from condense.images.index import read_index
from condense.images.subset import Chosen, by_class, read_subset, write_subset

DIAGNOSTICS = (
    *("method", "budget", "class", "images", "chosen", "made", "real", "recognised", "least_confusion"),
)


def most_confused(
    scores: Mapping[str, np.ndarray], count: int, scope: str = "classwise", after: int = 0
) -> dict[str, list[int]]:
    """Places of the images that are added to each class, the most confused first.

    Args:
        scores: Confusion of each image, by class.
        count: Images to add per class.
        scope: `classwise`: so many of each class. `global`: as many in all, from one ranking of all classes,
            so that a class can get many or none.
        after: Leave out so many of the most confused, per class.

    Raises InputError where there are too few images.
    """
    if scope == "classwise":
        for name, values in scores.items():
            if len(values) < after + count:
                raise InputError(
                    f"class {name!r} has {len(values)} images, of which {after + count} are needed to dope: "
                    "lower the budget."
                )
        ranked = {name: np.argsort(-values, kind="stable") for name, values in scores.items()}
        return {name: places[after : after + count].tolist() for name, places in ranked.items()}
    where = [(name, place) for name, values in scores.items() for place in range(len(values))]
    if len(where) < (after + count) * len(scores):
        raise InputError(f"{len(where)} images are too few to dope {len(scores)} classes: lower the budget.")
    order = np.argsort(-np.concatenate([*scores.values()]), kind="stable")
    found: dict[str, list[int]] = {name: [] for name in scores}
    for at in order[after * len(scores) : (after + count) * len(scores)]:
        name, place = where[at]
        found[name].append(place)
    return found


@take(method=Doped)
def dope(
    method: Doped,
    index: Annotated[Path, typer.Option(help="Index of the images of a shard: gives its classes.")],
    made_subset: Annotated[Path, typer.Option(help="Made set of all classes (CSV).")],
    confusion: Annotated[list[Path], typer.Option(help="Confusion of the images of all shards (HDF5).")],
    budget: Annotated[int, typer.Option(help="Images of each class in all.", min=1)],
    output: Annotated[Path, typer.Option(help="Subset to write (CSV).")],
    diagnostics: Annotated[Path | None, typer.Option(help="Table of one row per class.")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the method in the table.")] = None,
    budget_name: Annotated[str | None, typer.Option(help="Name of the budget in the table.")] = None,
) -> None:
    """Top a made set up to a budget with the real images that a student trained on it confuses most."""
    made = by_class(read_subset(made_subset))
    classes = {cls: rows[0].class_index for cls, rows in read_index(index).items()}
    real = read_confusion(confusion)
    added = most_confused(
        {cls: arrays["score"] for cls, arrays in real.items()},
        budget - _images_per_class(made, real, budget, made_subset),
        method.scope,
        method.after,
    )
    rows, told = [], []
    for cls, number in classes.items():
        own, arrays = made[cls], real[cls]
        paths = [arrays["paths"][place] for place in added[cls]]
        rows += own + [Chosen(path, cls, number, len(own) + k) for k, path in enumerate(paths)]
        least = min((float(arrays["score"][place]) for place in added[cls]), default=float("nan"))
        told.append(
            (
                *(name or method.kind, budget_name or budget, cls, len(arrays["paths"])),
                *(len(own) + len(paths), len(own), len(paths), int(arrays["recognised"].sum()), least),
            )
        )
    write_subset(rows, output)
    if diagnostics:
        write_rows(diagnostics, DIAGNOSTICS, told)
    counts = [len(added[cls]) for cls in classes]
    say(f"{sum(counts)} real images added, {min(counts)} to {max(counts)} of a class -> {output}")


def read_confusion(shards: Sequence[Path]) -> dict[str, dict[str, list[str] | np.ndarray]]:
    """Paths of the images of each class in the order of their names, with confusion and who is recognised."""
    found = {}
    for path in shards:
        with open_shard(path) as file:
            for name in file:
                paths = read_text(file[name]["paths"])
                order = np.argsort(paths, kind="stable")
                arrays = {key: file[name][key][()][order] for key in ("score", "recognised")}
                found[name] = arrays | {"paths": [paths[place] for place in order]}
    return dict(sorted(found.items()))


def _images_per_class(
    made: Mapping[str, list[Chosen]], real: Mapping[str, object], budget: int, origin: Path
) -> int:
    """Images of each class of a made set; InputError where it has not as many of each, or too many."""
    counts = {len(rows) for rows in made.values()}
    if made.keys() != real.keys() or len(counts) != 1:
        raise InputError(f"{origin} has not as many images of each class of the study: make it anew.")
    (count,) = counts
    if count > budget:
        raise InputError(f"{origin} has {count} images of each class, more than the budget of {budget}.")
    return count

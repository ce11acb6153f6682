"""Stage choose_groups: of several groups of images of each class, drawn by one method, the one to keep."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from torch import Tensor

from condense.base.errors import InputError
from condense.base.memory import keep_freed_memory
from condense.base.progress import say
from condense.base.seeds import stream
from condense.base.tables import write_rows
from condense.config.groups import Groups
from condense.config.options import take
from condense.encoders.detectors import Detector, open_detector
from condense.images.index import read_index
from condense.images.subset import MADE, Chosen, MadeFolder, by_class, read_subset, write_subset
from condense.selection.embedded import features_of, read_embedded
from condense.synthesis.groups import GroupObjective, ascend, centroid, objective_of, search_exactly

DIAGNOSTICS = ("method", "budget", "class", "images", "chosen", "seconds", "group", "distance")


@take(chosen=Groups)
def choose_groups(
    chosen: Groups,
    group: Annotated[list[Path], typer.Option(help="Subset that is one group of each class; repeat it.")],
    index: Annotated[list[Path], typer.Option(help="Index of the images of a shard; one per output.")],
    features: Annotated[list[Path], typer.Option(help="Embeddings of real images, by shard.")],
    encoder_file: Annotated[Path, typer.Option(help="Their encoder: it embeds made images.")],
    output: Annotated[list[Path], typer.Option(help="Subset of a shard to write (CSV).")],
    diagnostics: Annotated[list[Path], typer.Option(help="Table of one row per class of a shard.")],
    name: Annotated[str, typer.Option(help="Name of the method in the tables.")] = "groups",
    budget_name: Annotated[str, typer.Option(help="Name of the budget in the tables.")] = "",
    made: MadeFolder = MADE,
) -> None:
    """Choose one of several groups of images for each class."""
    keep_freed_memory()
    if not len(index) == len(output) == len(diagnostics):
        raise InputError("give one --output and one --diagnostics for each --index.")
    began = time.perf_counter()
    sets = [by_class(read_subset(path, made=made)) for path in group]
    detector = open_detector(encoder_file)
    names, centroids, real, counts = _measured(sets, group, features, detector, chosen, made)
    picked = choose(centroids, real, names, chosen)
    seconds = (time.perf_counter() - began) / len(names)
    place = {cls: number for number, cls in enumerate(names)}
    for listed, subset, told in zip(index, output, diagnostics, strict=True):
        rows: list[Chosen] = []
        table = []
        for cls in read_index(listed):
            if cls not in place:
                raise InputError(f"{features[0]} and its like hold no features of class {cls!r}; embed anew.")
            number = place[cls]
            own = sets[picked[number]][cls]
            rows += own
            distance = 1 - float(centroids[number, picked[number]] @ real[number])
            table.append(
                (name, budget_name, cls, counts[number], len(own), seconds, picked[number], distance)
            )
        write_subset(rows, subset)
        write_rows(told, DIAGNOSTICS, table)


def choose(centroids: np.ndarray, real: np.ndarray, names: Sequence[str], chosen: Groups) -> np.ndarray:
    """Group of each class [classes], of centroids [classes, groups, d] and real ones [classes, d].

    `closest` and `random` leave out what they do not look at.
    """
    closest = (centroids * real[:, None]).sum(2).argmax(1)
    if chosen.choice == "closest":
        return closest
    drawn = _draw(names, centroids.shape[1], chosen.seed)
    if chosen.choice == "random":
        return drawn
    weights = {"closeness": chosen.closeness, "separation": chosen.separation}
    objective = objective_of(centroids, real, names, **weights, pairs=chosen.pairs, offset=chosen.offset)
    if chosen.search == "exact":
        found = search_exactly(objective)
    else:
        start = closest if chosen.start == "closest" else drawn
        found, rounds = ascend(objective, start, chosen.rounds)
        say(f"groups: {rounds} rounds of at most {chosen.rounds}")
    _tell(objective, closest, found)
    return found


def _draw(names: Sequence[str], groups: int, seed: int) -> np.ndarray:
    """A random group of each class [classes], by the seed and the class's name."""
    draws = [stream("groups", "choice", seed, name) for name in names]
    return np.array([torch.randint(groups, (1,), generator=own).item() for own in draws])


def _tell(objective: GroupObjective, closest: np.ndarray, found: np.ndarray) -> None:
    """Say what the choice gained over its controls."""
    values = f"{objective.value(found):.6g}, of the closest ones {objective.value(closest):.6g}"
    changed = int((closest != found).sum())
    say(f"groups: objective {values}, of random ones {objective.mean:.6g} on average")
    say(f"groups: {changed} of {len(found)} are not the closest")


def _measured(
    sets: Sequence[dict[str, list[Chosen]]],
    origins: Sequence[Path],
    features: Sequence[Path],
    detector: Detector,
    chosen: Groups,
    made: Path,
) -> tuple[list[str], np.ndarray, np.ndarray, list[int]]:
    """Classes, centroids of their groups and of real images, and how many real images there are.

    The classes stand in the order of their names, whichever shards hold them: the ascent depends on it.
    """
    found = {}
    for name, (paths, values) in read_embedded(features, detector):
        groups = []
        for origin, held in zip(origins, sets, strict=True):
            if name not in held:
                raise InputError(f"{origin} has no image of class {name!r}; make it anew.")
            own = features_of(held[name], paths, values, detector, made, origin)
            groups.append(centroid(own.numpy(), f"class {name!r} in {origin}"))
        real = centroid(_drawn(values, name, chosen).numpy(), f"the real images of class {name!r}")
        found[name] = np.stack(groups), real, len(paths)
    names = sorted(found)
    groups, real, counts = zip(*map(found.get, names), strict=True)
    return names, np.stack(groups), np.stack(real), [*counts]


def _drawn(values: Tensor, name: str, chosen: Groups) -> Tensor:
    """At most so many of a class's features [n, d], drawn by the method's seed and the class's name."""
    order = torch.randperm(len(values), generator=stream("groups", "real", chosen.seed, name))
    return values[order[: chosen.real]]

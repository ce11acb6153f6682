"""Seconds and memory of the choice of one group for each class, on drawn features; one thread.

    python benchmarks/groups.py [--classes 1000] [--groups 5] [--width 512]

Features of a class lie around a direction of its own, groups around the class. The objective of the ascent
stands beside those of its start, the closest groups, of random groups, of the ascent from these, and where it
can be searched beside the optimum.
"""

import os
import resource
import time
from typing import Annotated

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import typer

from condense.synthesis.groups import ascend, objective_of, search_exactly


def draw(classes: int, groups: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Unit centroids of groups [classes, groups, width] and of real images [classes, width]."""
    random = np.random.default_rng(0)
    real = random.normal(size=(classes, width)) + 3 * random.normal(size=width)
    found = real[:, None] + 0.7 * random.normal(size=(classes, groups, width))
    return tuple(values / np.linalg.norm(values, axis=-1, keepdims=True) for values in (found, real))


def main(
    classes: Annotated[int, typer.Option(help="Number of classes.")] = 1000,
    groups: Annotated[int, typer.Option(help="Groups of each.")] = 5,
    width: Annotated[int, typer.Option(help="Numbers of a feature.")] = 512,
) -> None:
    """Time both readings of the objective."""
    centroids, real = draw(classes, groups, width)
    names = [str(number) for number in range(classes)]
    for pairs in ("mean", "sum"):
        began = time.perf_counter()
        objective = objective_of(centroids, real, names, pairs=pairs)
        built = time.perf_counter()
        start = objective.near.argmax(1)
        chosen, rounds = ascend(objective, start)
        done = time.perf_counter()
        drawn = np.random.default_rng(1).integers(0, groups, classes)
        again, _ = ascend(objective, drawn)
        best = (
            f", optimum {objective.value(search_exactly(objective)):.4f}" if groups**classes < 2**24 else ""
        )
        print(
            f"pairs {pairs}: table {built - began:.2f} s, ascent {done - built:.2f} s in {rounds} rounds; "
            f"objective {objective.value(chosen):.4f}, closest {objective.value(start):.4f}, "
            f"random {objective.mean:.4f}, from random ones {objective.value(again):.4f}{best}"
        )
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GB")


if __name__ == "__main__":
    typer.run(main)

"""Selection in large classes: screened against full search, representatives against all columns, growth.

    python benchmarks/large_classes.py search --features SHARD --images 5000 --budget 50
    python benchmarks/large_classes.py columns --features SHARD --images 5000 --budget 50
    python benchmarks/large_classes.py growth --sizes 20000,50000,100000

`search` and `columns` take an embeddings shard of real images, all of its classes (or the first --classes) as
one; without --features they are drawn as in selection.py. Seconds are processor seconds, and the arithmetic
is the pinned one of the commands. `growth` runs the command `select` on drawn features in an HDF5 file.
"""

import csv
import dataclasses
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeVar

from condense.base.arithmetic import prepare

prepare([])  # before torch is imported

import h5py  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
import typer  # noqa: E402

from condense.base.memory import keep_freed_memory  # noqa: E402
from condense.config.settings import Gadc  # noqa: E402
from condense.selection import screening  # noqa: E402
from condense.selection.image_class import ordered  # noqa: E402
from condense.selection.large import condense_large  # noqa: E402
from condense.selection.objective import Objective  # noqa: E402
from condense.selection.search import condense  # noqa: E402
from selection import draw  # noqa: E402

SETTINGS = Gadc(epsilon=0.05, epsilon_unit="median", beta=0)
app = typer.Typer(add_completion=False, help=__doc__)
T = TypeVar("T")
Shard = Annotated[Path | None, typer.Option(help="Embeddings shard of real images.")]
Classes = Annotated[int | None, typer.Option(help="Only the first so many classes of the shard.")]
Count = Annotated[int, typer.Option(help="Images, drawn from the shard.")]
Budget = Annotated[int, typer.Option(help="Images chosen.")]
Restarts = Annotated[int, typer.Option(help="Setting of that name.")]


def take(features: Path | None, classes: int | None, images: int) -> torch.Tensor:
    """Features [images, d] of one class."""
    if features is None:
        return draw(images, 512)
    with h5py.File(features) as shard:
        found = np.concatenate([shard[name]["features"][()] for name in list(shard)[:classes]])
    return torch.from_numpy(found[np.random.default_rng(0).permutation(len(found))[:images]])


def clock(function: Callable[[], T]) -> tuple[T, float]:
    """What a function gives, and its processor seconds."""
    began = time.process_time()
    return function(), time.process_time() - began


@app.command()
def search(
    features: Shard = None,
    classes: Classes = None,
    images: Count = 1300,
    budget: Budget = 50,
    restarts: Restarts = Gadc.restarts,
    full: Annotated[bool, typer.Option(help="Run the full search too.")] = True,
) -> None:
    """Compare the search that screens candidates with the one that does not; both end in a full round."""
    every = take(features, classes, images)[None]
    settings = dataclasses.replace(SETTINGS, restarts=restarts)
    print(f"torch {torch.__version__}, {every.shape[1]} images x {every.shape[2]}, {budget} chosen")
    print("| search | s | objective | swaps | 1-swap optimal |\n|---|--:|--:|--:|---|")
    ends = []
    for name, least in [("screened", 0)] + [("full", sys.maxsize)] * full:
        screening.IMAGES = least
        chosen, seconds = clock(lambda: condense(every, None, [budget], settings)[budget])
        ends.append((seconds, sorted(chosen.end.subsets[0].tolist())))
        end = chosen.end
        counts = f"{end.swaps.item()} | {end.optimal.item()}"
        print(f"| {name} | {seconds:.1f} | {end.value.item():.4f} | {counts} |", flush=True)
    if full:
        print(f"ratio {ends[1][0] / ends[0][0]:.2f}, same subset: {ends[0][1] == ends[1][1]}")


@app.command()
def columns(
    features: Shard = None,
    classes: Classes = None,
    images: Count = 1300,
    budget: Budget = 50,
    restarts: Restarts = Gadc.restarts,
    columns: Annotated[int, typer.Option(help="Representatives.")] = 1024,
) -> None:
    """Compare the search with representatives as columns with the exact one, by the exact objective."""
    every = take(features, classes, images)
    settings = dataclasses.replace(SETTINGS, restarts=restarts, columns=columns)
    names = [f"{number:06}" for number in range(len(every))]
    one = ordered("all", 0, names, every.numpy())
    found, seconds = clock(lambda: condense_large(one, [budget], settings, "cpu")[budget])
    print(f"{every.shape[0]} images x {every.shape[1]}, {budget} chosen, {found.columns} representatives")
    print(f"representatives: exact objective {found.objective:.4f}, {seconds:.1f} s", flush=True)
    chosen, seconds = clock(lambda: condense(every[None], None, [budget], settings)[budget])
    places = torch.tensor([found.places])
    again = Objective(every[None], None, settings).value(torch.tensor([0]), places).item()
    best = chosen.end.value.item()
    print(f"exact search: {best:.4f}, {seconds:.1f} s; found / exact {again / best:.5f}")


@app.command()
def growth(
    sizes: Annotated[str, typer.Option(help="Images, with commas.")] = "20000,50000,100000",
    dimensions: Annotated[int, typer.Option(help="Features.")] = 512,
    budget: Budget = 100,
    threads: Annotated[int, typer.Option(help="Compute threads.")] = 2,
) -> None:
    """Time the command `select` on classes of growing size, with its peak memory."""
    print("| n | d | m | wall s | processor s | peak GB | objective | columns error |")
    print("|--:|--:|--:|--:|--:|--:|--:|--:|", flush=True)
    for n in map(int, sizes.split(",")):
        with tempfile.TemporaryDirectory() as folder:
            words = [sys.executable, __file__, "once", folder, str(n), str(dimensions), str(budget)]
            subprocess.run([*words, str(threads)], check=True)


@app.command(hidden=True)
def once(folder: Path, n: int, d: int, budget: int, threads: int) -> None:
    """One row of `growth`, in a process whose only child is measured."""
    with h5py.File(folder / "features.h5", "w") as file:
        file["features"] = draw(n, d).numpy()
        file["labels"] = np.zeros(n, int)
    options = ["--epsilon", "0.05", "--epsilon-unit", "median", "--beta", "0", "--device", "cpu"]
    files = ["--features", "features.h5", "--output", "subset.csv", "--diagnostics", "told.csv"]
    words = [sys.executable, "-m", "condense", "--threads", str(threads), "select", "--budget", str(budget)]
    began = time.perf_counter()
    subprocess.run([*words, *options, *files], cwd=folder, check=True, env=os.environ)
    wall, used = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    with (folder / "told.csv").open() as file:
        told = next(csv.DictReader(file))
    print(
        f"| {n} | {d} | {budget} | {wall:.0f} | {used.ru_utime + used.ru_stime:.0f} "
        f"| {used.ru_maxrss / 1e6:.2f} | {float(told['objective']):.2f} "
        f"| {float(told['columns_error']):+.4f} |",
        flush=True,
    )


if __name__ == "__main__":
    keep_freed_memory()
    torch.set_num_threads(1)
    app()

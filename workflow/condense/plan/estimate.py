"""What a study needs before it runs: GPU hours and disk, computed from its config and its images."""

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from condense.base.errors import InputError
from condense.config import study as studies
from condense.config.document import read_config
from condense.config.learners import KINDS
from condense.config.settings import Images
from condense.config.study import Study
from condense.plan import layout
from condense.plan.needs import Needs
from condense.plan.replicates import replicated

IMAGENET = (1_281_167, 1000)  # images, classes


def estimate(
    config: Annotated[Path, typer.Argument(help="Config of the study.")],
    images: Annotated[int | None, typer.Option(help="Images of the dataset; counted when not given.")] = None,
    classes: Annotated[int | None, typer.Option(help="Classes of the dataset, likewise.")] = None,
    teraflops: Annotated[float, typer.Option(help="Peak of one GPU in bf16.")] = 989.0,
    utilisation: Annotated[float, typer.Option(help="Share of the peak that is reached.")] = 0.35,
    tables: Annotated[
        bool, typer.Option(help="Count the runs of all tables, not the comparisons' alone.")
    ] = False,
) -> None:
    """Estimate GPU hours and disk of a study from its config."""
    study = replicated(studies.load(read_config(config)))
    counted, kinds, origin = count_images(study.images, config.parent)
    every = {run for budget in study.comparisons for kind in KINDS for run in study.rows(budget, kind)}
    if tables:
        every |= {run for table in study.tables for run in layout.runs(study, table)}
    needs = Needs(study, images or counted, classes or kinds, every)
    print(f"{len(every)} runs x {len(study.seeds)} seeds, at {utilisation:.0%} of {teraflops:.0f} TFLOP/s,")
    given = "as given" if images and classes else origin
    print(f"on {needs.images:,} images of {needs.classes:,} classes ({given})")
    tell(study, needs, teraflops * 1e12 * utilisation * 3600)


def tell(study: Study, needs: Needs, hour: float) -> None:
    """Print the needs of each generator and stage, and their sum; `hour` is the operations of an hour."""
    hours = disk = passing = 0.0
    print("generator            runs  training h  sampling h  weights GB  samples GB")
    for name in study.generators:
        runs = sum(run.generator == name for run in needs.samplings)
        training, sampling = needs.training(name), needs.sampling(name)
        if runs or training.kept:
            columns = (training.operations / hour, sampling.operations / hour)
            columns += (training.kept / 1e9, sampling.kept / 1e9)
            print(f"{name:20} {runs:4} " + " ".join(f"{value:11.1f}" for value in columns))
            hours += sum(columns[:2])
            disk += columns[2]
            passing += columns[3]
    print("stage                          images       GPU h     disk GB")
    for name, need in needs.stages().items():
        print(f"{name:20} {need.images:16,} {need.operations / hour:11.1f} {need.kept / 1e9:11.1f}")
        hours += need.operations / hour
        disk += need.kept / 1e9
    print(f"total {hours:.0f} GPU hours; {disk:.0f} GB, and {passing:.0f} GB of samples where all are kept;")
    print("while a training runs, its saved states take another 8 times its weights.")


def count_images(images: Images, folder: Path) -> tuple[int, int, str]:
    """Number of images and of classes of a study in a folder, and how they are known.

    From its index where there is one, else from its images; ImageNet's where neither is there.
    """
    from condense.images.index import list_images, read_index

    listed = folder / "results" / "index.csv"
    if listed.is_file():
        classes = read_index(listed)
        return sum(map(len, classes.values())), len(classes), "results/index.csv"
    root = images.root if images.revision else images.root and str(folder / images.root)
    try:
        rows = list_images(dataclasses.replace(images, root=root))
    except InputError:
        each = images.per_class or IMAGENET[0] / IMAGENET[1]
        classes = images.classes or IMAGENET[1]
        return round(each * classes), classes, "as of ImageNet-1K: no results/index.csv, no images.root"
    return len(rows), len({row.cls for row in rows}), images.root or images.source

"""Part 4, last: accuracy of students trained on each generator's images, and on the real images chosen."""

from dataclasses import replace
from functools import partial

import numpy as np
import torch

from benchmarks.gpu.cifar10 import METHODS, REPLICATES, Study
from benchmarks.gpu.figures import Figure, Outcome, Place
from benchmarks.gpu.pack import names_of, table_of, write
from benchmarks.gpu.stages import stage
from benchmarks.gpu.timing import once
from condense.base.artefacts import read_artefact
from condense.config.recipes import Dc
from condense.config.students import StudentNetwork
from condense.images.subset import read_subset

# PAPER: Zhao et al. 2021, table 1, for 50 real images per class chosen from 5,000
PUBLISHED = {("real", "random"): 43.4, ("real", "herding"): 40.4}
STEPS = 1000  # of every student, so that none learns longer than another


def figures(place: Place) -> list[Figure]:
    """Accuracies, in per cent."""
    study, found = Study(place), []
    for seed in REPLICATES:
        for method in METHODS:
            for kind, learn in (("made", on_made), ("real", on_real)):
                name = f"accuracy on {kind} images of {method}, replicate {seed}"
                known = PUBLISHED.get((kind, method)) if not place.rehearsal else None
                basis = "Zhao et al. 2021, of 50,000 images" if known else "nothing known"
                found.append(Figure(name, "%", known, basis, partial(learn, study, method, seed)))
    return found


def on_made(study: Study, method: str, seed: int) -> Outcome:
    """Of a student of the images that a generator drew."""
    arm = study.arm(method, seed)
    with np.load(arm / "samples.npz") as archive:
        images, labels = archive["images"], archive["labels"]
    path = arm / "made.parquet"
    write(table_of(images, labels, names_of(study.data / "test.parquet")), path)
    return learn(
        study, f"{method}-{seed}-made", len(labels), seed, images=replace(study.images, root=str(path))
    )


def on_real(study: Study, method: str, seed: int) -> Outcome:
    """Of a student of the images that were chosen."""
    subset = study.subset(method, seed)
    count = len(read_subset(subset))
    return learn(study, f"{method}-{seed}-real", count, seed, images=study.images, subset=subset)


def learn(study: Study, name: str, count: int, seed: int, **given: object) -> Outcome:
    """Train a student for so many steps and examine it after the last."""
    torch.manual_seed(seed)
    output = study.folder / f"students/{name}.safetensors"
    batch = min(256, count)
    epochs = max(1, study.place.size(STEPS, 2) * batch // count)
    network = study.place.size(StudentNetwork(), StudentNetwork(width=8))
    training = Dc(epochs=epochs, batch=batch, flip=True)
    call = partial(
        stage("learn"), output=output, network=network, training=training, resolution=32, seed=seed, **given
    )
    seconds = once(call, study.place)
    about = read_artefact(output, "a student", only="-")[0]
    return Outcome(about["last_accuracy"][0], note=f"{count} images, {epochs} epochs, {seconds:.0f} s")

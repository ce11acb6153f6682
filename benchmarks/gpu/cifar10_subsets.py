"""Part 4, first: encoders fitted on CIFAR-10, the detector, and the subsets that are compared."""

import os
from functools import partial
from pathlib import Path

from benchmarks.gpu.cifar10 import DETECTOR, METHODS, REPLICATES, Study
from benchmarks.gpu.figures import Figure, Outcome, Place
from benchmarks.gpu.stages import stage
from benchmarks.gpu.timing import once
from condense.images.subset import read_subset

PASS = 3 * 17e6  # operations of a training step for an image of 32 pixels: 17 million forward
REACHED = 1e10  # ASSUME: operations per second of a core beside others; networks are fitted on the CPU


def figures(place: Place) -> list[Figure]:
    """Seconds of each network and of each subset."""
    study, found = Study(place), []
    images = place.size(20_000, 24)
    for seed in (*REPLICATES, DETECTOR):
        # fitted twice, the second time on four fifths, to judge it
        operations = 1.8 * PASS * images * study.encoder(seed).epochs
        name = "detector" if seed == DETECTOR else f"encoder, replicate {seed}"
        seconds = operations / REACHED / (os.cpu_count() or 1)
        basis = f"{operations / 1e12:.1f} TFLOP on {os.cpu_count()} cores"
        found.append(Figure(name, "s", seconds, basis, partial(encode, study, seed)))
    for seed in REPLICATES:
        for method in METHODS:
            seconds, basis = (5.0, "10 classes of 2,000 images") if method == "gadc" else (1.0, "a pass")
            name = f"{method}, replicate {seed}"
            found.append(Figure(name, "s", seconds, basis, partial(choose, study, method, seed)))
    return found


def encode(study: Study, seed: int) -> Outcome:
    """Fit a network and compute its features of the images to choose from."""
    folder = study.folder / f"encoder-{seed}"

    def work() -> None:
        if not study.index.exists():
            stage("index")(output=study.index, images=study.images)
        network, state = folder / "encoder.safetensors", {"state": folder / "state"}
        given = {"images": study.images, "encoder": network, "index": study.index, **state}
        stage("encoder")(
            output=network, settings=study.encoder(seed), images=study.images, index=[study.index]
        )
        if seed == DETECTOR:
            return stage("reference")(**given, output=folder / "reference.h5", resolution=32)
        stage("embed")(**given, output=folder / "embeddings.h5", workers=os.cpu_count() or 1)
        stage("classify")(
            embeddings=folder / "embeddings.h5", classifier=network, output=folder / "probabilities.h5"
        )

    return Outcome(once(work, study.place))


def choose(study: Study, method: str, seed: int) -> Outcome:
    """Choose a subset."""
    folder, output = study.folder / f"encoder-{seed}", study.subset(method, seed)
    chosen = study.method(method, seed)
    sources: dict[str, Path] = {"index": study.index}
    if "features" in chosen.needs:
        sources = {"features": folder / "embeddings.h5", "probabilities": folder / "probabilities.h5"}
    budget = {} if chosen.budget else {"budget": [study.budget]}
    seconds = once(partial(stage("select"), method=chosen, output=[output], **sources, **budget), study.place)
    return Outcome(seconds, note=f"{len(read_subset(output))} images")

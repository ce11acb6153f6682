"""Part 4, third: samples of each generator, their Fréchet distance by the detector, and pictures."""

from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image

from benchmarks.gpu.cifar10 import DETECTOR, METHODS, PIXELS, REPLICATES, Study
from benchmarks.gpu.figures import Figure, Outcome, Place
from benchmarks.gpu.pack import pixels_of
from benchmarks.gpu.stages import stage
from benchmarks.gpu.timing import once
from condense.base.storage import replacing
from condense.config.settings import Sampling
from condense.scoring.score import RunNames

ROWS, GAP = 6, 8  # samples of a class in a picture; pixels between methods
EXPECTED = {
    "full": "lowest",
    "random": "highest of the subsets",
    "herding": "below random's",
    "gadc": "below random's",
}


def figures(place: Place) -> list[Figure]:
    """A distance of each generator, of real images that nothing was trained on, and the pictures."""
    study, found = Study(place), []
    real = Figure(
        "FID of the test images", "", None, "what is left between real images", partial(control, study)
    )
    for seed in REPLICATES:
        for method in METHODS:
            name, basis = f"FID of {method}, replicate {seed}", EXPECTED[method]
            found.append(Figure(name, "", None, basis, partial(score, study, method, seed)))
    return [real, *found, Figure("pictures", "files", 1, "", partial(draw, study))]


def score(study: Study, method: str, seed: int) -> Outcome:
    """Draw a generator's images and compare them with the images to choose from."""
    torch._dynamo.reset()  # it compiles but so many networks of a kind
    arm, sampling = study.arm(method, seed), study.sampling(seed)
    drawing = partial(
        stage("generate"),
        weights=arm / "generator.safetensors",
        output=arm / "samples.npz",
        shard="1-of-1",
        sampling=sampling,
        autoencoder=PIXELS,
    )
    seconds = once(drawing, study.place)
    row = compare(study, arm / "samples.npz", arm, sampling)
    note = f"precision {row['precision']:.3f}, recall {row['recall']:.3f}, agreement {row['agreement']:.3f}, "
    return Outcome(row["fid"], note=f"{note}{sampling.images / seconds:.0f} images/s drawn")


def control(study: Study) -> Outcome:
    """Compare the test images with those to choose from."""
    images, labels = pixels_of(study.data / "test.parquet")
    folder = study.folder / "test"
    with replacing(folder / "samples.npz") as beside, beside.open("wb") as file:
        np.savez(file, images=images, labels=labels, ids=np.arange(len(labels)))
    row = compare(study, folder / "samples.npz", folder, Sampling(images=len(labels)))
    return Outcome(row["fid"], note=f"{len(labels)} images")


def compare(study: Study, samples: Path, folder: Path, sampling: Sampling) -> pd.Series:
    """Row of scores of samples, by the detector."""
    network = study.folder / f"encoder-{DETECTOR}"
    detector = network / "encoder.safetensors"
    found = {"samples": [samples], "encoder": detector, "head": detector, "index": study.index}
    stage("detect")(**found, output=folder / "features.h5")
    stage("score")(
        run=RunNames(),
        sampling=sampling,
        references=[network / "reference.h5"],
        samples=folder / "features.h5",
        output=folder / "scores.csv",
    )
    return pd.read_csv(folder / "scores.csv").iloc[0]


def draw(study: Study) -> Outcome:
    """One picture: for each method of the first replicate a block of rows, a column for each class."""
    blocks = []
    for method in METHODS:
        with np.load(study.arm(method, REPLICATES[0]) / "samples.npz") as archive:
            images, labels = archive["images"], archive["labels"]
        columns = [images[labels == label][:ROWS] for label in np.unique(labels)]
        rows = min(map(len, columns))
        blocks.append(np.concatenate([np.concatenate(column[:rows]) for column in columns], 1))
        blocks.append(np.full((GAP, blocks[0].shape[1], 3), 255, np.uint8))
    with replacing(study.place.folder / "cifar10.png") as beside:
        Image.fromarray(np.concatenate(blocks[:-1])).save(beside, "png")
    return Outcome(1, note=f"cifar10.png: {', '.join(METHODS)}")

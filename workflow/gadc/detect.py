"""Stage score, first half: features of the study's images and of a run's samples, by one detector, once."""

import csv
import shutil
from pathlib import Path
from typing import Annotated

import h5py
import numpy as np
import torch
import typer

from gadc.classify import column_of
from gadc.embed import embed_shard
from gadc.encoders import Encoder, apply_head, read_artefact
from gadc.errors import InputError
from gadc.options import take
from gadc.progress import track
from gadc.settings import Images
from gadc.shards import write_shard
from gadc.storage import replacing

BATCH = 64


def open_detector(path: Path) -> Encoder:
    """Detector on the GPU where there is one."""
    return Encoder(path, "cuda" if torch.cuda.is_available() else "cpu")


@take(images=Images)
def reference(
    index: Annotated[Path, typer.Option(help="Index of the shard.")],
    encoder: Annotated[Path, typer.Option(help="Detector, from `encoder`.")],
    output: Annotated[Path, typer.Option(help="Features, one group per class (HDF5).")],
    state: Annotated[Path, typer.Option(help="Folder from which an interrupted run goes on.")],
    resolution: Annotated[int, typer.Option(help="Side to which images are cropped first.")],
    images: Images,
) -> None:
    """Compute the detector's features of a shard's images, cropped as a generator sees them."""
    detector = open_detector(encoder)
    groups = embed_shard(index, detector, images, state, size=resolution)
    write_shard(output, {"encoder": detector.name, "digest": detector.digest}, groups)
    shutil.rmtree(state, ignore_errors=True)


def detect(
    samples: Annotated[list[Path], typer.Argument(help="Parts of a run's samples, in order (npz).")],
    encoder: Annotated[Path, typer.Option(help="Detector, from `encoder`.")],
    head: Annotated[Path, typer.Option(help="Its classifier: the same file, or a fitted head.")],
    index: Annotated[Path, typer.Option(help="Index of all images: names the classes.")],
    output: Annotated[Path, typer.Option(help="Features, logits and labels (HDF5).")],
) -> None:
    """Compute the detector's features and logits of a run's samples."""
    detector = open_detector(encoder)
    about, parts = read_artefact(head, "head.")
    weights = [parts[name] for name in ("head.weight", "head.bias") if name in parts]
    if about["kind"] == "linear":  # its folds have seen none of the samples: take their mean
        weights = [folds.mean(0) for folds in weights]
    classes = class_names(index)
    columns = [column_of(name, about["classes"], detector.name) for name in classes]
    features, labels = [], []
    for path in track(samples, "detecting"):
        images, classes_of = read_samples(path)
        features += [
            detector.features(images[start : start + BATCH]) for start in range(0, len(images), BATCH)
        ]
        labels.append(classes_of)
    every = torch.cat(features)
    with replacing(output) as beside, h5py.File(beside, "w") as file:
        file["features"] = every.numpy()
        file["logits"] = apply_head(weights, every, detector.name).cpu().numpy()
        file["labels"] = np.concatenate(labels)
        file["columns"] = np.array(columns)
        file.attrs.update({"detector": detector.name, "digest": detector.digest, "complete": True})


def class_names(index: Path) -> list[str]:
    """Names of the classes of an index, by class index."""
    with index.open(newline="", encoding="utf-8") as file:
        found = {int(row["class_index"]): row["class"] for row in csv.DictReader(file)}
    return [found[number] for number in sorted(found)]


def read_samples(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 [n, h, w, 3] and labels [n] of a part of a run's samples."""
    try:
        with np.load(path, allow_pickle=False) as part:
            return part["images"], part["labels"]
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise InputError(
            f"{path} is not a whole file of samples ({error}); delete it and run again."
        ) from None

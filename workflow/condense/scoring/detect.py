"""Stage score, first half: features of the study's images and of a run's samples, by one detector, once."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer

from condense.base.artefacts import read_artefact
from condense.base.errors import InputError
from condense.base.progress import track
from condense.base.shards import create, put, write_shard
from condense.base.storage import replacing
from condense.config.options import take
from condense.config.settings import Images
from condense.diffusion.parts import read_part
from condense.encoders.classify import column_of
from condense.encoders.detectors import FILES, open_detector
from condense.encoders.embed import embed_shard
from condense.encoders.encoder import apply_head
from condense.images.finished import resumable
from condense.images.index import class_names
from condense.images.sources import batches
from condense.scoring.image_sets import collect


def fetch_inception(
    output: Annotated[Path, typer.Option(help="Where to put the FID Inception (.pth).")],
    url: Annotated[
        str, typer.Option(help="File to fetch; its name ends in the start of its SHA-256.")
    ] = FILES[".pth"],
) -> None:
    """Download the FID Inception, once, and check it."""
    start = Path(url).stem.rpartition("-")[2]
    with replacing(output) as beside:
        try:
            torch.hub.download_url_to_file(url, str(beside), start, progress=sys.stderr.isatty())
        except (OSError, RuntimeError) as error:  # no network, no such file; another checksum
            raise InputError(
                f"{url} could not be downloaded ({error}): fetch it by other means and name the file as "
                "`weights` of the encoder of kind fid."
            ) from None


@take(images=Images)
def reference(
    index: Annotated[Path, typer.Option(help="Index of the shard.")],
    encoder: Annotated[Path, typer.Option(help="Detector, from `encoder`.")],
    output: Annotated[Path, typer.Option(help="Features, one group per class (HDF5).")],
    state: Annotated[Path, typer.Option(help="Folder from which an interrupted run goes on.")],
    resolution: Annotated[int, typer.Option(help="Side to which images are cropped first.")],
    images: Images,
    resize: Annotated[str, typer.Option(help="FID Inception: tensorflow or clean.")] = "tensorflow",
) -> None:
    """Compute the detector's features of a shard's images, cropped as a generator sees them."""
    detector = open_detector(encoder, resize)
    with resumable(state):
        groups = embed_shard(index, detector, images, state, size=resolution)
        write_shard(output, {"encoder": detector.name, "digest": detector.digest}, groups)


def detect(
    samples: Annotated[list[Path], typer.Argument(help="Parts of a run's samples, in order (npz).")],
    encoder: Annotated[Path, typer.Option(help="Detector: from `encoder`, or the FID Inception.")],
    index: Annotated[Path, typer.Option(help="Index of all images: names the classes.")],
    output: Annotated[Path, typer.Option(help="Features, logits and labels (HDF5).")],
    head: Annotated[Path | None, typer.Option(help="Classifier: the same file, or a fitted head.")] = None,
    resize: Annotated[str, typer.Option(help="FID Inception: tensorflow or clean.")] = "tensorflow",
) -> None:
    """Compute the detector's features and logits of a run's samples."""
    detector = open_detector(encoder, resize)
    labels: list[np.ndarray] = []

    def parts() -> Iterator[np.ndarray]:
        """Images a batch at a time; none spans two parts, since a feature's last bits depend on its batch."""
        for path in track(samples, "detecting"):
            images, classes = read_part(path, "images", "labels")
            labels.append(classes)
            for start in range(0, len(images), detector.batch):
                yield images[start : start + detector.batch]

    found = collect(detector, (batch.pixels for batch in batches(parts(), detector.prepare)))
    arrays = {"features": found.features.numpy(), "labels": np.concatenate(labels)}
    if head:
        arrays["logits"], arrays["columns"] = classify_features(
            found.features, head, class_names(index), detector.name
        )
    elif found.logits is not None:
        arrays["logits"] = found.logits.numpy()
    if found.spatial:
        arrays |= found.spatial.arrays("spatial_")
    with replacing(output) as beside, create(beside) as file:
        for name, values in arrays.items():
            put(file, name, values)
        file.attrs.update({"detector": detector.name, "digest": detector.digest, "complete": True})


def classify_features(
    features: torch.Tensor, head: Path, classes: list[str], detector: str
) -> tuple[np.ndarray, np.ndarray]:
    """Logits [n, k] of features, and the column [classes] of each class of the study."""
    about, parts = read_artefact(head, "a classifier", "head.")
    weights = [parts[name] for name in ("head.weight", "head.bias") if name in parts]
    if about["kind"] == "linear":  # its folds have seen none of the samples: take their mean
        weights = [folds.mean(0) for folds in weights]
    columns = [column_of(name, about["classes"], detector) for name in classes]
    return apply_head(weights, features, detector).numpy(), np.array(columns)

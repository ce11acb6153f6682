"""A detector's outputs for sets of images on disk, a folder or an ADM archive."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer

from condense.base.errors import InputError
from condense.base.gaussian import Moments
from condense.base.progress import track
from condense.base.shards import create
from condense.base.storage import replacing
from condense.encoders.detectors import Detector, Inception, open_detector
from condense.images.adm_files import ImageBatch
from condense.images.decoding import centre_crop, decode
from condense.images.names import EXTENSIONS
from condense.images.sources import batches
from condense.scoring.frechet import fit
from condense.scoring.metrics import Reference, Samples, spread


def detect_images(path: Path, detector: Detector, size: int | None = None) -> Samples:
    """Features, logits and statistics of spatial features of all images, cropped to `size` if given.

    Images of a folder are taken in the order of their paths, at any depth. Raises InputError for a folder
    without images, and for images that cannot be decoded.
    """
    count, prepared = open_images(path, detector, size)
    return collect(detector, track(prepared, f"detecting {path.name}", -(-count // detector.batch)))


def collect(detector: Detector, prepared: Iterable[np.ndarray]) -> Samples:
    """Features and logits, on the CPU, and statistics of spatial features of prepared images [b, h, w, 3]."""
    features, logits = [], []
    spatial = Moments()
    for pixels in prepared:
        outputs = detector.detect(pixels)
        features.append(outputs.features.cpu())
        if outputs.logits is not None:
            logits.append(outputs.logits.cpu())
        if outputs.spatial is not None:
            spatial.add(outputs.spatial)
    return Samples(
        features=torch.cat(features),
        logits=torch.cat(logits) if logits else None,
        spatial=spatial.gaussian() if spatial.count > 1 else None,
    )


def detect_reference(path: Path, detector: Detector, size: int | None = None) -> Reference:
    """Real images as reference.

    The statistics stored in an ADM reference batch, which are of all of ImageNet's training images where its
    own images are 10,000 of them, serve the network that they were computed with, and no other.
    """
    stored = stored_spatial = None
    if path.suffix == ".npz" and isinstance(detector, Inception) and detector.resize == "tensorflow":
        batch = ImageBatch(path)
        stored, stored_spatial = batch.statistics(), batch.statistics(spatial=True)
    seen = detect_images(path, detector, size)
    images = seen.features[torch.from_numpy(spread(len(seen.features)))]
    if stored:
        return Reference(f"statistics stored in {path.name}", stored, images, stored_spatial)
    return Reference(f"{len(seen.features)} images of {path.name}", fit(seen.features), images, seen.spatial)


def reference_batch(
    images: Annotated[Path, typer.Option(help="ADM reference batch (.npz), or a folder of real images.")],
    detector: Annotated[
        Path, typer.Option("--detector", "--encoder", help="An encoder, or the FID Inception (.pt, .pth).")
    ],
    output: Annotated[Path, typer.Option(help="Features and statistics (HDF5), a reference of `score`.")],
    resize: Annotated[str, typer.Option(help="FID Inception: tensorflow or clean.")] = "tensorflow",
    resolution: Annotated[int | None, typer.Option(help="Side to which images are cropped first.")] = None,
) -> None:
    """Compute a detector's features and statistics of a reference batch, once for all runs."""
    opened = open_detector(detector, resize)
    reference = detect_reference(images, opened, resolution)
    with replacing(output) as beside, create(beside) as file:
        file["features"] = reference.features.numpy()
        for prefix, gaussian in (("", reference.statistics), ("spatial_", reference.spatial)):
            for name, values in gaussian.arrays(prefix).items() if gaussian else ():
                file[name] = values
        names = {"name": reference.name, "detector": opened.name, "digest": opened.digest}
        file.attrs.update({**names, "complete": True})


def open_images(path: Path, detector: Detector, size: int | None) -> tuple[int, Iterator[np.ndarray]]:
    """Number of images, and their pixels [b, h, w, 3] as the detector takes them, batch by batch."""
    if path.is_dir():
        files = sorted(
            file.relative_to(path).as_posix() for file in path.rglob("*") if file.suffix.lower() in EXTENSIONS
        )
        if not files:
            raise InputError(f"{path} holds no images: 0 files with an extension such as .png or .JPEG.")
        return len(files), _of_folder(path, files, detector, size)
    if path.suffix != ".npz":
        raise InputError(f"{path} is neither a folder of images nor an .npz archive.")
    batch = ImageBatch(path)
    return len(batch), _of_archive(batch, detector, size)


def _of_folder(root: Path, files: list[str], detector: Detector, size: int | None) -> Iterator[np.ndarray]:
    def read(name: str) -> np.ndarray:
        image = decode(root / name)
        return detector.prepare(image if size is None else centre_crop(image, size))

    groups = [files[start : start + detector.batch] for start in range(0, len(files), detector.batch)]
    for batch in batches(groups, read):
        if batch.unreadable:
            raise InputError(f"{batch.unreadable[0][1]}; repair or remove it.")
        yield batch.pixels


def _of_archive(batch: ImageBatch, detector: Detector, size: int | None) -> Iterator[np.ndarray]:
    from PIL import Image

    def read(image: np.ndarray) -> np.ndarray:
        whole = size is None or image.shape[:2] == (size, size)
        return detector.prepare(image if whole else centre_crop(Image.fromarray(image), size))

    for prepared in batches(batch.images(detector.batch), read):
        yield prepared.pixels

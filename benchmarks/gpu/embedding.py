"""Part 3: features of photographs from JPEG files, against decoding alone and the network alone."""

import os
from functools import cache, partial
from pathlib import Path

import numpy as np
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.gpu.drawn import write_images
from benchmarks.gpu.figures import Figure, Outcome, Place
from benchmarks.gpu.timing import forget_peak, once, peak, seconds_of
from condense.base.artefacts import write_artefact
from condense.config.settings import Images
from condense.encoders.embed import embed_classes
from condense.encoders.encoder import FrozenEncoder
from condense.images.index import Row, list_images
from condense.images.preprocess import IMAGENET
from condense.images.sources import batches, source

DECODED = 300  # ASSUME: images a second that a core decodes and resizes
REACHED = 0.5  # ASSUME: of the peak of float32 arithmetic, to which features are computed


def figures(place: Place) -> list[Figure]:
    """Images per second of decoding, of the network, and of both as the stage runs them."""
    cores, folder = os.cpu_count() or 1, place.folder / "embedding"
    operations = count(place)
    network = place.machine.fp32 * REACHED / operations
    cost = f"{operations / 1e9:.1f} GFLOP an image"
    ways = {
        f"decoding alone, {cores} threads": (cores * DECODED, f"{DECODED} of a core", decode),
        "network alone": (network, cost, forward),
        "embed, 2 threads": (min(network, 2 * DECODED), "the slower of both", partial(embed, 2)),
        f"embed, {cores} threads": (
            min(network, cores * DECODED),
            "the slower of both",
            partial(embed, cores),
        ),
    }
    return [
        Figure(f"{model(place)}, {name}", "images/s", rate, basis, partial(work, folder, place))
        for name, (rate, basis, work) in ways.items()
    ]


def model(place: Place) -> str:
    """Name of timm's network."""
    return place.size("resnet50", "test_resnet")


@cache
def count(place: Place) -> float:
    """Operations of an image."""
    import timm
    import torch

    with torch.device("meta"):
        network, image = timm.create_model(model(place), num_classes=0).eval(), torch.empty(1, 3, 224, 224)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(image)
    return counter.get_total_flops()


@cache
def made(folder: Path, place: Place) -> tuple[FrozenEncoder, Images, dict[str, list[Row]]]:
    """An encoder with random weights, and drawn photographs in classes."""
    import timm
    import torch

    torch.manual_seed(0)
    network = timm.create_model(model(place), num_classes=0)
    preprocess = {"side": 224, "resize": 256, "mode": "center", "interpolation": "bicubic", **IMAGENET}
    about = {"kind": "timm", "architecture": model(place), "options": {}, "preprocess": preprocess}
    about |= {"precision": "float32", "classes": None}
    tensors = {f"network.{name}": value for name, value in network.state_dict().items()}
    write_artefact(folder / "encoder.safetensors", about, tensors)
    write_images(folder / "images", *place.size((2, 256), (2, 3)), size=(500, 375), form="jpg")
    images, classes = Images(root=str(folder / "images")), {}
    for row in list_images(images):
        classes.setdefault(row.cls, []).append(row)
    return FrozenEncoder(folder / "encoder.safetensors", place.device.type), images, classes


def decode(folder: Path, place: Place) -> Outcome:
    """Reading, decoding and resizing alone."""
    encoder, images, classes = made(folder, place)
    opened = source(images)
    paths = [row.path for rows in classes.values() for row in rows]
    groups = [paths[start : start + 16] for start in range(0, len(paths), 16)]

    def read(path: str) -> np.ndarray:
        return encoder.prepare(opened.open(path, encoder.preprocess.resize))

    return Outcome(len(paths) / once(lambda: list(batches(groups, read, os.cpu_count() or 1)), place))


def forward(folder: Path, place: Place) -> Outcome:
    """The network on prepared pixels."""
    encoder, _, _ = made(folder, place)
    pixels = np.random.default_rng(0).integers(0, 256, (place.size(256, 4), 224, 224, 3), dtype=np.uint8)
    forget_peak(place)
    seconds = seconds_of(lambda: encoder.encode(pixels), place, least=3)
    return Outcome(len(pixels) / seconds, None, peak(place))


def embed(threads: int, folder: Path, place: Place) -> Outcome:
    """The stage, with so many threads that decode."""
    encoder, images, classes = made(folder, place)
    count = sum(map(len, classes.values()))
    return Outcome(count / once(lambda: list(embed_classes(classes, encoder, images, None, threads)), place))

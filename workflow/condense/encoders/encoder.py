"""Encoders: networks that turn images into features and, by a linear head, into class probabilities."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from torch import Tensor

from condense.base.artefacts import read_artefact, write_artefact
from condense.base.errors import InputError
from condense.base.precision import full_precision
from condense.base.progress import say
from condense.base.storage import file_digest
from condense.config.encoders import Encoder
from condense.config.options import take
from condense.config.settings import Images
from condense.encoders.convnet import UntrainedNetwork, draw
from condense.encoders.fitted import FittedNetwork, fit
from condense.encoders.pretrained import Imported, build, import_timm, import_torchvision
from condense.images.index import read_index
from condense.images.preprocess import Preprocess
from condense.images.sources import batches, source

BATCH = {"cpu": 16, "cuda": 256}  # images per pass; fixed, because the last bits of a feature depend on it
MAKE = {"timm": import_timm, "torchvision": import_torchvision, "untrained": draw}  # without images


class FrozenEncoder:
    """A network read from an artefact file; nothing in the file is executed.

    `digest` names its numbers, `preprocess` what it expects, `classes` the outputs of its head (None where
    they have no names). Raises InputError for a file that is not an artefact.
    """

    def __init__(self, path: Path, device: str = "cpu") -> None:
        self.name = Path(path).stem
        self.device = torch.device(device)
        about, tensors = read_artefact(path, "an encoder artefact")
        self.digest = file_digest(path)
        self.classes: list[str] | None = about["classes"]
        self.preprocess = Preprocess.of(about["preprocess"])
        self._dtype = getattr(torch, about["precision"])
        self._head = [tensors.pop(key) for key in ("head.weight", "head.bias") if key in tensors]
        if about["kind"] == "fit":
            network = FittedNetwork(self.preprocess.side)
        elif about["kind"] == "untrained":
            network = UntrainedNetwork(self.preprocess.side, **about["options"])
        else:
            network = build(about["kind"], about["architecture"], about["options"])
        network.load_state_dict({key.removeprefix("network."): value for key, value in tensors.items()})
        network.eval().requires_grad_(False)
        self._network = network.to(self.device, memory_format=torch.channels_last)

    @property
    def batch(self) -> int:
        """Images per forward pass on this device."""
        return BATCH[self.device.type]

    @property
    def network(self) -> torch.nn.Module:
        """The feature network, on the encoder's device."""
        return self._network

    def features(self, images: Sequence[Any] | np.ndarray) -> Tensor:
        """float32 [n, d] on the CPU of RGB images: uint8 [n, h, w, 3], or a list of uint8 [h, w, 3]."""
        groups = [
            range(len(images))[start : start + self.batch] for start in range(0, len(images), self.batch)
        ]
        prepared = batches(groups, lambda number: self.prepare(images[number]))
        return torch.cat([self.encode(batch.pixels).cpu() for batch in prepared])

    def prepare(self, image: Any) -> np.ndarray:
        """uint8 [side, side, 3], the network's input before normalisation, of one RGB image."""
        return self.preprocess.prepare(image)

    @torch.inference_mode()
    @full_precision()
    def encode(self, pixels: np.ndarray) -> Tensor:
        """float32 [b, d] on the device of prepared images uint8 [b, side, side, 3]."""
        batch = torch.from_numpy(np.ascontiguousarray(pixels))
        if self.device.type == "cuda":
            batch = batch.pin_memory().to(self.device, non_blocking=True)
        with torch.autocast(self.device.type, self._dtype, enabled=self._dtype is not torch.float32):
            return self._network(self.preprocess.normalise(batch)).float()

    def logits(self, features: Tensor) -> Tensor:
        """float32 [b, k] of features [b, d]. Raises InputError where the network has no head."""
        return apply_head(self._head, features, self.name)


@full_precision()
def apply_head(head: list[Tensor], features: Tensor, name: str) -> Tensor:
    """Logits [b, k] of features [b, d] by a head [weight [k, d], bias [k]]."""
    if not head:
        raise InputError(f"Encoder {name} has no classifier: set its `classifier: linear`.")
    return torch.nn.functional.linear(features, *(part.to(features.device) for part in head))


def make_encoder(settings: Encoder, images: Images, index: Sequence[Path]) -> tuple[dict, dict]:
    """(about, tensors) of an artefact: imported, or fitted on the images of the index files."""
    made = _fit_on(settings, images, index) if settings.kind == "fit" else MAKE[settings.kind](settings)
    about = {
        "kind": settings.kind,
        "architecture": made.architecture,
        "options": made.options,
        "preprocess": vars(made.preprocess),
        "precision": settings.precision,
        "classes": None if made.classes is None else list(made.classes),
    }
    tensors = {f"network.{key}": value for key, value in made.network.state_dict().items()}
    if made.head is not None:
        tensors |= {f"head.{key}": value for key, value in made.head.state_dict().items()}
    return about, tensors


def _fit_on(settings: Encoder, images: Images, index: Sequence[Path]) -> Imported:
    """Fit the small network on the images of index files."""
    rows = [row for members in read_index(*index).values() for row in members]
    if not rows:
        raise InputError("kind fit needs the index files of the images to fit on.")
    preprocess = Preprocess(side=settings.side, resize=settings.side)
    opened = source(images)
    groups = [[row.path for row in rows]]
    batch = next(batches(groups, lambda path: preprocess.prepare(opened.open(path)), 1))
    if batch.unreadable and images.unreadable == "fail":
        raise InputError(f"{batch.unreadable[0][1]}.")
    kept = set(batch.paths)
    labels = np.array([row.class_index for row in rows if row.path in kept])
    network, head = fit(batch.pixels, labels, settings)
    classes = [name for _, name in sorted({(row.class_index, row.cls) for row in rows})]
    return Imported(network, head, classes, preprocess, "fit", {})


@take(settings=Encoder, images=Images)
def encoder(
    output: Annotated[Path, typer.Option(help="Artefact to write, a safetensors file.")],
    settings: Encoder,
    images: Images,
    index: Annotated[
        list[Path] | None, typer.Argument(help="fit: index files of the study's images.")
    ] = None,
) -> None:
    """Make an encoder: import a pretrained network once, fit a small one, or draw one, into one file."""
    about, tensors = make_encoder(settings, images, index or [])
    write_artefact(output, about, tensors)
    say(f"{settings.kind} {about['architecture']} -> {output}")

"""Stage relabel: soft labels, the mean logits of teachers that are students or encoders with a classifier."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
import torch.nn.functional as F
import typer
from torch import Tensor, nn

from condense.base.artefacts import read_artefact, write_artefact
from condense.base.errors import InputError
from condense.base.memory import keep_freed_memory
from condense.base.progress import say, track
from condense.config.options import take
from condense.config.settings import Images
from condense.encoders.encoder import FrozenEncoder
from condense.images.preprocess import Preprocess
from condense.students.augment import Views
from condense.students.data import ImageSet, training_set
from condense.students.student import KIND, read_student

BATCH = 64  # images of a teacher's forward pass
LABELS = "labels"

SubsetFile = Annotated[
    Path | None, typer.Option(help="Subset (CSV); all images that are not held out when none.")
]
IndexFile = Annotated[Path | None, typer.Option(help="Index of all images; listed anew when none.")]
TeacherFiles = Annotated[
    list[Path] | None, typer.Option("--teacher", help="Student or encoder that labels; may be repeated.")
]


@dataclass(frozen=True)
class Teacher:
    """A network, what it expects of an image, and which outputs [classes] stand for the study's classes."""

    network: nn.Module
    preprocess: Preprocess
    columns: Tensor

    @torch.no_grad()
    def logits(self, images: Tensor) -> Tensor:
        """Logits [b, classes] of images [b, 3, s, s] in 0..1, which are brought to the teacher's side."""
        side = self.preprocess.side
        if images.shape[-1] != side:
            images = F.interpolate(images, (side, side), mode="bilinear", antialias=True)
        mean = images.new_tensor(self.preprocess.mean)[:, None, None]
        std = images.new_tensor(self.preprocess.std)[:, None, None]
        return self.network((images - mean) / std)[:, self.columns]


class EncoderClassifier(nn.Module):
    """An encoder with its own head."""

    def __init__(self, encoder: FrozenEncoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, x: Tensor) -> Tensor:
        """Logits [b, k] of standardised images [b, 3, s, s]."""
        return self.encoder.logits(self.encoder.network(x))


def read_teacher(path: Path, classes: Sequence[str], device: torch.device) -> Teacher:
    """A teacher from its file. Raises InputError for one that does not know each of the classes."""
    about, _ = read_artefact(path, "a student or an encoder", only="-")
    if about.get("kind") == KIND:
        student = read_student(path, device=device)
        network, preprocess, known = student.network, student.preprocess, student.classes
    else:
        encoder = FrozenEncoder(path, device)
        network, preprocess, known = EncoderClassifier(encoder), encoder.preprocess, encoder.classes or []
    if lacking := [name for name in classes if name not in known]:
        raise InputError(
            f"The teacher {path} does not know class {lacking[0]!r}: take one that was trained on it."
        )
    columns = torch.tensor([known.index(name) for name in classes], device=device)
    return Teacher(network, preprocess, columns)


def mean_logits(teachers: Sequence[Teacher], images: Tensor) -> Tensor:
    """Mean logits [b, classes] of teachers for images [b, 3, s, s] in 0..1."""
    return torch.stack([teacher.logits(images) for teacher in teachers]).mean(0)


class OnlineLabels:
    """Soft labels of each view, by teachers that see it as the student does."""

    def __init__(self, teachers: Sequence[Teacher], mean: Tensor, std: Tensor) -> None:
        self.teachers, self.mean, self.std = teachers, mean[:, None, None], std[:, None, None]

    def __call__(self, views: Views, chosen: Tensor) -> Tensor:
        """Mean logits [b, classes] of standardised views."""
        return mean_logits(self.teachers, views.images * self.std + self.mean)


class StoredLabels:
    """Soft labels of each image [n, classes], mixed as the views are."""

    def __init__(self, logits: Tensor) -> None:
        self.logits = logits

    def __call__(self, views: Views, chosen: Tensor) -> Tensor:
        """Logits [b, classes] of the images at places `chosen` [b]."""
        own = self.logits[chosen]
        if views.mix is None:
            return own
        return views.mix.share * own + (1 - views.mix.share) * own[views.mix.partner]


def read_labels(path: Path, data: ImageSet) -> StoredLabels:
    """Stored soft labels of a set of images. Raises InputError where they are of other images or classes."""
    about, tensors = read_artefact(path, "soft labels")
    if about.get("kind") != LABELS:
        raise InputError(f"{path} holds no soft labels: give a file that `relabel` wrote.")
    if about["classes"] != data.classes:
        raise InputError(f"{path} labels other classes than those of the images: label them again.")
    place = {name: number for number, name in enumerate(about["paths"])}
    if lacking := [name for name in data.paths if name not in place]:
        raise InputError(f"{path} has no label of {lacking[0]!r}: label the images again.")
    order = torch.tensor([place[name] for name in data.paths], dtype=torch.int64)
    return StoredLabels(tensors["logits"][order].to(data.labels.device))


@take(images=Images)
def relabel(
    output: Annotated[Path, typer.Option(help="Soft labels (safetensors).")],
    images: Images,
    subset: SubsetFile = None,
    index: IndexFile = None,
    teacher: TeacherFiles = None,
) -> None:
    """Label each image of a subset with the mean logits of teachers, which see it as they were trained to."""
    if not teacher:
        raise InputError("--teacher is missing: name a student or an encoder that labels.")
    keep_freed_memory()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    total, data = torch.zeros(()), None
    for path in teacher:
        # the classes are known with the images, and these are prepared as the teacher expects
        preprocess = _preprocess(path)
        data = training_set(images, subset, index, preprocess)
        one = read_teacher(path, data.classes, device)
        parts = track(data.images.split(BATCH), f"labels by {path.stem}")
        total = total + torch.cat([one.logits(part.to(device).float() / 255).cpu() for part in parts])
    about = {"kind": LABELS, "paths": data.paths, "classes": data.classes, "teachers": [*map(str, teacher)]}
    logits = total / len(teacher)
    write_artefact(output, about, {"logits": logits})
    agreement = (logits.argmax(1) == data.labels).double().mean()
    say(f"{len(data)} images labelled by {len(teacher)} teachers, who agree with {agreement:.1%} -> {output}")


def _preprocess(path: Path) -> Preprocess:
    """What the network of a file expects of an image."""
    return Preprocess.of(read_artefact(path, "a student or an encoder", only="-")[0]["preprocess"])

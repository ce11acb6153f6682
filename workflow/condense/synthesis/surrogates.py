"""Surrogates of IGD: students whose weights were kept after each epoch, and the gradients of real images."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from condense.base.artefacts import read_artefact
from condense.base.errors import InputError
from condense.base.progress import say
from condense.config.guidance import Guiding
from condense.students.student import TrainedStudent, read_student
from condense.synthesis.given import Given
from condense.synthesis.influence import (
    Checkpoint,
    Surrogate,
    SurrogateWeights,
    choose_checkpoints,
    mean_gradient,
)


def open_surrogate(
    names: Sequence[str], side: int, settings: Guiding, given: Given
) -> tuple[Surrogate, dict[str, int]]:
    """The surrogate at the checkpoints that guide, with gradients of real images of some classes; its labels.

    Checkpoints are chosen by all classes of the study, so that the choice is the same in every shard. Made
    images have `side` pixels. InputError for a student without weights of epochs, of other classes or pixels.
    """
    path = given.needed("surrogate_weights")
    student = read_student(path, "last", given.device)
    epochs = _check(path, student, names, side)
    real = _RealGradients(path, student, settings.reference_images, given)
    if settings.checkpoints is None:
        found = (real.of(epoch, student.classes) for epoch in range(epochs + 1))
        chosen = choose_checkpoints((torch.stack([*by.values()]) for by in found), settings.similarity)
    else:
        chosen = [*settings.checkpoints]
    if max(chosen) > epochs:
        raise InputError(f"{path} was trained for {epochs} epochs; `checkpoints` names epoch {max(chosen)}.")
    say(f"the surrogate guides as it was after epochs {', '.join(map(str, chosen))}")
    checkpoints = [Checkpoint(real.weights(epoch), real.of(epoch, names)) for epoch in chosen]
    labels = {name: student.classes.index(name) for name in names}
    return Surrogate(student.network, checkpoints, real.mean, real.std, settings.gradients_at_once), labels


class _RealGradients:
    """Mean gradients of the first images of classes, by class, at epochs of a student."""

    def __init__(self, path: Path, student: TrainedStudent, count: int, given: Given) -> None:
        self.path, self.student, self.count, self.given = path, student, count, given
        colours = student.preprocess.mean, student.preprocess.std
        self.mean, self.std = (torch.tensor(value, device=given.device) for value in colours)
        self.images: dict[str, Tensor] = {}

    def of(self, epoch: int, names: Sequence[str]) -> Mapping[int, Tensor]:
        """Gradients [parameters] by the student's label of the classes `names`."""
        weights, found = self.weights(epoch), {}
        for name in names:
            label = self.student.classes.index(name)
            images = self._images(name).to(self.given.device).float() / 255
            standard = (images - self.mean[:, None, None]) / self.std[:, None, None]
            found[label] = mean_gradient(self.student.network, weights, standard, label)
        return found

    def weights(self, epoch: int) -> SurrogateWeights:
        """SurrogateWeights after an epoch."""
        _, tensors = read_artefact(self.path, "a student", only=f"epoch{epoch}.")
        own = {name.partition(".")[2]: value.to(self.given.device) for name, value in tensors.items()}
        parameters = {name: own.pop(name) for name, _ in self.student.network.named_parameters()}
        return SurrogateWeights(parameters, own)

    def _images(self, name: str) -> Tensor:
        """The first images of a class, uint8 [n, 3, s, s]."""
        if name not in self.images:
            self.images[name] = self.given.pictures(name, self.count, self.student.preprocess)
        return self.images[name]


def _check(path: Path, student: TrainedStudent, names: Sequence[str], side: int) -> int:
    """Epochs of a student that can guide such images of these classes; InputError for another."""
    if student.about["recipe"].get("keep") != "epochs":
        raise InputError(f"{path} holds no weights of epochs: train the surrogate with keep: epochs.")
    if missing := sorted({*names} - {*student.classes}):
        raise InputError(f"{path} does not know class {missing[0]!r}: train the surrogate on all classes.")
    if student.preprocess.side != side:
        raise InputError(
            f"{path} takes images of {student.preprocess.side} pixels, the generator makes {side}: give the "
            "surrogate the generator's resolution."
        )
    return student.about["epochs"]

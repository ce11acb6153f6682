"""Stage learn: a classifier trained on a subset, resumable to the byte, examined on held-out images."""

import json
import math
import time
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from torch import Tensor

from condense.base.digest import code
from condense.base.errors import InputError, Unfinished
from condense.base.hardware import describe
from condense.base.memory import keep_freed_memory
from condense.base.progress import say, track
from condense.base.seeds import seed_of
from condense.base.storage import file_digest, locked, replacing
from condense.config.options import take
from condense.config.recipes import Dc, StudentTraining
from condense.config.settings import Images
from condense.config.students import StudentNetwork
from condense.images.preprocess import Preprocess
from condense.students.augment import Augmentation
from condense.students.data import ImageSet, colour_statistics, prepared, training_set, validation_set
from condense.students.learner import COLUMNS, StudentTrainer, Teach
from condense.students.networks import initialised, layout
from condense.students.recipes import Course
from condense.students.relabel import (
    IndexFile,
    OnlineLabels,
    SubsetFile,
    TeacherFiles,
    read_labels,
    read_teacher,
)
from condense.students.student import weights_name, write_student
from condense.training import state
from condense.training.loop import stop_signals, take_up

MACHINE = ("checkpoint_minutes",)  # settings that change no number

ValidationIndex = Annotated[
    Path | None, typer.Option(help="Index of the validation images; listed anew when none.")
]


@take(images=Images, network=StudentNetwork, training=StudentTraining)
def learn(
    output: Annotated[Path, typer.Option(help="Weights after the best and the last epoch (safetensors).")],
    images: Images,
    network: StudentNetwork,
    training: StudentTraining,
    resolution: Annotated[int, typer.Option(help="Side of the images, in pixels.")],
    subset: SubsetFile = None,
    index: IndexFile = None,
    validation_index: ValidationIndex = None,
    soft_labels: Annotated[
        Path | None, typer.Option(help="Soft labels of the images, from `relabel`.")
    ] = None,
    teacher: TeacherFiles = None,
    history: Annotated[
        Path | None, typer.Option(help="Loss, rate and accuracy of each epoch (JSON lines).")
    ] = None,
    state_folder: Annotated[
        Path | None, typer.Option(help="Folder of the states from which an interrupted run goes on.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of initialisation, order and augmentation.", min=0)] = 0,
    trainings: Annotated[int, typer.Option(help="Networks to train, each from its own seed.", min=1)] = 1,
    minutes: Annotated[float, typer.Option(help="Save and leave with status 75 after so long.")] = math.inf,
) -> None:
    """Train a classifier on a subset, once or several times, and keep its best and its last epoch."""
    began = time.monotonic()
    keep_freed_memory()
    labels = [*(teacher or []), *filter(None, [soft_labels])]
    _check_labels(bool(labels), training.loss)
    data, validation, preprocess = _sets(images, training, resolution, subset, index, validation_index)
    common = {"resolution": str(resolution)} | _identity(data, validation, labels, network, training)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    data, validation = data.to(device), validation.to(device)
    states = state_folder or output.with_suffix(".state")
    own = [common | {"seed": str(own_seed)} for own_seed in training_seeds(seed, trainings)]
    folders = [states / state.key_of(identity) for identity in own]
    runs: list[StudentTrainer] = []
    with locked(states):
        for folder, identity in zip(folders, own, strict=True):
            learner = _learner(data, network, training, preprocess, int(identity["seed"]))
            learner.teach = _teach(learner, teacher, soft_labels)
            if found := take_up(folder, identity, folders):
                _restore(learner, *found)
            _advance(learner, validation, folder, identity, began + 60 * minutes)
            runs.append(learner)
            if len(runs) < trainings:
                state.save(folder, learner.step, learner.tensors(), identity)
        if history is not None:
            _write_history(runs, history)
        about = {"recipe": asdict(training), "seed": seed, "labels": "soft" if labels else "hard"}
        _write(output, runs, network, preprocess, about)
        _clear(folders)


def training_seeds(seed: int, trainings: int) -> list[int]:
    """Seeds of so many trainings on one set; the first is the seed itself."""
    return [seed, *(seed_of("another training", seed, number) for number in range(1, trainings))]


def _identity(
    data: ImageSet, validation: ImageSet, labels: list[Path], network: StudentNetwork, training: Dc
) -> dict[str, str]:
    """What a state must have in common with a run, but for resolution and seed."""
    identity = {"images": data.digest(), "validation images": validation.digest()}
    identity |= {"labels": ", ".join(map(file_digest, labels)), "code": code("students.learn.learn")}
    identity |= {f"network.{key}": str(value) for key, value in asdict(network).items()}
    return identity | {f"training.{key}": str(v) for key, v in asdict(training).items() if key not in MACHINE}


def _clear(folders: list[Path]) -> None:
    """Remove the states of a finished run, and their folders; those of other runs may be there."""
    for folder in folders:
        state.clear(folder)
    for empty in (*folders, folders[0].parent):
        with suppress(OSError):
            empty.rmdir()


def _check_labels(soft: bool, loss: str) -> None:
    """Refuse a loss that the labels do not serve."""
    if soft != (loss != "ce"):
        raise InputError(
            f"loss {loss} takes {'no soft labels' if soft else 'soft labels'}: choose loss "
            f"{'kl or mse, or leave the teachers out' if soft else 'ce, or give teachers'}."
        )


def _sets(
    images: Images,
    training: Dc,
    resolution: int,
    subset: Path | None,
    index: Path | None,
    validation_index: Path | None,
) -> tuple[ImageSet, ImageSet, Preprocess]:
    """Images to train on, those to examine on, and what the network expects of an image."""
    preprocess = prepared(resolution, training.resize)
    held = prepared(resolution, training.resize, training.keep_margin, training.patch_shuffle)
    data = training_set(images, subset, index, held)
    validation = validation_set(images, validation_index, preprocess)
    if not len(data):
        raise InputError(f"{subset or images.root} holds no image to train on: choose another method.")
    if validation.classes != data.classes:
        raise InputError(
            "The validation images are of other classes than those to train on: list them again."
        )
    scale = training.mean, training.std
    if training.mean is None:
        scale = colour_statistics(images, index, preprocess)
    return data, validation, replace(preprocess, mean=scale[0], std=scale[1])


def _learner(
    data: ImageSet, network: StudentNetwork, training: Dc, preprocess: Preprocess, seed: int
) -> StudentTrainer:
    """The training at its start, on the device of its images."""
    device = data.labels.device
    mean, std = (torch.tensor(value, device=device) for value in (preprocess.mean, preprocess.std))
    start = initialised(network, preprocess.side, len(data.classes), seed)
    start.to(device, memory_format=layout(device))
    augmentation = Augmentation(training, preprocess.side, mean, std, seed)
    course = Course.of(training, len(data), len(data.classes))
    say(f"{course.epochs} epochs of {len(data)} images in batches of {course.batch} on {device}")
    return StudentTrainer(start, data, augmentation, course, seed)


def _teach(learner: StudentTrainer, teacher: list[Path] | None, soft_labels: Path | None) -> Teach | None:
    """Who gives the soft labels of views; None for hard ones."""
    if teacher:
        data, colours = learner.data, learner.augmentation
        members = [read_teacher(path, data.classes, data.labels.device) for path in teacher]
        return OnlineLabels(members, colours.mean, colours.std)
    return soft_labels and read_labels(soft_labels, learner.data)


def _restore(learner: StudentTrainer, epoch: int, tensors: dict[str, Tensor]) -> None:
    """Take up a training where it was left, and tell where it goes on."""
    learner.restore(epoch, tensors)
    if not learner.done:
        say(f"going on from epoch {learner.epoch + 1} of {learner.course.epochs}")


def _advance(
    learner: StudentTrainer, validation: ImageSet, folder: Path, identity: dict[str, str], deadline: float
) -> None:
    """Take the steps that are left, saving the state now and then, and at a signal or when time is up."""
    steps, every = learner.steps * learner.course.epochs, 60 * learner.course.chosen.checkpoint_minutes
    saved = time.monotonic()
    with stop_signals() as stop:
        for _ in track(range(learner.step, steps), "training", steps, learner.step):
            learner.advance(validation)
            leave = bool(stop) or time.monotonic() > deadline
            if learner.done or not (leave or time.monotonic() > saved + every):
                continue
            learner.check()  # before the state is saved: a spoilt one never is
            path = state.save(folder, learner.step, learner.tensors(), identity)
            saved = time.monotonic()
            if leave:
                where = f"the state is in {path}, run again to go on"
                raise Unfinished(f"stopped after step {learner.step} of {steps}; {where}.")


def _write_history(runs: list[StudentTrainer], path: Path) -> None:
    """Write a row for each training and epoch."""
    with replacing(path) as beside, beside.open("w") as file:
        for number, learner in enumerate(runs):
            for row in learner.rows():
                file.write(json.dumps({"training": number} | row) + "\n")


def _write(
    output: Path,
    runs: list[StudentTrainer],
    network: StudentNetwork,
    preprocess: Preprocess,
    about: dict[str, Any],
) -> None:
    """Write the student's file and say what it is worth."""
    first, weights = runs[0], {}
    for number, learner in enumerate(runs):
        weights[weights_name("best", number)] = learner.best
        weights[weights_name("last", number)] = learner.examined.state_dict()
    last = [learner.history[-1, COLUMNS.index("accuracy")].item() for learner in runs]
    about |= {"epochs": first.epoch, "batch": first.course.batch, "images": len(first.data)}
    about |= {"best_epoch": [learner.best_epoch for learner in runs]}
    about |= {"accuracy": [learner.best_accuracy for learner in runs], "last_accuracy": last}
    about |= {"device": first.data.labels.device.type, "arithmetic": describe()}
    write_student(output, network, preprocess, first.data.classes, weights | first.kept, **about)
    for learner, accuracy in zip(runs, last, strict=True):
        best = f"{learner.best_accuracy:.2f}% after epoch {learner.best_epoch}"
        say(f"accuracy {best}, {accuracy:.2f}% after the last")

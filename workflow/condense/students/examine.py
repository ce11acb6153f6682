"""Stage examine: accuracy of a trained student on held-out images, and what it takes for what."""

from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import torch
import typer
from torch import Tensor

from condense.base.errors import InputError
from condense.base.memory import keep_freed_memory
from condense.base.progress import say
from condense.base.tables import write_table
from condense.config.options import take
from condense.config.settings import Images
from condense.config.students import network_name, recipe_name
from condense.students.data import ImageSet, validation_set
from condense.students.learn import ValidationIndex
from condense.students.learner import predict
from condense.students.student import TrainedStudent, read_student, weights_name


@take(images=Images)
def examine(
    weights: Annotated[Path, typer.Option(help="Student to examine, from `learn`.")],
    output: Annotated[Path, typer.Option(help="Row of accuracies, in per cent (CSV).")],
    images: Images,
    validation_index: ValidationIndex = None,
    confusion: Annotated[
        Path | None,
        typer.Option(help="Images by their class (rows) and guess (columns), best epochs (CSV)."),
    ] = None,
    method: Annotated[str, typer.Option(help="Name of the method whose images it was trained on.")] = "",
    student: Annotated[str, typer.Option(help="Name of the student.")] = "",
    budget: Annotated[str, typer.Option(help="Name of the budget.")] = "",
    seed: Annotated[int, typer.Option(help="Seed of the study's replicate.", min=0)] = 0,
) -> None:
    """Measure a student's accuracy on held-out images, after its best and its last epoch."""
    keep_freed_memory()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    first = read_student(weights, device=device)
    data = validation_set(images, validation_index, first.preprocess).to(device)
    if data.classes != first.classes:
        raise InputError(f"{weights} was trained on other classes than those of the validation images.")
    best, last = _counts(weights, first.about, data)
    row = {"method": method, "student": student, "budget": budget, "seed": seed}
    row |= _row(first, best, last) | {"validation_images": len(data)}
    write_table(pd.DataFrame([row]), output)
    if confusion is not None:
        table = pd.DataFrame(sum(best).tolist(), columns=data.classes)
        table.insert(0, "class", data.classes)
        write_table(table, confusion)
    say(f"accuracy {row['accuracy']:.2f}%, last epoch {row['last_accuracy']:.2f}% -> {output}")


def _counts(weights: Path, about: dict[str, Any], data: ImageSet) -> tuple[list[Tensor], list[Tensor]]:
    """Confusion of each training, after its best and after its last epoch."""
    best, last = [], []
    for number, epoch in enumerate(about["best_epoch"]):
        names = [weights_name(which, number) for which in ("best", "last")]
        trained = (read_student(weights, name, data.labels.device) for name in names)
        best.append(_confusion(next(trained), data))
        # the last epoch is often the best, or the only one that was evaluated
        last.append(best[-1] if epoch == about["epochs"] else _confusion(next(trained), data))
    return best, last


def _row(student: TrainedStudent, best: list[Tensor], last: list[Tensor]) -> dict[str, Any]:
    """Accuracies, means over the trainings, and what makes them comparable."""
    about = student.about
    accuracies, last_accuracies = (pd.Series([*map(_accuracy, counts)]) for counts in (best, last))
    return {
        "subset_images": about["images"],
        "labels": about["labels"],
        "accuracy": accuracies.mean(),
        "last_accuracy": last_accuracies.mean(),
        "trainings": len(best),
        "accuracy_trainings_std": accuracies.std(),  # none of one
        "last_accuracy_trainings_std": last_accuracies.std(),
        "best_epoch": ", ".join(map(str, about["best_epoch"])),
        "epochs": about["epochs"],
        "recipe": recipe_name(about["recipe"]),
        "network": network_name(about["network"]),
        "resolution": student.preprocess.side,
        "device": about["device"],
        "arithmetic": about["arithmetic"],
        "gpus": int(about["device"] != "cpu"),
    }


def _confusion(student: TrainedStudent, data: ImageSet) -> Tensor:
    """Number of images int64 [classes, classes] by their class and the class they are taken for."""
    scale = (student.preprocess.mean, student.preprocess.std)
    mean, std = (torch.tensor(value, device=data.labels.device)[:, None, None] for value in scale)
    guesses = predict(student.network, data.images, lambda part: (part.float() / 255 - mean) / std)
    count = len(data.classes)
    return (data.labels * count + guesses).bincount(minlength=count**2).reshape(count, count).cpu()


def _accuracy(counts: Tensor) -> float:
    """Share of images on the diagonal, in per cent."""
    return 100 * counts.diagonal().sum().item() / counts.sum().item()

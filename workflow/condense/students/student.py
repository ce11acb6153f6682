"""The file of a trained student: its weights after the best and the last epoch, and what they expect."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from condense.base.artefacts import read_artefact, write_artefact
from condense.base.errors import InputError
from condense.config.students import StudentNetwork
from condense.images.preprocess import Preprocess
from condense.students.networks import build, layout

KIND = "student"


@dataclass(frozen=True)
class TrainedStudent:
    """A trained network [b, 3, s, s] -> [b, classes], and what an image must be for it."""

    network: nn.Module
    preprocess: Preprocess
    classes: list[str]
    about: dict[str, Any]


def weights_name(which: str, training: int = 0) -> str:
    """Name in a student's file of the `best` or `last` weights of one of its trainings."""
    return f"{which}-{training}" if training else which


def write_student(
    path: Path,
    network: StudentNetwork,
    preprocess: Preprocess,
    classes: list[str],
    weights: Mapping[str, Mapping[str, Tensor]],
    **about: Any,
) -> None:
    """Write `weights` by `weights_name` and name, and `about`: how they came to be."""
    about |= {"kind": KIND, "network": asdict(network), "preprocess": vars(preprocess), "classes": classes}
    tensors = {f"{which}.{name}": value for which, part in weights.items() for name, value in part.items()}
    write_artefact(path, about, tensors)


def read_student(path: Path, which: str = "best", device: torch.device | str = "cpu") -> TrainedStudent:
    """The network with the weights of a `weights_name`, for use. Raises InputError for another file."""
    about, tensors = read_artefact(path, "a student", only=f"{which}.")
    if about.get("kind") != KIND:
        raise InputError(f"{path} is not a student: give a file that `learn` wrote.")
    preprocess = Preprocess.of(about["preprocess"])
    # the weights are in the file, wherever the training took its start from
    chosen = StudentNetwork(**about["network"] | {"weights": None})
    network = build(chosen, preprocess.side, len(about["classes"]))
    network.load_state_dict({name.removeprefix(f"{which}."): value for name, value in tensors.items()})
    network.to(device, memory_format=layout(device)).eval().requires_grad_(False)
    return TrainedStudent(network, preprocess, about["classes"], about)

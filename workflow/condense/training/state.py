"""State of a training that can be taken up again: whole files, newest first, never of another run."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from torch import Tensor

from condense.base.artefacts import read_artefact, write_artefact
from condense.base.errors import InputError
from condense.base.progress import say

KEPT = 2  # newest states that stay on disk, so that a damaged one has a predecessor


def key_of(identity: dict[str, str]) -> str:
    """Name of the folder of the states of one run."""
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:12]


def save(
    folder: Path,
    step: int,
    tensors: dict[str, Tensor],
    ours: dict[str, str],
    milestone: int | None = None,
) -> Path:
    """Write the state of `step` whole, then drop all but the newest `KEPT` and the milestones."""
    path = folder / f"step_{step:09d}.safetensors"
    write_artefact(path, {"step": step, "identity": ours}, tensors)
    _drop(saved(folder)[KEPT:], milestone)
    return path


def clear(folder: Path, milestone: int | None = None) -> None:
    """Drop the states of a finished run, but not its milestones."""
    _drop(saved(folder), milestone)


def milestones(folder: Path, every: int | None) -> list[Path]:
    """Paths of the states that are kept for good, oldest first."""
    return [path for path in reversed(saved(folder)) if every and step_of(path) % every == 0]


def _drop(paths: list[Path], milestone: int | None) -> None:
    for path in paths:
        if not milestone or step_of(path) % milestone:
            path.unlink()


def step_of(path: Path) -> int:
    """Step of a state, from its name."""
    return int(path.stem.removeprefix("step_"))


def saved(folder: Path) -> list[Path]:
    """Paths of the states in a folder, newest first."""
    return sorted(folder.glob("step_*.safetensors"), reverse=True)


def every(folder: Path) -> Iterator[Path]:
    """Paths of the states of every run in the folder that one training is given."""
    return folder.glob("*/step_*.safetensors")


def newest(folder: Path, ours: dict[str, str]) -> tuple[int, dict[str, Tensor]] | None:
    """(step, tensors) of the newest readable state, None where there is none.

    A damaged file is said and passed over. A state of another run raises InputError that names what differs.
    """
    for part in folder.glob(".*.part"):
        part.unlink()  # a process was killed while it wrote
    for path in saved(folder):
        try:
            about, tensors = read_artefact(path, "a whole state of a training")
        except InputError as error:
            say(f"{error} The state before it is taken.")
            continue
        if differing := _differing(about["identity"], ours):
            raise InputError(
                f"{path} is the state of another run (other {', '.join(differing)}); move it away."
            )
        return about["step"], tensors
    return None


def relatives(folder: Path, ours: dict[str, str]) -> Iterator[tuple[Path, list[str]]]:
    """Folders beside this one with states of other runs, and what differs."""
    for other in sorted(path for path in folder.parent.glob("*") if path != folder):
        for path in saved(other)[:1]:
            with suppress(InputError):  # a damaged one tells nothing
                yield other, _differing(identity(path), ours)


def identity(path: Path) -> dict[str, str]:
    """What a run must have in common with a state to take it up."""
    return read_artefact(path, "a whole state of a training", only="-")[0]["identity"]


def _differing(theirs: dict[str, str], ours: dict[str, str]) -> list[str]:
    """Names of what a state and a run do not have in common."""
    return sorted(key for key in ours | theirs if ours.get(key) != theirs.get(key))

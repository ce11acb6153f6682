"""State of a training that can be taken up again: whole files, newest first, never of another run."""

from pathlib import Path

from safetensors import SafetensorError
from torch import Tensor

from gadc.artefacts import read_artefact, write_artefact
from gadc.errors import InputError
from gadc.progress import say

KEPT = 2  # newest states that stay on disk, so that a damaged one has a predecessor


def save(folder: Path, step: int, tensors: dict[str, Tensor], identity: dict[str, str]) -> Path:
    """Write the state of `step` whole, then drop all but the newest `KEPT` states."""
    path = folder / f"step_{step:09d}.safetensors"
    try:
        write_artefact(path, {"step": step, "identity": identity}, tensors)
    except (OSError, SafetensorError) as error:
        raise InputError(
            f"{path} could not be written ({error}); the state before it is intact: free space and run again."
        ) from None
    for old in saved(folder)[KEPT:]:
        old.unlink()
    return path


def saved(folder: Path) -> list[Path]:
    """Paths of the states in a folder, newest first."""
    return sorted(folder.glob("step_*.safetensors"), reverse=True)


def newest(folder: Path, identity: dict[str, str]) -> tuple[int, dict[str, Tensor]] | None:
    """(step, tensors) of the newest readable state, None where there is none.

    A damaged file is said and passed over. A state of another run raises InputError that names what differs.
    """
    for path in saved(folder):
        try:
            about, tensors = read_artefact(path, "a whole state of a training")
        except InputError as error:
            say(f"{error} The state before it is taken.")
            continue
        theirs = about.get("identity", {})
        differing = sorted(key for key in identity | theirs if identity.get(key) != theirs.get(key))
        if differing:
            raise InputError(
                f"{path} is the state of another run (other {', '.join(differing)}); move it away."
            )
        return about["step"], tensors
    return None

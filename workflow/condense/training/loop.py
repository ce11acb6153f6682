"""The steps of a training that may be interrupted: taken up where it was, saved, left when it is asked to."""

import signal
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from condense.base.errors import InputError, Unfinished
from condense.base.progress import say, track
from condense.base.storage import file_digest
from condense.config.settings import Training
from condense.training import state
from condense.training.history import Log
from condense.training.trainer import Trainer
from condense.training.workers import Workers

CHECK_EVERY = 50  # steps between looks at the loss: a look waits for the GPU
MACHINE = ("microbatch", "checkpoint_every", "milestone_every")  # settings that change no number
MACHINE += ("text_encoder", "feature_encoder")  # names; what they name is read from files


def identity_of(
    names: Mapping[str, str], files: Mapping[str, Path | None], chosen: Sequence[Any]
) -> dict[str, str]:
    """What a state must have in common with a run that takes it up: names, files, and settings."""
    found = dict(names)
    found |= {what: "" if path is None else file_digest(path) for what, path in files.items()}
    for settings in chosen:
        section = type(settings).__name__.lower()
        found |= {
            f"{section}.{key}": str(value) for key, value in asdict(settings).items() if key not in MACHINE
        }
    return found


def key_of(identity: dict[str, str], group: Workers) -> str:
    """Name of the folder of a run's states. Raises InputError where the workers read different files."""
    key = state.key_of(identity)
    own = torch.tensor(int(key, 16))
    if group.any(bool(group.from_first(own.clone()) != own)):
        raise InputError(
            "the workers read different latents, captions or patches: wait until all machines see the newest "
            "files, then run again."
        )
    return key


def take_up(
    folder: Path, identity: dict[str, str], ours: Collection[Path] = ()
) -> tuple[int, dict[str, Tensor]] | None:
    """The newest state of this run; states of others are told, but for the folders that are `ours`."""
    for other, differing in state.relatives(folder, identity):
        if other not in ours:
            say(f"{other} holds states of another run (other {', '.join(differing)}), which are not taken up")
    return state.newest(folder, identity)


def advance(
    trainer: Trainer, steps: int, folder: Path, identity: dict[str, str], deadline: float, log: Log
) -> None:
    """Take the steps that are left, saving the state now and then, and at a signal or when time is up."""
    training, workers = trainer.training, trainer.workers
    todo, path = range(trainer.step, steps), None
    with stop_signals() as stop:
        for step in track(todo, "training", steps, trainer.step) if log.speaks else todo:
            trainer.advance()
            leave = workers.any(bool(stop) or time.monotonic() > deadline)
            last, done = step + 1 == steps, step + 1
            saving = last or leave or _due(training, done)
            if saving or done % CHECK_EVERY == 0:
                trainer.check()  # before the state is saved: a spoilt one never is
                log.draw()
            if saving:
                log.tell()
                path = workers.first(
                    state.save, folder, done, trainer.tensors(), identity, training.milestone_every
                )
            if leave and not last:
                where = f"; the state is in {path}, run again to go on" if path else ""
                raise Unfinished(f"stopped after step {done} of {steps}{where}.")


def _due(training: Training, step: int) -> bool:
    """Whether the state of a step is to be saved."""
    return any(every and step % every == 0 for every in (training.checkpoint_every, training.milestone_every))


@contextmanager
def stop_signals() -> Iterator[list[int]]:
    """Collect SIGTERM and SIGINT in a list instead of dying of them; the work looks at it between steps."""
    asked: list[int] = []
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = [signal.signal(number, lambda number, frame: asked.append(number)) for number in numbers]
    try:
        yield asked
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)

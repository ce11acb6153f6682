"""Stage train: a transformer from scratch on the latents of a subset, resumable to the byte.

Order of images, noise, flips and label dropout are functions of (seed, step) alone, so a run that was
interrupted and taken up again is the run that never stopped (GADC sec. 4.1 gives the protocol).
"""

import hashlib
import json
import math
import os
import signal
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from torch import Tensor

from condense.base.artefacts import read_artefact
from condense.base.digest import code
from condense.base.errors import InputError, Unfinished
from condense.base.hardware import describe
from condense.base.memory import keep_freed_memory
from condense.base.progress import say, track
from condense.base.storage import file_digest, locked
from condense.config.objectives import OBJECTIVES
from condense.config.options import take
from condense.config.settings import Network, Recipe, Training
from condense.diffusion.embedders import Captions
from condense.diffusion.generator import Description, write_generator
from condense.diffusion.transformer import Alignment, Transformer, build
from condense.training import state
from condense.training.data import Sources, read_captions, read_latents, read_patches
from condense.training.examples import Examples
from condense.training.history import Log, write_history
from condense.training.losses import Denoising
from condense.training.trainer import Trainer
from condense.training.workers import Workers, joined, launch

CHECK_EVERY = 50  # steps between looks at the loss: a look waits for the GPU
MACHINE = ("microbatch", "checkpoint_every", "milestone_every")  # settings that change no number
MACHINE += ("text_encoder", "feature_encoder")  # names; what they name is read from files


@take(network=Network, training=Training, recipe=Recipe)
def train(
    latents: Annotated[Path, typer.Option(help="Latents of the subset, from `latents`.")],
    output: Annotated[Path, typer.Option(help="Averaged weights (safetensors).")],
    history: Annotated[
        Path, typer.Option(help="Loss, gradient norm and learning rate of each step (JSON lines).")
    ],
    state_folder: Annotated[
        Path, typer.Option(help="Folder of the states from which an interrupted run goes on.")
    ],
    objective: Annotated[str, typer.Option(help="adm (DiT) or flow (SiT).")],
    network: Network,
    training: Training,
    recipe: Recipe,
    milestones: Annotated[
        Path | None, typer.Option(help="Folder of averaged weights at each milestone of the training.")
    ] = None,
    captions: Annotated[Path | None, typer.Option(help="Captions to condition on, from `captions`.")] = None,
    patches: Annotated[Path | None, typer.Option(help="Features to align to, from `patches`.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of initialisation, order and noise.")] = 0,
    minutes: Annotated[float, typer.Option(help="Save and leave with status 75 after so long.")] = math.inf,
    workers: Annotated[int, typer.Option(help="GPUs, or processes; torchrun's where it started us.")] = 1,
    tensorboard: Annotated[Path | None, typer.Option(help="Folder of curves for TensorBoard.")] = None,
) -> None:
    """Train a generator from scratch."""
    if workers > 1 and "RANK" not in os.environ:
        return launch(workers, state_folder, output)
    began = time.monotonic()
    keep_freed_memory()
    with ExitStack() as stack:
        group = stack.enter_context(joined())
        group.first(stack.enter_context, locked(state_folder))
        data = read_latents(latents)
        attached = captions and read_captions(captions), patches and read_patches(patches, data.paths)
        sources = Sources(data, *attached)
        identity = _identity(objective, seed, [latents, captions, patches], [network, training, recipe])
        folder = state_folder / _key(identity, group)
        examples = Examples(sources, objective, training, recipe, seed, group)
        losses = Denoising(examples.objective.losses, recipe.alignment_weight)
        start = initialised(sources, objective, network, recipe, seed)
        trainer = Trainer(start, examples, losses, training, group)
        trainer.restore(group.first(_take_up, folder, identity))
        # an empty subset leaves the network as it was initialised
        steps = training.steps if data.paths else 0
        log = Log(trainer, steps, tensorboard)
        log.greet()
        _advance(trainer, steps, folder, identity, began + 60 * minutes, log)
        about = {"objective": objective, "network": network, "recipe": recipe}
        group.first(_finish, trainer, folder, about, output, history, milestones)


def _take_up(folder: Path, identity: dict[str, str]) -> tuple[int, dict[str, Tensor]] | None:
    """The newest state of this run; states of others are told."""
    for other, differing in state.relatives(folder, identity):
        say(f"{other} holds states of another run (other {', '.join(differing)}), which are not taken up")
    return state.newest(folder, identity)


def _finish(
    trainer: Trainer,
    folder: Path,
    about: dict[str, Any],
    output: Path,
    history: Path,
    milestones: Path | None,
) -> None:
    """Write the results, the weights last, then drop the states."""
    examples, training, group = trainer.examples, trainer.training, trainer.workers
    write_history(history, trainer)
    about |= {"classes": examples.latents.classes, "shape": examples.latents.shape}
    about |= {"steps": trainer.step, "ema": training.ema, "device": group.hardware, "workers": group.count}
    about["arithmetic"] = describe()
    described = Description(**about)
    if milestones:
        found = state.milestones(folder, training.milestone_every)
        _write_milestones(milestones, found, trainer, described)
    write_generator(output, described, trainer.average_weights(), examples.captions)
    # their weights, a quarter of a state, are kept where a folder for them is given
    state.clear(folder, None if milestones else training.milestone_every)


def _write_milestones(folder: Path, states: Iterable[Path], trainer: Trainer, about: Description) -> None:
    """Write the generators of the averages that some states hold."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in states:
        step, average = read_average(path)
        tensors = trainer.average_weights(average)
        write_generator(folder / path.name, replace(about, steps=step), tensors, trainer.examples.captions)


def initialised(sources: Sources, objective: str, network: Network, recipe: Recipe, seed: int) -> Transformer:
    """The network at its start, with the parts that its sources call for."""
    torch.manual_seed(seed)
    latents, captions, patches = sources
    alignment = None
    if patches is not None:
        alignment = Alignment(recipe.alignment_block, recipe.alignment_hidden, patches.shape[-1])
    return build(
        network,
        latents.shape,
        latents.classes,
        learn_sigma=OBJECTIVES[objective].learned_variance,
        captions=None if captions is None else Captions(*captions.shape[1:]),
        alignment=alignment,
    )


def read_average(path: Path) -> tuple[int, dict[str, Tensor]]:
    """Step and averaged weights by name of a saved state."""
    about, tensors = read_artefact(path, "a whole state of a training", only="average.")
    return about["step"], {name.removeprefix("average."): value for name, value in tensors.items()}


def _identity(
    objective: str, seed: int, files: Sequence[Path | None], chosen: Sequence[Any]
) -> dict[str, str]:
    """What a state must have in common with a run that takes it up."""
    names = {"objective": objective, "seed": str(seed), "code": code("training.train.train")}
    names |= {
        what: "" if path is None else file_digest(path)
        for what, path in zip(("latents", "captions", "patches"), files, strict=True)
    }
    for settings in chosen:
        section = type(settings).__name__.lower()
        names |= {
            f"{section}.{key}": str(value) for key, value in asdict(settings).items() if key not in MACHINE
        }
    return names


def _key(identity: dict[str, str], group: Workers) -> str:
    """Name of the folder of a run's states. Raises InputError where the workers read different files."""
    key = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:12]
    own = torch.tensor(int(key, 16))
    if group.any(bool(group.from_first(own.clone()) != own)):
        raise InputError(
            "the workers read different latents, captions or patches: wait until all machines see the newest "
            "files, then run again."
        )
    return key


def _advance(
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

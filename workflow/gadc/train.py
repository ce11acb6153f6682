"""Stage train: a transformer from scratch on the latents of a subset, resumable to the byte.

Order of images, noise, flips and label dropout are functions of (seed, step) alone, so a run that was
interrupted and taken up again is the run that never stopped (GADC sec. 4.1 gives the protocol).
"""

import hashlib
import json
import resource
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from gadc import state
from gadc.artefacts import write_artefact
from gadc.digest import code
from gadc.embedders import Captions
from gadc.errors import Unfinished
from gadc.examples import Examples
from gadc.memory import keep_freed_memory
from gadc.options import take
from gadc.progress import say, track
from gadc.settings import Network, Recipe, Training
from gadc.sources import Sources, read_captions, read_latents, read_patches
from gadc.storage import file_digest, replacing
from gadc.trainer import Trainer
from gadc.transformer import Alignment, Transformer, build
from gadc.workers import joined

CHECK_EVERY = 50  # steps between looks at the loss: a look waits for the GPU
MACHINE = ("microbatch", "checkpoint_every", "milestone_every")  # settings that change no number
MACHINE += ("text_encoder", "feature_encoder")  # names; what they name is read from files


@take(network=Network, training=Training, recipe=Recipe)
def train(
    latents: Annotated[Path, typer.Option(help="Latents of the subset, from `condition`.")],
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
    captions: Annotated[Path | None, typer.Option(help="Captions to condition on, from `captions`.")] = None,
    patches: Annotated[Path | None, typer.Option(help="Features to align to, from `patches`.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of initialisation, order and noise.")] = 0,
    minutes: Annotated[
        float | None, typer.Option(help="Save and leave with status 75 after so long.")
    ] = None,
) -> None:
    """Train a generator from scratch; under torchrun on several GPUs."""
    began = time.monotonic()
    keep_freed_memory()
    data = read_latents(latents)
    sources = Sources(
        data,
        captions and read_captions(captions),
        patches and read_patches(patches, data.paths),
    )
    identity = _identity(objective, seed, [latents, captions, patches], [network, training, recipe])
    folder = state_folder / hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:12]
    with joined() as workers:
        examples = Examples(sources, objective, training, recipe, seed, workers)
        trainer = Trainer(initialised(sources, objective, network, recipe, seed), examples, training, workers)
        trainer.restore(state.newest(folder, identity))
        _advance(trainer, folder, identity, began + 60 * minutes if minutes is not None else None)
        if workers.rank:
            return
    with replacing(history) as beside:
        beside.write_text("".join(json.dumps(row) + "\n" for row in trainer.rows()))
    about = {"objective": objective, "network": asdict(network), "classes": data.classes, "shape": data.shape}
    about |= {"steps": trainer.step, "ema": training.ema, "recipe": asdict(recipe)}
    attached = {} if sources.captions is None else {"captions": sources.captions}
    write_artefact(output, about, trainer.average_weights() | attached)
    state.clear(folder, training.milestone_every)


def initialised(sources: Sources, objective: str, network: Network, recipe: Recipe, seed: int) -> Transformer:
    """The network at its start, with the parts that its sources call for."""
    torch.manual_seed(seed)
    latents, captions, patches = sources
    alignment = (
        Alignment(recipe.alignment_block, recipe.alignment_hidden, patches.shape[-1])
        if patches is not None
        else None
    )
    return build(
        network,
        latents.shape,
        latents.classes,
        learn_sigma=objective == "adm",
        captions=None if captions is None else Captions(*captions.shape[1:]),
        alignment=alignment,
    )


def _identity(
    objective: str, seed: int, files: Sequence[Path | None], chosen: Sequence[Any]
) -> dict[str, str]:
    """What a state must have in common with a run that takes it up."""
    names = {"objective": objective, "seed": str(seed), "code": code("train")}
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


def _advance(trainer: Trainer, folder: Path, identity: dict[str, str], deadline: float | None) -> None:
    """Take the steps that are left, saving the state now and then, and at a signal or when time is up."""
    training, workers = trainer.training, trainer.workers
    # an empty subset leaves the network as it was initialised
    steps = training.steps if trainer.examples.latents.paths else 0
    quiet = workers.rank > 0
    pace = Pace(trainer)
    if not quiet:
        say(_greeting(trainer, steps, folder, identity))
    todo = range(trainer.step, steps)
    with stop_signals() as stop:
        for step in todo if quiet else track(todo, "training", total=steps, start=trainer.step):
            trainer.advance()
            late = deadline is not None and time.monotonic() > deadline
            leave = workers.any(bool(stop) or late)
            last, done = step + 1 == steps, step + 1
            saving = last or leave or _due(training, done)
            if saving or done % CHECK_EVERY == 0:
                trainer.check()  # before the state is saved: a spoilt one never is
            if saving and not quiet:
                say(pace.line())
                path = state.save(folder, done, trainer.tensors(), identity, training.milestone_every)
            if leave and not last:
                where = "" if quiet else f"; the state is in {path}, run again to go on"
                raise Unfinished(f"stopped after step {done} of {steps}{where}.")


def _due(training: Training, step: int) -> bool:
    """Whether the state of a step is to be saved."""
    return any(every and step % every == 0 for every in (training.checkpoint_every, training.milestone_every))


def _greeting(trainer: Trainer, steps: int, folder: Path, identity: dict[str, str]) -> str:
    """What the run is about to do, with the share of its random start that the average would keep."""
    if trainer.step:
        return f"going on from step {trainer.step} of {steps}"
    for other, differing in state.relatives(folder, identity):
        say(f"{other} holds states of another run (other {', '.join(differing)}), which are not taken up")
    training = trainer.training
    kept = 1.0 if not training.ema_warmup else 0.0  # the warm-up forgets the start within a few steps
    kept *= training.ema**steps
    advice = "; set training.ema_warmup or lower training.ema" if steps and kept > 0.01 else ""
    return (
        f"{steps} steps of {training.batch} images on {trainer.workers.count} {trainer.workers.device.type}; "
        f"the average keeps {kept:.0%} of the random start{advice}"
    )


class Pace:
    """Images per second and memory since the training began."""

    def __init__(self, trainer: Trainer) -> None:
        self.trainer, self.began, self.first = trainer, time.monotonic(), trainer.step

    def line(self) -> str:
        """One line of the log."""
        trainer = self.trainer
        loss, norm, _ = trainer.history[-CHECK_EVERY:].mean(0).tolist()
        images = (trainer.step - self.first) * trainer.training.batch / (time.monotonic() - self.began)
        return (
            f"step {trainer.step}: loss {loss:.4f}, gradient norm {norm:.3f}, {images:.0f} images/s, "
            f"peak memory {_peak_memory(trainer.workers.device) / 2**20:.0f} MiB"
        )


def _peak_memory(device: torch.device) -> int:
    """Most bytes in use so far: on the GPU, or of the process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


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

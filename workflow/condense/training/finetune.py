"""Stage finetune: a generator from another one's weights, for small image sets, resumable to the byte.

Order of images, noise, flips and label dropout are functions of (seed, step) alone, and the memories of the
losses are part of a saved state, so a run that was interrupted and taken up again never stopped.
"""

import math
import time
from contextlib import ExitStack
from dataclasses import fields, replace
from pathlib import Path
from typing import Annotated

import torch
import typer

from condense.base.digest import code
from condense.base.errors import InputError
from condense.base.hardware import describe
from condense.base.memory import keep_freed_memory
from condense.base.storage import locked
from condense.config.finetuning import Finetuning
from condense.config.options import take
from condense.config.settings import Training
from condense.diffusion.difffit import add_factors, is_trained
from condense.diffusion.generator import Description, label_of, read_generator, write_generator
from condense.images.subset import read_subset
from condense.training import state
from condense.training.data import Latents, Sources, read_latents
from condense.training.examples import Examples
from condense.training.history import Log, write_history
from condense.training.loop import advance, identity_of, key_of, take_up
from condense.training.memories import Memories
from condense.training.minimax import MinimaxLosses
from condense.training.trainer import Trainer
from condense.training.workers import Workers, joined


@take(finetuning=Finetuning)
def finetune(
    start: Annotated[Path, typer.Option(help="Generator, from `train` or `import-checkpoint`.")],
    latents: Annotated[Path, typer.Option(help="Latents of the subset, from `latents`.")],
    subset: Annotated[Path, typer.Option(help="The subset: tells the classes' names.")],
    output: Annotated[Path, typer.Option(help="Weights of the finetuned generator (safetensors).")],
    history: Annotated[Path, typer.Option(help="Loss and figures of each step (JSON lines).")],
    state_folder: Annotated[
        Path, typer.Option(help="Folder of the states from which an interrupted run goes on.")
    ],
    finetuning: Finetuning,
    seed: Annotated[int, typer.Option(help="Seed of order and noise.")] = 0,
    minutes: Annotated[float, typer.Option(help="Save and leave with status 75 after so long.")] = math.inf,
    tensorboard: Annotated[Path | None, typer.Option(help="Folder of curves for TensorBoard.")] = None,
) -> None:
    """Make a generator from another one's weights, by the losses of Minimax diffusion and IMS3."""
    began = time.monotonic()
    keep_freed_memory()
    with ExitStack() as stack:
        group = stack.enter_context(joined())
        if group.count > 1:
            raise InputError("a finetuning looks at whole batches and runs in one process: start one.")
        stack.enter_context(locked(state_folder))
        trainer, about = _prepared(start, latents, subset, finetuning, seed, group)
        names = {"seed": str(seed), "code": code("training.finetune.finetune")}
        files = {"start": start, "latents": latents, "subset": subset}
        identity = identity_of(names, files, [finetuning])
        folder = state_folder / key_of(identity, group)
        trainer.restore(take_up(folder, identity))
        steps = trainer.training.steps
        log = Log(trainer, steps, tensorboard)
        log.greet("start", "; set weights: raw")
        advance(trainer, steps, folder, identity, began + 60 * minutes, log)
        write_history(history, trainer)
        kept = trainer.average if finetuning.weights == "ema" else trainer.parameters
        described = replace(
            about,
            steps=trainer.step,
            ema=finetuning.ema if finetuning.weights == "ema" else None,
            device=group.hardware,
            workers=group.count,
            arithmetic=describe(),
        )
        write_generator(output, described, trainer.average_weights(kept), trainer.examples.captions)
        state.clear(folder)


def _prepared(
    start: Path, latents: Path, subset: Path, chosen: Finetuning, seed: int, group: Workers
) -> tuple[Trainer, Description]:
    """The trainer at its first step, and what the generator is that it starts from."""
    network, captions, about = read_generator(start, group.device)
    if about.objective != "adm":
        raise InputError(
            f"{start} has the objective {about.objective}; the losses of a finetuning look at a generator "
            "with the objective adm."
        )
    if chosen.parameters == "difffit":
        add_factors(network)
    data = labelled(read_latents(latents), subset, about, start)
    training = training_of(chosen, len(data.paths))
    examples = Examples(Sources(data, captions), about.objective, training, about.recipe, seed, group)
    memories = Memories(examples.latents.labels.unique(), chosen.memory, math.prod(data.shape))
    losses = MinimaxLosses(chosen, memories)
    trained = is_trained if chosen.parameters == "difffit" else lambda name: True
    return Trainer(network, examples, losses, training, group, trained, losses.ledger), about


def labelled(data: Latents, subset: Path, about: Description, weights: Path) -> Latents:
    """Latents with a generator's labels for their classes; InputError where they do not fit it."""
    if data.shape != about.shape:
        raise InputError(f"{weights} takes latents of {about.shape}, those of the images are {data.shape}.")
    names = {row.class_index: row.cls for row in read_subset(subset)}
    labels = torch.zeros_like(data.labels)
    for index, name in names.items():
        label = label_of(name, index, about, weights)
        if label >= about.classes:
            raise InputError(f"{weights} knows {about.classes} classes; {name!r} is number {index}.")
        labels[data.labels == index] = label
    return replace(data, labels=labels, classes=about.classes)


def training_of(chosen: Finetuning, images: int) -> Training:
    """Optimisation of a finetuning on so many images; none, of no image, leaves the network as it is."""
    shared = {item.name for item in fields(Training)} & {item.name for item in fields(chosen)}
    # RELEASE: what is left over of an epoch's last batch is not counted
    each = max(images // chosen.batch, min(images, 1))
    return Training(steps=chosen.epochs * each, **{name: getattr(chosen, name) for name in shared})

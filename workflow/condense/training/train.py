"""Stage train: a transformer from scratch on the latents of a subset, resumable to the byte.

Order of images, noise, flips and label dropout are functions of (seed, step) alone, so a run that was
interrupted and taken up again is the run that never stopped (GADC sec. 4.1 gives the protocol).
"""

import math
import os
import time
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from torch import Tensor

from condense.base.artefacts import read_artefact
from condense.base.digest import code
from condense.base.hardware import describe
from condense.base.memory import keep_freed_memory
from condense.base.storage import locked
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
from condense.training.loop import advance, identity_of, key_of, take_up
from condense.training.losses import Denoising
from condense.training.trainer import Trainer
from condense.training.workers import joined, launch


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
        names = {"objective": objective, "seed": str(seed), "code": code("training.train.train")}
        files = {"latents": latents, "captions": captions, "patches": patches}
        identity = identity_of(names, files, [network, training, recipe])
        folder = state_folder / key_of(identity, group)
        examples = Examples(sources, objective, training, recipe, seed, group)
        losses = Denoising(examples.objective.losses, recipe.alignment_weight)
        start = initialised(sources, objective, network, recipe, seed)
        trainer = Trainer(start, examples, losses, training, group)
        trainer.restore(group.first(take_up, folder, identity))
        # an empty subset leaves the network as it was initialised
        steps = training.steps if data.paths else 0
        log = Log(trainer, steps, tensorboard)
        log.greet()
        advance(trainer, steps, folder, identity, began + 60 * minutes, log)
        about = {"objective": objective, "network": network, "recipe": recipe}
        group.first(_finish, trainer, folder, about, output, history, milestones)


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

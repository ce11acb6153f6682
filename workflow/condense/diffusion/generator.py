"""The file of a generator: weights, captions and what it is. This module alone writes and reads it."""

from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from condense.base.artefacts import read_artefact, write_artefact
from condense.base.errors import InputError
from condense.config.objectives import OBJECTIVES
from condense.config.settings import Network, Recipe
from condense.diffusion.difffit import scaled_blocks
from condense.diffusion.embedders import Captions
from condense.diffusion.transformer import Transformer, build

WHAT = "a generator of `condense train` or `condense import-checkpoint`"


@dataclass(frozen=True, kw_only=True)
class Description:
    """What a generator is. A file may leave out what has a default: None says that it is not known."""

    objective: str
    network: Network
    classes: int
    shape: tuple[int, int, int]  # of the latents: channels, height, width
    names: tuple[str, ...] | None = None  # of the classes, by label; the study's own where None
    recipe: Recipe = field(default_factory=Recipe)
    steps: int | None = None  # of the optimiser
    ema: float | None = None  # decay of the averaged weights
    device: str | None = None  # hardware that it was trained on
    arithmetic: str | None = None  # kernels, threads, processor and version that it was trained with
    workers: int | None = None  # processes that trained it


def write_generator(
    path: Path, description: Description, weights: dict[str, Tensor], captions: Tensor | None = None
) -> None:
    """Write a generator: weights by name, and captions [classes + 1, tokens, width] where it takes them."""
    tables = {} if captions is None else {"captions": captions}
    write_artefact(path, asdict(description), weights | tables)


def read_generator(path: Path, device: torch.device) -> tuple[Transformer, Tensor | None, Description]:
    """Network of a generator, ready to draw, its captions [classes + 1, tokens, width], and what it is."""
    about, weights = read_artefact(path, WHAT)
    description, captions = _describe(path, about), weights.pop("captions", None)
    network = build(
        description.network,
        description.shape,
        description.classes,
        OBJECTIVES[description.objective].learned_variance,
        None if captions is None else Captions(*captions.shape[1:]),
        scaled_blocks=scaled_blocks(weights),
    )
    load_weights(network, weights, path)
    captions = None if captions is None else captions.float().to(device)
    return network.to(device).eval().requires_grad_(False), captions, description


def read_description(path: Path) -> Description:
    """What a generator is, without its weights."""
    return _describe(path, read_artefact(path, WHAT, only="-")[0])


def load_weights(network: Transformer, weights: dict[str, Tensor], path: Path) -> None:
    """Load weights of a file into a network; InputError where a name or a shape is not the network's."""
    own = network.state_dict()
    for name in sorted(own.keys() | weights.keys()):
        if name not in weights:
            raise InputError(
                f"{path} has no {name}, which the network has; check its depth and conditioning."
            )
        if name not in own:
            raise InputError(
                f"{path} has {name}, which the network has not; check its depth and conditioning."
            )
        theirs, ours = tuple(weights[name].shape), tuple(own[name].shape)
        if theirs != ours:
            raise InputError(
                f"{path} has {name} of shape {theirs}, the network's is {ours}; check the network's sizes."
            )
    network.load_state_dict(weights)


def label_of(name: str, number: int, about: Description, weights: Path) -> int:
    """Label of a class for a generator: by its own names where it has any, else the study's index `number`.

    InputError for a class that it does not know.
    """
    if about.names is None:
        return number
    if name not in about.names:
        raise InputError(f"{weights} does not know class {name!r}; it knows classes by their WordNet ids.")
    return about.names.index(name)


def _describe(path: Path, about: dict[str, Any]) -> Description:
    """What the file of a generator says that it is; older files say less."""
    try:
        if about["objective"] not in OBJECTIVES:
            raise ValueError(f"its objective is {about['objective']!r}")
        read = {"network": Network(**about["network"]), "classes": about["classes"]}
        read |= {"shape": tuple(about["shape"]), "recipe": Recipe(**_known(Recipe, about.get("recipe", {})))}
        if about.get("names") is not None:
            read["names"] = tuple(about["names"])
        return Description(**_known(Description, about) | read)
    except KeyError as error:
        reason = f"it does not say its {error.args[0]}"
    except (TypeError, ValueError) as error:
        reason = str(error)
    raise InputError(f"{path} is not {WHAT} ({reason}): give another file, or make it anew.")


def _known(cls: type, values: dict[str, Any]) -> dict[str, Any]:
    """The values that are fields of a dataclass."""
    return {item.name: values[item.name] for item in fields(cls) if item.name in values}

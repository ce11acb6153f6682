"""Sizes of a study's networks without their weights: built on torch's meta device and counted there."""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from condense.config.settings import Autoencoder, Encoder, Network, TextEncoder

META = torch.device("meta")
STABLE_DIFFUSION = {  # ASSUME: an autoencoder whose folder is not there is that of Stable Diffusion
    "block_out_channels": (128, 256, 512, 512),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "layers_per_block": 2,
    "latent_channels": 4,
}
TEXT_WIDTH = 2048  # ASSUME: a text encoder whose folder is not there is flan-t5-xl


class Workload(NamedTuple):
    """Numbers that a network gives for one image, or has as parameters, and its operations per image."""

    numbers: int
    operations: float


class Space(NamedTuple):
    """Latents of an autoencoder: their shape, what encoding an image gives, and what decoding it takes."""

    shape: tuple[int, int, int]
    encoding: Workload
    decoding: float


def encoder_size(settings: Encoder) -> Workload:
    """Features of an encoder, or of a detector."""
    network, side = _encoder(settings)
    features, operations = count(network, image(side))
    return Workload(features.shape[1], operations)


def map_size(settings: Encoder, resolution: int) -> Workload:
    """Feature map of an encoder, to which generators of a resolution are aligned."""
    from condense.training.patches import input_side

    network, side = _encoder(settings)
    seen = input_side(SimpleNamespace(network=network, preprocess=SimpleNamespace(side=side)), resolution)
    found, operations = count(network.forward_features, image(seen))
    prefix = network.num_prefix_tokens if found.dim() == 3 else 0
    return Workload(found[:, prefix:].numel(), operations)


def _encoder(settings: Encoder) -> tuple[nn.Module, int]:
    """Network of an encoder on the meta device, and the side of its input."""
    from condense.encoders import pretrained
    from condense.encoders.convnet import UntrainedNetwork
    from condense.encoders.detectors import SIDE
    from condense.encoders.fitted import FittedNetwork

    changed = (settings.preprocess or {}).get("side")
    with META:
        if settings.kind == "fit":
            return FittedNetwork(settings.side).eval(), settings.side
        if settings.kind == "untrained":
            return UntrainedNetwork(settings.side, settings.depth).eval(), settings.side
        if settings.kind == "fid":  # ASSUME: torchvision's Inception, which differs in its pooling alone
            return pretrained.build("torchvision", "inception_v3", {}).eval(), SIDE
        network = pretrained.build(settings.kind, settings.model, settings.options or {}).eval()
    if settings.kind == "torchvision":
        return network, changed or pretrained.RELEASED[settings.model][2]
    return network, changed or network.default_cfg["input_size"][-1]


def space_of(settings: Autoencoder | None, resolution: int) -> Space:
    """Latents of images of a resolution; pixels without an autoencoder."""
    if settings is None:
        return Space((3, resolution, resolution), Workload(3 * resolution**2, 0), 0)
    import diffusers

    kind = {"kl": diffusers.AutoencoderKL, "tiny": diffusers.AutoencoderTiny}[settings.kind]
    with META:
        if (Path(settings.path) / "config.json").is_file():
            model = kind.from_config(kind.load_config(settings.path))
        else:
            model = kind(**STABLE_DIFFUSION) if settings.kind == "kl" else kind()
    encoded, encoding = count(model.eval().encode, image(resolution))
    spread = hasattr(encoded, "latent_dist")  # of each latent a mean and a deviation are kept
    latents = encoded.latent_dist.mean if spread else encoded.latents
    _, decoding = count(model.decode, latents)
    return Space(tuple(latents.shape[1:]), Workload(latents.numel() * (1 + spread), encoding), decoding)


@cache
def generator_size(
    network: Network,
    shape: tuple[int, int, int],
    classes: int,
    learn_sigma: bool,
    text: tuple[int, int] | None = None,
) -> Workload:
    """Parameters of a generator, and a forward pass on latents [c, h, w]; `text` are tokens and width."""
    from condense.diffusion.transformer import Captions, build

    with META:
        model = build(network, shape, classes, learn_sigma, text and Captions(*text))
        given = [torch.empty(1, *shape), torch.empty(1), torch.zeros(1, dtype=torch.long)]
        given += [torch.empty(1, *text)] if text else []
    _, operations = count(model, *given)
    return Workload(sum(value.numel() for value in model.parameters()), operations)


def text_size(settings: TextEncoder) -> tuple[int, int]:
    """Tokens and width of a caption."""
    described = Path(settings.path) / "config.json"
    width = json.loads(described.read_text())["d_model"] if described.is_file() else TEXT_WIDTH
    return settings.tokens, width


def image(side: int) -> torch.Tensor:
    """One image without content."""
    return torch.empty(1, 3, side, side, device=META)


def count(function: Callable[..., Any], *given: Any) -> tuple[Any, float]:
    """What a function of meta tensors gives, and its multiplications and additions."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        found = function(*given)
    return found, counter.get_total_flops()

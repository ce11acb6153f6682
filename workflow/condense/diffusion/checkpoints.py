"""Weights from and for other programs: official DiT checkpoints, diffusers' `DiTTransformer2DModel`."""

import argparse
import json
import pickle
import re
from pathlib import Path
from typing import Annotated

import torch
import typer
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from condense.base.errors import InputError
from condense.base.storage import replacing
from condense.config.settings import Network
from condense.diffusion.difffit import merge_factors, scaled_blocks
from condense.diffusion.generator import Description, load_weights, read_generator, write_generator
from condense.diffusion.transformer import SIZES, Size, Transformer, build

UNREADABLE = (  # what safetensors and PyTorch raise of a file that is not theirs
    *(SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError, LookupError),
)
PREFIX = re.compile(r"^((module|_orig_mod)\.)+")  # left by DistributedDataParallel and torch.compile


def import_checkpoint(
    checkpoint: Annotated[Path, typer.Option(help="Official DiT checkpoint (.pt or .safetensors).")],
    output: Annotated[Path, typer.Option(help="Generator as `train` writes it (safetensors).")],
    heads: Annotated[int | None, typer.Option(help="Attention heads, where no published size fits.")] = None,
) -> None:
    """Turn an official DiT checkpoint of ImageNet's classes into a generator of this package."""
    from timm.data import ImageNetInfo

    weights = read_checkpoint(checkpoint)
    network, shape, classes = infer_network(weights, checkpoint, heads)
    built = build(network, shape, classes, learn_sigma=True, scaled_blocks=scaled_blocks(weights))
    load_weights(built, weights, checkpoint)
    names = tuple(ImageNetInfo("imagenet-1k").label_names()) if classes == 1000 else None
    description = Description(objective="adm", network=network, classes=classes, shape=shape, names=names)
    write_generator(output, description, dict(built.state_dict()))


def infer_network(
    weights: dict[str, Tensor], path: Path, heads: int | None = None
) -> tuple[Network, tuple[int, int, int], int]:
    """Network, shape of the latents and number of classes of a checkpoint, from the shapes of its tensors."""
    try:
        width, channels, patch, _ = weights["x_embedder.proj.weight"].shape
        side = patch * round(weights["pos_embed"].shape[1] ** 0.5)
        classes = len(weights["y_embedder.embedding_table.weight"]) - 1
    except (KeyError, ValueError, IndexError) as error:
        raise InputError(f"{path} is no DiT checkpoint ({error}); download it anew.") from None
    depth = len({name.split(".")[1] for name in weights if name.startswith("blocks.")})
    published = next((size.heads for size in SIZES.values() if size[:2] == (depth, width)), None)
    size = Size(depth, width, heads or published)
    if size.heads is None:
        raise InputError(f"{path} has {depth} blocks of width {width}, no published size; give --heads.")
    return Network(**size._asdict(), patch=patch), (channels, side, side), classes


def export_generator(
    weights: Annotated[Path, typer.Option(help="Generator, from `train`.")],
    output: Annotated[Path, typer.Option(help="Folder for diffusers' DiTTransformer2DModel.")],
) -> None:
    """Write a generator without captions as a folder that diffusers loads."""
    export_diffusers(read_generator(weights, torch.device("cpu"))[0], output)


def load_checkpoint(network: Transformer, path: Path) -> None:
    """Load a checkpoint with the official parameter names into a network of the same sizes.

    Takes safetensors, or what the official training script saves; of such a file the averaged weights. No
    code in the file runs. Raises InputError where names or shapes differ from the network's.
    """
    load_weights(network, read_checkpoint(path), path)


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """Tensors of a checkpoint by their official names; InputError where there are none."""
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path} does not exist; give the file of a checkpoint.")
    try:
        if path.suffix == ".safetensors":
            found = load_file(path)
        else:
            # the official script saves its arguments with the weights
            with torch.serialization.safe_globals([argparse.Namespace]):
                found = torch.load(path, map_location="cpu", weights_only=True)
    except UNREADABLE as error:
        reason = (str(error) or "it is empty").splitlines()[0]
        raise InputError(
            f"{path} is not a checkpoint of tensors alone ({reason}); download it anew."
        ) from None
    for key in ("ema", "model"):
        if isinstance(found, dict) and isinstance(found.get(key), dict):
            found = found[key]
    if not isinstance(found, dict) or not all(isinstance(value, Tensor) for value in found.values()):
        raise InputError(
            f"{path} does not hold tensors by name; give a state dict or what the DiT script saves."
        )
    return {PREFIX.sub("", name): value for name, value in found.items()}


def export_diffusers(network: Transformer, folder: Path) -> None:
    """Write a folder that diffusers' `DiTTransformer2DModel.from_pretrained` reads; InputError with captions.

    RELEASE: that model spaces its 128 time frequencies by 1/127 where DiT has 1/128. For the network's own
    predictions set `block.norm1.emb.time_proj.downscale_freq_shift = 0` in each of its `transformer_blocks`.
    """
    config, weights = to_diffusers(network)
    with replacing(Path(folder) / "diffusion_pytorch_model.safetensors") as beside:
        save_file(weights, beside, metadata={"format": "pt"})
    with replacing(Path(folder) / "config.json") as beside:
        beside.write_text(json.dumps(config, indent=2) + "\n")


def to_diffusers(network: Transformer) -> tuple[dict[str, object], dict[str, Tensor]]:
    """Config and weights of the `DiTTransformer2DModel` that equals a network without captions.

    Alignment heads serve training only and are left out; the embedders are repeated for each block.
    """
    if network.y_embedder.captioned:
        raise InputError(
            "diffusers' DiTTransformer2DModel takes no captions; export a generator without them."
        )
    heads = network.blocks[0].attn.heads
    config: dict[str, object] = {
        "_class_name": "DiTTransformer2DModel",
        "num_attention_heads": heads,
        "attention_head_dim": network.pos_embed.shape[-1] // heads,
        "in_channels": network.channels,
        "out_channels": network.outputs,
        "num_layers": len(network.blocks),
        "sample_size": network.resolution,
        "patch_size": network.patch,
        "num_embeds_ada_norm": network.classes,
        "norm_eps": 1e-6,
    }
    own = {name: value.detach().cpu() for name, value in network.state_dict().items()}
    own = merge_factors(own)
    weights = {}
    for name, value in own.items():
        for target, part in _targets(name, value, len(network.blocks)):
            weights[target] = part.clone(memory_format=torch.contiguous_format)
    return config, weights


# diffusers' names of our modules; {} is the block
OUTER = {
    "x_embedder.proj": "pos_embed.proj",
    "final_layer.adaLN_modulation.1": "proj_out_1",
    "final_layer.linear": "proj_out_2",
}
SHARED = {
    "t_embedder.mlp.0": "transformer_blocks.{}.norm1.emb.timestep_embedder.linear_1",
    "t_embedder.mlp.2": "transformer_blocks.{}.norm1.emb.timestep_embedder.linear_2",
    "y_embedder.embedding_table": "transformer_blocks.{}.norm1.emb.class_embedder.embedding_table",
}
INNER = {
    "adaLN_modulation.1": "norm1.linear",
    "attn.proj": "attn1.to_out.0",
    "mlp.fc1": "ff.net.0.proj",
    "mlp.fc2": "ff.net.2",
}


def _targets(name: str, value: Tensor, depth: int) -> list[tuple[str, Tensor]]:
    """Where one of our tensors goes: (diffusers' name, tensor), several or none."""
    module, _, kind = name.rpartition(".")
    if module in OUTER:
        return [(f"{OUTER[module]}.{kind}", value)]
    if module in SHARED:
        return [(f"{SHARED[module].format(block)}.{kind}", value) for block in range(depth)]
    if not module.startswith("blocks."):
        return []
    _, block, inner = module.split(".", 2)
    prefix = f"transformer_blocks.{block}"
    if inner == "attn.qkv":
        parts = zip(("to_q", "to_k", "to_v"), value.chunk(3), strict=True)
        return [(f"{prefix}.attn1.{part}.{kind}", rows) for part, rows in parts]
    return [(f"{prefix}.{INNER[inner]}.{kind}", value)]

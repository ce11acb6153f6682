"""Values that DsCo's released code computed for noise optimisation and doping."""

import json
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from condense.diffusion.autoencoders import Pixels
from condense.diffusion.transformer import Size, Transformer
from condense.synthesis.chain import Chain
from condense.synthesis.projector import Projector

FOLDER = Path(__file__).parent / "golden" / "concentration"
LAYERS = ("projector", "bulk.0", "bulk.2", "bulk.4")


def read(name: str) -> tuple[dict[str, Tensor], dict]:
    """Tensors of a golden file and its settings."""
    path = FOLDER / f"{name}.safetensors"
    with safe_open(path, "pt") as file:
        return load_file(path), json.loads(file.metadata()["settings"])


def read_json(name: str) -> dict:
    """A golden file of plain numbers."""
    return json.loads((FOLDER / f"{name}.json").read_text())


def projector(dtype: torch.dtype = torch.float32) -> Projector:
    """The projector of two groups by which the golden steps and chains were computed."""
    values, settings = read("projector")
    weights, biases = (
        tuple(values[f"weights.{layer}.{part}"].to(dtype) for layer in LAYERS) for part in ("weight", "bias")
    )
    return Projector(weights, biases, settings["groups"])


def chain(name: str) -> Chain:
    """The guided chain of a golden file, with its trained network."""
    values, settings = read("chain")  # both files have the one network
    sizes = settings["dit"]
    network = Transformer(
        resolution=sizes["input_size"],
        channels=sizes["in_channels"],
        classes=sizes["num_classes"],
        size=Size(sizes["depth"], sizes["hidden_size"], sizes["num_heads"]),
        patch=sizes["patch_size"],
        learn_sigma=sizes["learn_sigma"],
    )
    weights = {key[4:]: value.float() for key, value in values.items() if key.startswith("dit.")}
    network.load_state_dict(weights)
    settings = read(name)[1]
    return Chain(
        network.eval().requires_grad_(False),
        (4, 8, 8),
        Pixels(),
        torch.device("cpu"),
        settings["steps"],
        settings["cfg_scale"],
        settings["guided_channels"],
    )

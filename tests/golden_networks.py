"""Networks with the weights of the golden files, and the values that the references computed with them."""

import json
from functools import cache
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from condense.diffusion.embedders import Captions
from condense.diffusion.transformer import Alignment, Size, Transformer
from plain_networks import predict

GOLDEN = Path(__file__).parent / "golden"
ROUNDING = 7e-7  # a few roundings of float32


@cache
def golden(name: str) -> tuple[dict[str, Tensor], dict[str, int]]:
    path = GOLDEN / f"{name}.safetensors"
    with safe_open(path, "pt") as file:
        settings = {key: json.loads(value.lower()) for key, value in file.metadata().items()}
    return load_file(path), settings


def dit() -> Transformer:
    """Class-conditional DiT of dit.safetensors."""
    values, settings = golden("dit")
    network = Transformer(
        resolution=settings["input_size"],
        channels=settings["in_channels"],
        classes=settings["num_classes"],
        size=Size(settings["depth"], settings["hidden_size"], settings["num_heads"]),
        patch=settings["patch_size"],
        learn_sigma=settings["learn_sigma"],
    )
    network.load_state_dict(weights_of(values, "weights."))
    return network.eval().requires_grad_(False)


def conditioned(kind: str) -> Transformer:
    """Captioned and aligned network `dit` or `sit`; label i is the class of the i-th golden image."""
    values, settings = golden("gadc_models")
    rows = torch.cat([values[f"{kind}.class_rows"], values[f"{kind}.null_row"]])
    network = Transformer(
        resolution=settings["input_size"],
        channels=4,
        classes=len(rows) - 1,
        size=Size(settings["depth"], settings["hidden_size"], settings["num_heads"]),
        patch=settings["patch_size"],
        learn_sigma=kind == "dit",
        captions=Captions(),
        alignment=Alignment(settings["projection_after_block"], hidden=40, width=24),
    )
    weights = weights_of(values, f"{kind}.weights.") | {"y_embedder.embedding_table.weight": rows}
    network.load_state_dict(weights)
    return network.eval().requires_grad_(False)


def plain(kind: str, x: Tensor, t: Tensor, labels: Tensor, text: Tensor) -> Tensor:
    """What network `dit` or `sit` predicts, by the written-out one in float64."""
    weights = {name: value.double().numpy() for name, value in conditioned(kind).state_dict().items()}
    vectors = weights["y_embedder.embedding_table.weight"][labels]
    heads = golden("gadc_models")[1]["num_heads"]
    arrays = [value.double().numpy() for value in (x, t)]
    return torch.from_numpy(predict(weights, heads, *arrays, vectors, text.double().numpy()))


def captions() -> Tensor:
    """Masked caption states [4, 16, 2048] of the golden images."""
    values, _ = golden("gadc_models")
    return values["text"] * values["text_mask"][..., None]


def assert_golden(
    actual: Tensor, expected: Tensor, scale: float | None = None, tolerance: float = ROUNDING
) -> None:
    """Equality in float32: within `tolerance` of the largest expected value, or of `scale`."""
    assert actual.shape == expected.shape
    actual, expected = actual.double(), expected.double()
    error = (actual - expected).abs().max().item()
    assert error <= tolerance * (scale or expected.abs().max().item()), error


def weights_of(values: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in values.items() if name.startswith(prefix)}


def small(**changes: object) -> Transformer:
    """Two-block network whose weights are all random, so that no part is silent."""
    torch.manual_seed(0)
    settings = {"resolution": 8, "channels": 4, "classes": 5, "size": Size(2, 32, 4)}
    network = Transformer(**settings | changes)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return network

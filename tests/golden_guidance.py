"""Values that the released codes of guided distillation and a solver of transport computed.

`golden("igd")` holds the float64 run under plain names and the float32 run of the same inputs under `f32.`.
"""

from functools import cache
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from condense.diffusion.transformer import Size, Transformer
from condense.students.networks import ConvNet
from golden_networks import weights_of

FOLDER = Path(__file__).parent / "golden" / "guidance"
SURROGATES = 3  # checkpoints of the classifier in `igd`
SCALE = 0.18215  # of the latents in `igd`


@cache
def golden(name: str) -> dict[str, Tensor]:
    return load_file(FOLDER / f"{name}.safetensors")


def generator(dtype: torch.dtype) -> Transformer:
    """Network of `igd`, with DiffFit's scale factors."""
    network = Transformer(
        resolution=8, channels=4, classes=10, size=Size(2, 48, 4), learn_sigma=True, scaled_blocks=2
    )
    network.load_state_dict(weights_of(golden("igd"), "weights.dit."))
    return network.to(dtype).eval().requires_grad_(False)


def decode(latents: Tensor) -> Tensor:
    """Images [b, 3, 16, 16] of latents [b, 4, 8, 8], by the decoder of `igd`."""
    weight, bias = (golden("igd")[f"weights.decoder.{name}"].to(latents) for name in ("weight", "bias"))
    return torch.nn.functional.conv_transpose2d(latents / SCALE, weight, bias, stride=2)


def surrogate() -> ConvNet:
    """Classifier of `igd`, its weights to be given."""
    return ConvNet(3, 8, "instance", 3, 16, 5).eval().requires_grad_(False)


def checkpoint(number: int, dtype: torch.dtype) -> dict[str, Tensor]:
    """Weights of a checkpoint by our names; the released network is one sequence of layers."""
    found = {}
    for name, value in weights_of(golden("igd"), f"weights.checkpoint{number}.").items():
        layer, kind = name.rpartition(".")[::2]
        found[f"{our_name(layer)}.{kind}"] = value.to(dtype)
    return {name: found[name] for name, _ in surrogate().named_parameters()}


def our_name(layer: str) -> str:
    """Name of a released layer: convolution, norm, ReLU and pooling in turn, then the classifier."""
    if layer == "classifier":
        return layer
    block, place = divmod(int(layer.removeprefix("features.")), 4)
    return f"layers.{('conv', 'norm')[place]}.{block}"


def our_order(gradient: Tensor) -> Tensor:
    """A released gradient [parameters] in the order of our network's parameters."""
    weights, pieces, start = weights_of(golden("igd"), "weights.checkpoint0."), {}, 0
    layers = [f"features.{4 * block + place}" for block in range(3) for place in range(2)]
    for name in (f"{layer}.{kind}" for layer in [*layers, "classifier"] for kind in ("weight", "bias")):
        layer, kind = name.rpartition(".")[::2]
        pieces[f"{our_name(layer)}.{kind}"] = gradient[start : start + weights[name].numel()]
        start += weights[name].numel()
    return torch.cat([pieces[name] for name, _ in surrogate().named_parameters()])

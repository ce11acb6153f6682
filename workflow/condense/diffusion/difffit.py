"""DiffFit (Xie et al. 2023), as Minimax diffusion released it: a few parameters of a transformer are trained.

They are every bias, the table of classes and scale factors, which the first blocks get: of the products of
attention and of the gates. Factors can be merged into the weights that they scale.
"""

from collections.abc import Collection, Mapping

import torch
from torch import Tensor, nn

from condense.diffusion.transformer import Transformer

BLOCKS = 14  # RELEASE: the first so many blocks get factors, whatever the depth
TRAINED = ("bias", "norm", "gamma", "y_embed")  # in the names of what is trained


def is_trained(name: str) -> bool:
    """Whether DiffFit trains the parameter of a name."""
    return any(word in name for word in TRAINED)


def add_factors(network: Transformer) -> None:
    """Give the first blocks factors of 1, which change nothing, where they have none."""
    for block in network.blocks[:BLOCKS]:
        if block.gamma1 is None:
            ones = block.attn.proj.weight.new_ones(block.attn.proj.in_features)
            block.gamma1, block.gamma2 = nn.Parameter(ones), nn.Parameter(ones.clone())
            block.attn.gamma1 = nn.Parameter(ones.repeat(3))
            block.attn.gamma2 = nn.Parameter(ones.clone())


def scaled_blocks(names: Collection[str]) -> int:
    """Number of leading blocks with scale factors, from the names of a network's weights."""
    return sum(name.startswith("blocks.") and name.endswith(".attn.gamma1") for name in names)


def merge_factors(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights by name without scale factors, which go into the rows that they scale: the same network."""
    merged = {name: value for name, value in weights.items() if not name.endswith((".gamma1", ".gamma2"))}
    for block in range(scaled_blocks(weights)):
        prefix = f"blocks.{block}"
        width = len(weights[f"{prefix}.gamma1"])
        gates = torch.ones(6, width).to(weights[f"{prefix}.gamma1"])
        gates[2], gates[5] = weights[f"{prefix}.gamma1"], weights[f"{prefix}.gamma2"]
        factors = {
            "attn.qkv": weights[f"{prefix}.attn.gamma1"],
            "attn.proj": weights[f"{prefix}.attn.gamma2"],
            "adaLN_modulation.1": gates.flatten(),
        }
        for layer, factor in factors.items():
            name = f"{prefix}.{layer}"
            merged[f"{name}.weight"] = merged[f"{name}.weight"] * factor[:, None]
            merged[f"{name}.bias"] = merged[f"{name}.bias"] * factor
    return merged

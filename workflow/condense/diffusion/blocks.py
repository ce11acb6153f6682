"""Parts of the transformer after its embedders (Peebles and Xie 2023, fig. 3).

A block may have DiffFit's scale factors (Xie et al. 2023; released with Minimax diffusion, Gu et al. 2024),
which start at 1; without them it has neither their parameters nor their products.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from condense.base.linear import Linear


class Block(nn.Module):
    """Attention and perceptron, each normalised, modulated and gated by the condition (adaLN-zero)."""

    def __init__(self, width: int, heads: int, scaled: bool = False) -> None:
        super().__init__()
        self.gamma1, self.gamma2 = _factors(width, scaled), _factors(width, scaled)  # of the gates
        self.attn = Attention(width, heads, scaled)
        self.mlp = FeedForward(width)
        self.adaLN_modulation = _modulation(width, 6)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """Tokens [b, n, width], activated condition [b, width] -> tokens."""
        shift, scale, gate, shift2, scale2, gate2 = _chunks(self.adaLN_modulation, condition, x, 6)
        x = torch.addcmul(x, _scaled(gate, self.gamma1), self.attn(_modulate(x, shift, scale)))
        return torch.addcmul(x, _scaled(gate2, self.gamma2), self.mlp(_modulate(x, shift2, scale2)))


class Attention(nn.Module):
    """Multi-head self-attention."""

    def __init__(self, width: int, heads: int, scaled: bool = False) -> None:
        super().__init__()
        self.heads = heads
        self.gamma1, self.gamma2 = _factors(3 * width, scaled), _factors(width, scaled)  # of both products
        self.qkv = Linear(width, 3 * width)
        self.proj = Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """[b, n, width] -> [b, n, width]; query, key and value stay views of one product."""
        product = _scaled(self.qkv(x), self.gamma1)
        query, key, value = product.unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind()
        attended = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
        return _scaled(self.proj(attended), self.gamma2)


class FeedForward(nn.Module):
    """Perceptron of each token with four times the width inside."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = Linear(width, 4 * width)
        self.fc2 = Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """[b, n, width] -> [b, n, width]."""
        return self.fc2(F.gelu(self.fc1(x), approximate="tanh"))


class FinalLayer(nn.Module):
    """Modulated normalisation and linear map to the pixels of a patch."""

    def __init__(self, width: int, outputs: int) -> None:
        super().__init__()
        self.linear = Linear(width, outputs)
        self.adaLN_modulation = _modulation(width, 2)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """Tokens [b, n, width], activated condition [b, width] -> [b, n, outputs]."""
        return self.linear(_modulate(x, *_chunks(self.adaLN_modulation, condition, x, 2)))


def _modulation(width: int, parts: int) -> nn.Sequential:
    """Linear map of the condition, which `Transformer` has activated once for all blocks."""
    return nn.Sequential(nn.Identity(), Linear(width, parts * width))


def _chunks(modulation: nn.Module, condition: Tensor, x: Tensor, parts: int) -> tuple[Tensor, ...]:
    """Modulations [b, 1, width] of a condition, in the type of the tokens `x`, which may be the wider."""
    return modulation(condition).to(x.dtype)[:, None].chunk(parts, 2)


def _modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    return torch.addcmul(shift, F.layer_norm(x, x.shape[-1:], eps=1e-6), 1 + scale)


def _factors(width: int, present: bool) -> nn.Parameter | None:
    """Scale factors [width], or none."""
    return nn.Parameter(torch.ones(width)) if present else None


def _scaled(values: Tensor, factors: Tensor | None) -> Tensor:
    """Values [..., width], times factors [width] where there are any."""
    return values if factors is None else values * factors.to(values.dtype)

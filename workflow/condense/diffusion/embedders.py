"""What the transformer reads: patches, positions, times, classes and captions, each as vectors."""

import math
from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from condense.base.linear import Linear


class Captions(NamedTuple):
    """Caption conditioning (GADC sec. 4.1): states of a text encoder, [tokens, width] for each image."""

    tokens: int = 16
    width: int = 2048


class PatchEmbedder(nn.Module):
    """Linear map of non-overlapping patches; the weight has the shape of the equivalent convolution."""

    def __init__(self, channels: int, patch: int, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(channels, width, patch, patch)

    def forward(self, x: Tensor) -> Tensor:
        """[b, c, h, w] -> [b, n, width]; a matrix product is faster than the strided convolution."""
        patch = self.proj.stride[0]
        batch, channels, height, width = x.shape
        pixels = x.reshape(batch, channels, height // patch, patch, width // patch, patch).permute(
            0, 2, 4, 1, 3, 5
        )
        return F.linear(
            pixels.reshape(batch, -1, channels * patch * patch), self.proj.weight.flatten(1), self.proj.bias
        )


class TimeEmbedder(nn.Module):
    """Sinusoids of the time and a two-layer perceptron."""

    SINUSOIDS = 256

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mlp = perceptron(self.SINUSOIDS, width, width)

    def forward(self, t: Tensor) -> Tensor:
        """[b] -> [b, width]."""
        half = self.SINUSOIDS // 2
        rates = torch.exp(
            torch.arange(half, dtype=torch.float32, device=t.device) * (-math.log(10000) / half)
        )
        angles = t.float()[:, None] * rates
        return self.mlp(torch.cat([angles.cos(), angles.sin()], 1).to(self.mlp[0].weight.dtype))


class ClassEmbedder(nn.Module):
    """Vector of the class, plus that of its caption where there are captions (GADC sec. 4.1)."""

    def __init__(self, classes: int, width: int, captions: Captions | None) -> None:
        super().__init__()
        self.embedding_table = nn.Embedding(classes + 1, width)
        self.captioned = captions is not None
        if captions:
            self.conv = nn.Conv1d(captions.width, width, captions.tokens, captions.tokens)
            # of the null caption only the bias is left, as small as this epsilon: it decides the prediction
            normalise = nn.LayerNorm(width, eps=1e-6, elementwise_affine=False)
            self.mlp = nn.Sequential(normalise, *perceptron(width, width, width))

    def forward(self, labels: Tensor, text: Tensor | None) -> Tensor:
        """Labels [b], masked caption states [b, tokens, width] or None -> [b, width]."""
        if not self.captioned:
            return self.embedding_table(labels)
        # the convolution spans all tokens: one matrix product
        pooled = F.linear(text.transpose(1, 2).flatten(1), self.conv.weight.flatten(1), self.conv.bias)
        return self.mlp(pooled) + pooled + self.embedding_table(labels)


def position_embedding(side: int, width: int) -> Tensor:
    """Sinusoids of column, then of row, of a square grid: [side * side, width] (Peebles and Xie 2023)."""
    rates = 10000 ** (-torch.arange(width // 4, dtype=torch.float64) / (width // 4))
    angles = torch.arange(side, dtype=torch.float64)[:, None] * rates
    axis = torch.cat([angles.sin(), angles.cos()], 1)
    return torch.cat([axis.repeat(side, 1), axis.repeat_interleave(side, 0)], 1).float()


def perceptron(*widths: int) -> nn.Sequential:
    """Linear maps between consecutive widths with SiLU between them."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        layers += [Linear(inputs, outputs), nn.SiLU()]
    return nn.Sequential(*layers[:-1])

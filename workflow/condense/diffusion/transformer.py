"""The transformer of DiT and SiT (Peebles and Xie 2023; Ma et al. 2024), with the official parameter names.

A label equal to the number of classes is the null class of classifier-free guidance; the caller drops labels.
"""

from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

from condense.base.errors import InputError
from condense.config.settings import SIZES as PUBLISHED
from condense.config.settings import Network
from condense.diffusion.blocks import Block, FinalLayer
from condense.diffusion.embedders import (
    Captions,
    ClassEmbedder,
    PatchEmbedder,
    TimeEmbedder,
    perceptron,
    position_embedding,
)


class Size(NamedTuple):
    """Number of blocks, channels of a token, attention heads."""

    depth: int
    width: int
    heads: int


# PAPER: Peebles and Xie 2023, table 1
SIZES = {name: Size(*size) for name, size in PUBLISHED.items()}


class Alignment(NamedTuple):
    """Feature alignment (Yu et al. 2025): tokens after `block` blocks projected to features [width]."""

    block: int = 8
    hidden: int = 2048
    width: int = 768


def build(
    network: Network,
    shape: tuple[int, int, int],
    classes: int,
    learn_sigma: bool,
    captions: Captions | None = None,
    alignment: Alignment | None = None,
    scaled_blocks: int = 0,
) -> "Transformer":
    """Network of the settings for latents of `shape` (channels, height, width).

    The first `scaled_blocks` blocks have DiffFit's scale factors (see `diffusion.difffit`).
    """
    given = Size(network.depth, network.width, network.heads)
    if given.count(None) != (3 if network.size in SIZES else 0):
        raise InputError(
            f"network.size is {network.size}, depth, width and heads are {tuple(given)}; "
            f"give one of the sizes {', '.join(SIZES)}, or depth, width and heads."
        )
    if shape[1] != shape[2]:
        raise InputError(f"latents of {shape[1]} x {shape[2]} are not square; crop the images to squares.")
    return Transformer(
        resolution=shape[1],
        channels=shape[0],
        classes=classes,
        size=SIZES.get(network.size, given),
        patch=network.patch,
        learn_sigma=learn_sigma,
        captions=captions,
        alignment=alignment,
        scaled_blocks=scaled_blocks,
    )


class Transformer(nn.Module):
    """Predicts noise (and its range of variances) or velocity of latents, given time and class."""

    def __init__(
        self,
        *,
        resolution: int,
        channels: int,
        classes: int,
        size: Size,
        patch: int = 2,
        learn_sigma: bool = False,
        captions: Captions | None = None,
        alignment: Alignment | None = None,
        scaled_blocks: int = 0,
    ) -> None:
        super().__init__()
        depth, width, heads = size
        _check(resolution, patch, Size(*size), alignment)
        self.resolution, self.channels, self.classes, self.patch = resolution, channels, classes, patch
        self.outputs = channels * (2 if learn_sigma else 1)
        self.tap = alignment.block if alignment else 0
        self.x_embedder = PatchEmbedder(channels, patch, width)
        self.t_embedder = TimeEmbedder(width)
        self.y_embedder = ClassEmbedder(classes, width, captions)
        self.register_buffer("pos_embed", position_embedding(resolution // patch, width)[None])
        self.blocks = nn.ModuleList(Block(width, heads, i < scaled_blocks) for i in range(depth))
        self.final_layer = FinalLayer(width, patch * patch * self.outputs)
        if alignment:
            widths = (width, alignment.hidden, alignment.hidden, alignment.width)
            self.projectors = nn.ModuleList([perceptron(*widths)])
        _initialise(self)

    def forward(
        self, x: Tensor, t: Tensor, y: Tensor, text: Tensor | None = None, project: bool = False
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Predict from noisy latents.

        Args:
            x: Noisy latents [b, c, h, w].
            t: Times [b]: 0..999 for ADM diffusion, 0 (data) to 1 (noise) for flow matching.
            y: Labels [b]; `classes` is the null class.
            text: Masked caption states [b, tokens, width], zero for none; only where built with captions.
            project: Return also the projected tokens [b, h/patch * w/patch, features] of the alignment.

        Returns:
            Prediction [b, c or 2c, h, w] in the type of `x`, alone or with the projected tokens.
        """
        tokens = self.x_embedder(x) + self.pos_embed
        condition = F.silu(self.t_embedder(t) + self.y_embedder(y, text))
        projected = None
        for count, block in enumerate(self.blocks, 1):
            tokens = block(tokens, condition)
            if project and count == self.tap:
                projected = self.projectors[0](tokens)
        prediction = self._assemble(self.final_layer(tokens, condition)).to(x.dtype)
        return (prediction, projected) if project else prediction

    def _assemble(self, tokens: Tensor) -> Tensor:
        """Patches [b, n, patch * patch * outputs] -> image [b, outputs, h, w]."""
        grid, patch = self.resolution // self.patch, self.patch
        pixels = tokens.view(-1, grid, grid, patch, patch, self.outputs).permute(0, 5, 1, 3, 2, 4)
        return pixels.reshape(-1, self.outputs, self.resolution, self.resolution)


def _initialise(network: Transformer) -> None:
    """Official initialisation: every block starts as the identity and the prediction as zero."""
    for module in network.modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            nn.init.zeros_(module.bias)
    embedder, times, classes = network.x_embedder.proj, network.t_embedder.mlp, network.y_embedder
    nn.init.xavier_uniform_(embedder.weight.flatten(1))
    nn.init.zeros_(embedder.bias)
    nn.init.normal_(times[0].weight, std=0.02)
    nn.init.normal_(times[2].weight, std=0.02)
    if classes.captioned:
        # RELEASE: with captions the class vectors and the convolution's bias stay as PyTorch draws them
        nn.init.normal_(classes.conv.weight, std=0.02)
    else:
        nn.init.normal_(classes.embedding_table.weight, std=0.02)
    zeroed = [block.adaLN_modulation[1] for block in network.blocks]
    for linear in (*zeroed, network.final_layer.adaLN_modulation[1], network.final_layer.linear):
        nn.init.zeros_(linear.weight)
        nn.init.zeros_(linear.bias)


def _check(resolution: int, patch: int, size: Size, alignment: Alignment | None) -> None:
    """Refuse sizes that do not fit together."""
    if resolution % patch:
        raise InputError(
            f"network.patch {patch} does not divide the latent's side {resolution}; choose a divisor."
        )
    if size.width % size.heads or size.width % 4:
        raise InputError(f"network.width {size.width} must be a multiple of 4 and of its {size.heads} heads.")
    if alignment and not 0 < alignment.block <= size.depth:
        raise InputError(
            f"alignment after block {alignment.block} is impossible with {size.depth} blocks; choose one."
        )

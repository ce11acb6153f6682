"""The ConvNet of Zhao, Mopuri and Bilen 2021: trained a student, and untrained an encoder.

Untrained it is what matching distributions (Zhao and Bilen 2023) sees images with: the architecture alone
tells them apart well enough, and was shown no label. Parameters have the names of released checkpoints.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from condense.base.errors import InputError
from condense.config.encoders import Encoder
from condense.config.students import WIDTHS
from condense.encoders.pretrained import Imported
from condense.images.preprocess import Preprocess

EPSILON = 1e-5


def normalisation(kind: str, channels: int) -> nn.Module:
    """Layer over `channels`; instance norm is group norm with a group per channel, scaled and shifted."""
    if kind == "instance":
        return nn.GroupNorm(channels, channels, eps=EPSILON)
    return nn.BatchNorm2d(channels, eps=EPSILON) if kind == "batch" else nn.Identity()


class ConvNet(nn.Module):
    """`depth` blocks of 3x3 convolution, normalisation, ReLU and 2x2 average pooling, then a linear layer."""

    def __init__(self, depth: int, width: int, norm: str, channels: int, side: int, classes: int) -> None:
        super().__init__()
        if side >> depth == 0:
            raise InputError(f"a ConvNet of depth {depth} halves {side} pixels to none: lower `depth`.")
        convolutions, norms = nn.ModuleList(), nn.ModuleList()
        entering = channels
        for block in range(depth):
            # RELEASE: one channel stands for MNIST, whose 28 pixels the first padding brings to 32
            padding = 3 if channels == 1 and block == 0 else 1
            convolutions.append(nn.Conv2d(entering, width, 3, padding=padding))
            norms.append(normalisation(norm, width))
            side = (side + 2 * padding - 2) // 2
            entering = width
        self.layers = nn.ModuleDict({"conv": convolutions, "norm": norms})
        self.classifier = nn.Linear(width * side**2, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits [b, classes] of images [b, channels, side, side]."""
        return self.classifier(self.features(x)[-1].flatten(1))

    def features(self, x: Tensor) -> list[Tensor]:
        """Pooled activations [b, width, h, w] after each block."""
        found = []
        for convolution, norm in zip(self.layers["conv"], self.layers["norm"], strict=True):
            x = F.avg_pool2d(F.relu(norm(convolution(x)), inplace=True), 2)
            found.append(x)
        return found


class UntrainedNetwork(ConvNet):
    """A ConvNet without its last layer: images [b, 3, side, side] to flat feature maps [b, d]."""

    def __init__(self, side: int, depth: int) -> None:
        super().__init__(depth, WIDTHS["convnet"], "instance", 3, side, 1)
        self.classifier = nn.Identity()

    def forward_features(self, x: Tensor) -> Tensor:
        """Feature map [b, c, h, w] of images [b, 3, side, side]."""
        return self.features(x)[-1]


def draw(settings: Encoder) -> Imported:
    """An untrained network; the same for the same seed, and that which a student of this seed begins with."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        network = UntrainedNetwork(settings.side, settings.depth)
    preprocess = Preprocess(side=settings.side, resize=settings.side)
    return Imported(network.eval(), None, None, preprocess, "convnet", {"depth": settings.depth})

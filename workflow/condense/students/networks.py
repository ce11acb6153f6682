"""Networks of students: those of the condensation papers, and any of torchvision or timm.

ResNet-AP and the ResNets by input side are those of Kim et al. 2022, with which Minimax, IGD and DsCo
evaluate. Parameters have the names of their released checkpoints.
Every network maps images [b, c, s, s] to logits [b, classes].
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from condense.base.errors import InputError
from condense.config.students import WIDTHS, StudentNetwork, check_side
from condense.encoders.convnet import ConvNet, normalisation
from condense.encoders.pretrained import read_weights

BLOCKS = {10: (1, 1, 1, 1), 18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}  # basic blocks of each stage, by depth


class BasicBlock(nn.Module):
    """Basic residual block; where it halves, by strides or (`average`) by pooling after the first ReLU."""

    def __init__(self, entering: int, width: int, halve: bool, norm: str, average: bool) -> None:
        super().__init__()
        stride = 2 if halve and not average else 1
        pools = halve and average
        self.conv1 = nn.Conv2d(entering, width, 3, stride, padding=1, bias=False)
        self.bn1 = normalisation(norm, width)
        self.pool = nn.AvgPool2d(2) if pools else nn.Identity()
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = normalisation(norm, width)
        self.downsample = None
        if halve or entering != width:
            shortcut = [nn.Conv2d(entering, width, 1, stride, bias=False)]
            shortcut += [nn.AvgPool2d(2) if pools else nn.Identity()] * average
            self.downsample = nn.Sequential(*shortcut, normalisation(norm, width))

    def forward(self, x: Tensor) -> Tensor:
        """Activations [b, width, h, w] of x [b, entering, h, w], or of half the side."""
        residual = x if self.downsample is None else self.downsample(x)
        y = self.pool(F.relu(self.bn1(self.conv1(x)), inplace=True))
        return F.relu(self.bn2(self.conv2(y)) + residual, inplace=True)


class ResNet(nn.Module):
    """Residual network of basic blocks whose stem goes by the input side; `average` makes it ResNet-AP."""

    def __init__(
        self,
        blocks: tuple[int, ...],
        width: int,
        norm: str,
        channels: int,
        side: int,
        classes: int,
        average: bool,
    ) -> None:
        super().__init__()
        large = side > 128
        # RELEASE: of a large image ResNet-AP's stem pools all that a ResNet's strides and pools
        stride = 2 if large and not average else 1
        size = 7 if large else 3
        stem = nn.ModuleDict(
            {"conv1": nn.Conv2d(channels, width, size, stride, padding=size // 2, bias=False)}
        )
        stem["bn1"] = normalisation(norm, width)
        self.layer0 = stem
        self.pool: nn.Module = nn.Identity()
        if side > 64:
            self.pool = nn.AvgPool2d(4 if large else 2) if average else nn.MaxPool2d(3, 2, padding=1)
        entering = width
        for stage, count in enumerate(blocks):
            wide = width * 2**stage
            members = [BasicBlock(entering, wide, stage > 0, norm, average)]
            members += [BasicBlock(wide, wide, False, norm, average) for _ in range(count - 1)]
            self.add_module(f"layer{stage + 1}", nn.Sequential(*members))
            entering = wide
        self.stages = len(blocks)
        self.fc = nn.Linear(entering, classes)
        for part in self.modules():
            if isinstance(part, nn.Conv2d):  # He et al. 2015, by the fan-out
                fan_out = part.kernel_size[0] * part.kernel_size[1] * part.out_channels
                nn.init.normal_(part.weight, 0.0, math.sqrt(2 / fan_out))

    def forward(self, x: Tensor) -> Tensor:
        """Logits [b, classes] of images [b, channels, side, side]."""
        return self.fc(self.features(x)[-1].mean((2, 3)))

    def features(self, x: Tensor) -> list[Tensor]:
        """Activations [b, c, h, w] of the stem and of each stage."""
        x = F.relu(self.layer0["bn1"](self.layer0["conv1"](x)), inplace=True)
        found = [self.pool(x)]
        for stage in range(1, self.stages + 1):
            found.append(self.get_submodule(f"layer{stage}")(found[-1]))
        return found


def build(chosen: StudentNetwork, side: int, classes: int, channels: int = 3) -> nn.Module:
    """Network of `classes` outputs for images of `side` pixels, freshly initialised by torch's own stream.

    Raises InputError for a model that its library does not know and for an input that is too small.
    """
    width = chosen.width or WIDTHS.get(chosen.architecture)
    if chosen.architecture == "convnet":
        return ConvNet(chosen.depth, width, chosen.norm, channels, side, classes)
    if chosen.architecture in ("resnet", "resnet-ap"):
        try:
            check_side(chosen, side)
        except ValueError as error:
            raise InputError(f"{error}.") from None
        average = chosen.architecture == "resnet-ap"
        return ResNet(BLOCKS[chosen.depth], width, chosen.norm, channels, side, classes, average)
    make = {"torchvision": _torchvision, "timm": _timm}[chosen.architecture]
    try:
        return make(chosen.model, classes, chosen.options or {})
    except TypeError as error:
        raise InputError(
            f"{chosen.architecture}'s {chosen.model} does not take these options ({error})."
        ) from None


def load_start(network: nn.Module, chosen: StudentNetwork) -> None:
    """Fill a network with the weights file that its settings name, but for a head of other classes."""
    if chosen.weights is None:
        return
    ours = network.state_dict()
    theirs = read_weights(chosen.weights, chosen.model)
    other = {name for name in ours.keys() & theirs.keys() if ours[name].shape != theirs[name].shape}
    head = {name.rpartition(".")[0] for name in other}
    if missing := ours.keys() - theirs.keys():
        raise InputError(f"{chosen.weights} holds no {min(missing)} of {chosen.model}: correct `weights`.")
    if len(head) > 1:
        raise InputError(f"{chosen.weights} does not fit {chosen.model} beyond its head: correct `weights`.")
    network.load_state_dict({name: ours[name] if name in other else theirs[name] for name in ours})


def initialised(chosen: StudentNetwork, side: int, classes: int, seed: int, channels: int = 3) -> nn.Module:
    """The network at the start of a training; the same for the same seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = build(chosen, side, classes, channels)
    load_start(network, chosen)
    return network


def layout(device: torch.device | str) -> torch.memory_format:
    """Order in memory of images and weights: on a CPU group norm takes thrice as long with channels last."""
    return torch.channels_last if torch.device(device).type == "cuda" else torch.contiguous_format


def _torchvision(model: str, classes: int, options: dict) -> nn.Module:
    from torchvision import models

    if model not in models.list_models(module=models):
        raise InputError(f"torchvision knows no classifier {model!r}: see torchvision.models.list_models().")
    if model in ("inception_v3", "googlenet"):
        options = {"aux_logits": False, "init_weights": True} | options
    return models.get_model(model, weights=None, num_classes=classes, **options)


def _timm(model: str, classes: int, options: dict) -> nn.Module:
    import timm

    if not timm.is_model(model):
        raise InputError(f"timm knows no model {model!r}: see timm.list_models() for the names.")
    return timm.create_model(model, pretrained=False, num_classes=classes, **options)

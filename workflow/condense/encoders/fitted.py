"""A small convolutional network fitted on the study's own images, for data that no hub knows."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from condense.base.batches import split_for_norm
from condense.base.errors import InputError
from condense.base.progress import say
from condense.config.encoders import Encoder
from condense.images.preprocess import Preprocess

FEATURES = 64
HELD_OUT = 5  # one image in this many judges the network, in a training of its own
BATCH = 128
LEARNING_RATE = 3e-3
WHOLE = 2048  # images per forward pass without gradients


class FittedNetwork(nn.Module):
    """Convolutions that halve the image to 2x2, then `FEATURES` standardised features."""

    def __init__(self, side: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels, width = 3, 32
        while side > 3:
            layers += [nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)]
            layers += [nn.ReLU(inplace=True), nn.MaxPool2d(2)]
            channels, width = width, 64
            side //= 2
        self.convolutions = nn.Sequential(*layers)
        self.project = nn.Linear(channels * side**2, FEATURES, bias=False)
        self.standardise = nn.BatchNorm1d(FEATURES, affine=False)

    def forward(self, x: Tensor) -> Tensor:
        """Features [b, FEATURES] of images [b, 3, side, side]."""
        return self.standardise(self.project(self.forward_features(x).flatten(1)))

    def forward_features(self, x: Tensor) -> Tensor:
        """Feature map [b, c, h, w] of images [b, 3, side, side]."""
        return self.convolutions(x)


def fit(images: np.ndarray, labels: np.ndarray, settings: Encoder) -> tuple[FittedNetwork, nn.Linear]:
    """Network and head fitted on uint8 images [n, side, side, 3] with labels [n]; the same for the same seed.

    Features have zero mean and unit standard deviation over the images. Prints the accuracy on them, and on
    held-out images of a second training that did not see those.
    """
    pixels = Preprocess(side=settings.side, resize=settings.side).normalise(torch.from_numpy(images))
    targets = torch.from_numpy(labels.astype(np.int64))
    if len(targets) < 3:
        raise InputError(f"An encoder cannot be fitted on {len(targets)} images: give three at least.")
    judged = torch.arange(len(targets)) % HELD_OUT == 0
    seen = _train(pixels[~judged], targets[~judged], settings, int(targets.max()) + 1)
    network, head = _train(pixels, targets, settings, int(targets.max()) + 1)
    held_out = _accuracy(seen, pixels[judged], targets[judged])
    own = _accuracy((network, head), pixels, targets)
    say(f"fitted encoder: accuracy {own:.4f} on its {len(targets)} images, {held_out:.4f} on held-out ones")
    return network, head


def _train(
    pixels: Tensor, targets: Tensor, settings: Encoder, classes: int
) -> tuple[FittedNetwork, nn.Linear]:
    """Minimise the cross-entropy with AdamW under one cycle of the learning rate."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        network, head = FittedNetwork(settings.side), nn.Linear(FEATURES, classes)
        order = [torch.randperm(len(targets)) for _ in range(settings.epochs)]
    parameters = [*network.parameters(), *head.parameters()]
    optimiser = torch.optim.AdamW(parameters, weight_decay=0.05, fused=True)
    steps = settings.epochs * len(split_for_norm(order[0], BATCH))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, total_steps=steps)
    for epoch in order:
        for batch in split_for_norm(epoch, BATCH):
            loss = F.cross_entropy(head(network(pixels[batch])), targets[batch])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    _settle(network, pixels)
    return network.eval(), head.eval()


@torch.no_grad()
def _settle(network: FittedNetwork, pixels: Tensor) -> None:
    """Set the statistics of every normalisation to those of all images instead of a running average."""
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            layer.reset_running_stats()
            layer.momentum = None  # cumulative average
    order = torch.randperm(len(pixels), generator=torch.Generator().manual_seed(0))
    for batch in split_for_norm(order, WHOLE):
        network(pixels[batch])


@torch.no_grad()
def _accuracy(fitted: tuple[FittedNetwork, nn.Linear], pixels: Tensor, targets: Tensor) -> float:
    """Share of images whose most probable class is their own."""
    network, head = fitted
    guesses = torch.cat([head(network(part)).argmax(1) for part in pixels.split(WHOLE)])
    return float((guesses == targets).double().mean())

"""Stage difficulty: the margin of each image, accumulated over the training of a small classifier."""

from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import torch.nn.functional as F
import typer
from torch import Tensor, nn

from condense.base.errors import InputError
from condense.base.progress import say, track
from condense.base.seeds import stream
from condense.base.shards import open_shard, read_text, write_shard

HIDDEN, EPOCHS, BATCH, RATE = 512, 20, 256, 0.02


def margins(
    embeddings: Annotated[list[Path], typer.Argument(help="All embeddings shards of the encoder.")],
    output: Annotated[Path, typer.Option(help="Margin of each image (HDF5).")],
    seed: Annotated[int, typer.Option(help="Seed of the network and of the order of images.")] = 0,
) -> None:
    """Train a small classifier on cached features and record each image's accumulated margin."""
    found: list[tuple[str, int, np.ndarray, list[str]]] = []
    for path in embeddings:
        with open_shard(path) as file:
            found += [
                (name, int(group.attrs["class_index"]), group["features"][()], read_text(group["paths"]))
                for name, group in file.items()
            ]
    found.sort(key=lambda group: group[1])
    if len(found) < 2:
        raise InputError("a margin is that between classes; give embeddings of two or more.")
    sizes = [len(paths) for *_, paths in found]
    labels = torch.repeat_interleave(torch.arange(len(found)), torch.tensor(sizes))
    area = accumulate_margins(torch.from_numpy(np.concatenate([group[2] for group in found])), labels, seed)
    groups = [
        (name, index, {"score": part.numpy(), "paths": paths})
        for (name, index, _, paths), part in zip(found, area.split(sizes), strict=True)
    ]
    write_shard(output, {"epochs": str(EPOCHS)}, groups)
    say(f"{len(labels)} images -> {output}")


def accumulate_margins(features: Tensor, labels: Tensor, seed: int, epochs: int = EPOCHS) -> Tensor:
    """Accumulated margin [n]: p(own class) - p(strongest other class), averaged over a training's epochs.

    Low is hard. `features` are [n, d] of all classes, `labels` [n]. Source: Zheng et al. 2023 (CCS).
    # RELEASE: margins of probabilities; the area under the margin (Pleiss et al. 2020, eq. 2) is of logits
    # ASSUME: the network is a perceptron on an encoder's features, where the paper trains one on pixels
    """
    network = _perceptron(features.shape[1], int(labels.max()) + 1, seed)
    mean, std = features.mean(0), features.std(0)
    std = torch.where(std > 0, std, 1)
    optimiser = torch.optim.SGD(network.parameters(), RATE, momentum=0.9, weight_decay=5e-4, nesterov=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, epochs)
    total = torch.zeros(len(features))
    for epoch in track(range(epochs), "margins"):
        for chosen in torch.randperm(len(features), generator=stream("margins", seed, epoch)).split(BATCH):
            logits, own = network((features[chosen] - mean) / std), labels[chosen]
            total[chosen] += margin(logits.detach().softmax(1), own)
            F.cross_entropy(logits, own).backward()
            optimiser.step()
            optimiser.zero_grad()
        schedule.step()
    return total / epochs


def margin(values: Tensor, labels: Tensor) -> Tensor:
    """Value of the own class minus the largest of another [n], of values [n, k]."""
    own = values.gather(1, labels[:, None])
    return (own - values.scatter(1, labels[:, None], -torch.inf).amax(1, keepdim=True))[:, 0]


def _perceptron(width: int, classes: int, seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(width, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, classes))

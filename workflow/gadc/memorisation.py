"""Do generated images lie nearer to the images a generator was trained on than to images it never saw?"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gadc.errors import InputError
from gadc.neighbours import Points, as_features, full_precision, nearest, tiles


@dataclass(frozen=True)
class Copying:
    """How much nearer generated images are to training images than to held-out ones.

    rate: chance, over generated images and over draws of as many held-out images of the class as it has
        training images, that the nearest training image is the nearer; 1/2 without copying, 1 at worst.
        Not a number where no class has as many held-out as training images.
    judged: generated images that the rate is about.
    nearest: index [n] of each generated image's nearest training image of its class.
    distances: distance [n] to it, in the units of the features.
    """

    rate: float
    judged: int
    nearest: Tensor
    distances: Tensor

    def closest(self, count: int) -> Tensor:
        """Indices of the `count` generated images that are nearest to a training image, nearest first."""
        return self.distances.sort(stable=True).indices[:count]


def measure_copying(samples: Any, labels: Any, real: Any, real_labels: Any, trained_on: Any) -> Copying:
    """Compare features of generated images [n, d] with real ones [m, d], class by class.

    `labels` [n] and `real_labels` [m] are class indices, `trained_on` [m] tells training images from
    held-out ones. The rate is Platzer and Reutterer's (2021) share of synthetic records closer to training
    than to hold-out data: whatever the class and the detector, an image of the class that is no copy is as
    likely to be nearer to either of two samples of equal size; ties count half. Held-out images are not
    drawn: the chance over all draws is summed exactly.
    """
    samples, real = as_features(samples), as_features(real)
    labels, real_labels = _labels(labels, samples), _labels(real_labels, real)
    trained_on = torch.as_tensor(trained_on, dtype=torch.bool, device=real.device)
    closest = torch.zeros(len(samples), dtype=torch.int64, device=samples.device)
    distances, chances = torch.zeros(2, len(samples), dtype=torch.float64, device=samples.device)
    for label in labels.unique().tolist():
        mine, theirs = (labels == label).nonzero()[:, 0], real_labels == label
        training, held_out = (theirs & trained_on).nonzero()[:, 0], (theirs & ~trained_on).nonzero()[:, 0]
        if not len(training):
            raise InputError(f"no training image has class index {label}, which generated images have.")
        squared, index, chance = _compare(samples[mine], real[training], real[held_out])
        closest[mine], distances[mine], chances[mine] = training[index], squared.sqrt(), chance
    judged = ~chances.isnan()
    rate = chances[judged].mean().item() if judged.any() else float("nan")
    return Copying(rate, int(judged.count_nonzero()), closest, distances)


def _compare(samples: Tensor, training: Tensor, held_out: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Squared distance [n] to the nearest of `training`, its index, and the chance that it is nearer."""
    centre = training.mean(0)
    generated, unseen = Points.of(samples, centre), Points.of(held_out, centre)
    with full_precision():
        squared, index = (found[:, 0] for found in nearest(generated, Points.of(training, centre), 1))
        nearer, as_near = torch.zeros(2, len(samples), dtype=torch.float64, device=samples.device)
        for tile in tiles(generated, unseen):
            limit = squared[tile.rows, None]
            nearer[tile.rows] += tile.within(limit, rim=False).sum(1)
            as_near[tile.rows] += tile.within(limit).sum(1)
    sizes = len(held_out), len(training)
    return squared, index, (_all_missed(nearer, *sizes) + _all_missed(as_near, *sizes)) / 2


def _all_missed(nearer: Tensor, available: int, drawn: int) -> Tensor:
    """Chance that a draw of `drawn` out of `available` images contains none of the `nearer` [n] ones."""
    total = torch.tensor(float(available), dtype=torch.float64)
    if available < drawn:
        return torch.full_like(nearer, torch.nan)
    others = total - nearer
    chance = _log_choices(others.clamp_min(drawn), drawn) - _log_choices(total, drawn)
    return torch.where(others < drawn, 0.0, chance.exp())


def _log_choices(total: Tensor, drawn: int) -> Tensor:
    """Logarithm of the number of draws of `drawn` out of `total`, up to a constant of `drawn`."""
    return (total + 1).lgamma() - (total - drawn + 1).lgamma()


def _labels(labels: Any, features: Tensor) -> Tensor:
    labels = torch.as_tensor(labels, device=features.device)
    if labels.shape != features.shape[:1]:
        raise InputError(f"{len(features)} images have labels of shape {tuple(labels.shape)}.")
    return labels

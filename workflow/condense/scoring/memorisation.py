"""Do generated images lie nearer to the images a generator was trained on than to images it never saw?"""

from itertools import pairwise
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from condense.base.arithmetic import square_root
from condense.base.errors import InputError
from condense.base.precision import full_precision
from condense.scoring.neighbours import Points, as_features, nearest, tiles

PAIRS = 24  # closest pairs that are listed


class Copies:
    """How much nearer generated images are to training images than to held-out ones, class by class.

    The rate is Platzer and Reutterer's (2021) share of synthetic records closer to training than to hold-out
    data: the chance that the nearest training image of the class is nearer than the nearest of as many unseen
    ones; ties count half. Whatever the class and the detector, it is 1/2 for images that are no copies, being
    as likely to be nearer to either of two samples of equal size, and 1 for copies. Held-out images are not
    drawn: the chance over all draws is summed exactly.
    """

    def __init__(self, samples: Any, labels: Any) -> None:
        """Take features of generated images [n, d] and their class indices [n]."""
        self.samples = as_features(samples)
        self.labels = torch.as_tensor(labels, device=self.samples.device)
        if self.labels.shape != self.samples.shape[:1]:
            raise InputError(f"{len(self.samples)} images have labels of shape {tuple(self.labels.shape)}.")
        undefined = torch.full((2, len(self.samples)), torch.nan, dtype=torch.float64)
        self._chances, self.distances = undefined.to(self.samples.device)
        self.held_out: list[Tensor] = []  # of each class, distances from held-out to nearest training images
        self.nearest = torch.full_like(self.labels, -1, dtype=torch.int64)

    def add(self, label: int, images: Any, trained_on: Any) -> None:
        """Compare with the features [m, d] of a class's real images, and whether each was trained on [m].

        `nearest` [n] and `distances` [n] then hold, for generated images of the class, the row of the nearest
        training image and the distance to it. A class without training images is left out; one that has fewer
        held-out than training images has no part in the rate.
        """
        mine = (self.labels == label).nonzero()[:, 0]
        images = as_features(images).to(self.samples.device)
        trained_on = torch.as_tensor(trained_on, dtype=torch.bool, device=images.device)
        training = trained_on.nonzero()[:, 0]
        if len(mine) and len(training):
            unseen = images[~trained_on]
            squared, index, chance = _compare(self.samples[mine], images[training], unseen)
            self.held_out.append(_distances(unseen, images[training]))
            self.nearest[mine], self.distances[mine] = training[index], square_root(squared)
            self._chances[mine] = chance

    @property
    def judged(self) -> int:
        """Number of generated images that the rate is about."""
        return int((~self._chances.isnan()).count_nonzero())

    @property
    def rate(self) -> float:
        """From 1/2 (no copies) to 1; not a number where no class has as many held-out as training images."""
        return self._chances.nanmean().item()

    def closest(self, count: int) -> Tensor:
        """Indices of at most `count` generated images, those nearest to a training image, nearest first."""
        found = (self.nearest >= 0).nonzero()[:, 0]
        return found[self.distances[found].sort(stable=True).indices[:count]]

    def histogram(self, bins: int = 60) -> list[dict[str, float]]:
        """Numbers of generated and held-out images by distance to their nearest training image."""
        sets = {"generated": self.distances[self.nearest >= 0].double(), "held_out": _joined(self.held_out)}
        if not len(sets["generated"]):
            return []
        top = max(float(values.max()) for values in sets.values() if len(values)) or 1.0
        counts = {name: torch.histc(values.cpu(), bins, 0, top).int() for name, values in sets.items()}
        edges = [top * i / bins for i in range(bins + 1)]
        return [
            {"low": low, "high": high} | {name: int(found[i]) for name, found in counts.items()}
            for i, (low, high) in enumerate(pairwise(edges))
        ]


def closest_pairs(copies: Copies, nearest: list[str], count: int = PAIRS) -> pd.DataFrame:
    """Generated images nearest to a training image: place, class index, path of the latter, distance."""
    places = copies.closest(count).tolist()
    rows = [(i, int(copies.labels[i]), nearest[i], float(copies.distances[i])) for i in places]
    return pd.DataFrame(rows, columns=["sample", "class_index", "path", "distance"])


def _joined(parts: list[Tensor]) -> Tensor:
    return torch.cat([part.double() for part in parts]) if parts else torch.zeros(0, dtype=torch.float64)


def _distances(images: Tensor, training: Tensor) -> Tensor:
    """Distance [n] of each image to the nearest of `training`."""
    if not len(images):
        return images.new_zeros(0)
    centre = training.mean(0)
    with full_precision():
        squared, _ = nearest(Points.of(images, centre), Points.of(training, centre), 1)
    return square_root(squared[:, 0])


def _compare(samples: Tensor, training: Tensor, held_out: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Squared distance [n] to the nearest of `training`, its index, and the chance that it is nearer."""
    centre = training.mean(0)
    generated, unseen = Points.of(samples, centre), Points.of(held_out, centre)
    with full_precision():
        squared, index = (found[:, 0] for found in nearest(generated, Points.of(training, centre), 1))
        nearer, as_near = torch.zeros(2, len(samples), dtype=torch.float64, device=samples.device)
        for tile in tiles(generated, unseen):
            rows, _, other = tile.near(squared[tile.rows, None])
            nearer += torch.bincount(rows[other < squared[rows]], minlength=len(samples))
            as_near += torch.bincount(rows[other <= squared[rows]], minlength=len(samples))
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

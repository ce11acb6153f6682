"""Choice of one group of images for each class (S3 of IMS3): near its class's real images, far from others.

Groups are known by their centroids [classes, groups, d], unit means of unit features; d(a, b) = 1 - cos. All
is float64 NumPy, whose products are the same on every processor.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from condense.base.errors import InputError

SMALLEST = 1e-12  # gain of an objective, in its own units and relative, that is more than rounding
ZERO = 1e-14  # distances below it are rounding
TABLE = 2**24  # objectives that an exact search compares at once


def centroid(features: np.ndarray, owner: str = "the images") -> np.ndarray:
    """Unit mean [d] of the unit vectors of features [n, d]; InputError, of the owner, where there is none."""
    features = np.asarray(features, np.float64)
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    if not np.isfinite(features).all() or not (lengths > 0).all():
        raise InputError(f"A feature of {owner} is zero or not finite: look at the encoder and the images.")
    mean = (features / lengths).mean(0)
    if not np.linalg.norm(mean) > 0:
        raise InputError(f"Features of {owner} cancel out, their mean is zero: choose another encoder.")
    return mean / np.linalg.norm(mean)


@dataclass(frozen=True)
class GroupObjective:
    """What a choice of groups [classes] maximises: closeness * near + separation * far of its groups.

    PAPER: the mean over the other classes of the log distance (`mean`) makes both terms grow as the number of
    classes. RELEASE: the sum over pairs of classes (`sum`) grows as its square.

    Attributes:
        near: Closeness -log(d(c, r) + offset) of each group to the centroid of its real images [C, G].
        far: log(d(c, c') + offset) of the groups of two classes [C, G, C, G], zero within a class.
    """

    near: np.ndarray
    far: np.ndarray
    closeness: float = 0.4
    separation: float = 0.9
    pairs: str = "mean"

    @cached_property
    def pair_weight(self) -> float:
        """Weight of the two entries of `far` that an unordered pair of classes has, each."""
        count = len(self.near)
        return self.separation * (1 / max(count - 1, 1) if self.pairs == "mean" else 0.5)

    def value(self, chosen: np.ndarray) -> float:
        """GroupObjective of one group for each class [classes]."""
        rows = np.arange(len(chosen))
        own = self.far[rows[:, None], chosen[:, None], rows[None], chosen[None]]
        return float(self.closeness * self.near[rows, chosen].sum() + self.pair_weight * own.sum())

    @cached_property
    def mean(self) -> float:
        """Mean of the objective over all choices: that of random groups."""
        near, far = self.near.mean(1).sum(), self.far.mean((1, 3)).sum()
        return float(self.closeness * near + self.pair_weight * far)

    def gains(self, chosen: np.ndarray) -> np.ndarray:
        """Part of the objective [classes, groups] that is a group's, were it chosen for its class."""
        others = sum(self.far[j, group] for j, group in enumerate(chosen))
        return self.closeness * self.near + 2 * self.pair_weight * others


def objective_of(
    centroids: np.ndarray,
    real: np.ndarray,
    names: Sequence[str],
    *,
    closeness: float = 0.4,
    separation: float = 0.9,
    pairs: str = "mean",
    offset: float = 0.0,
) -> GroupObjective:
    """GroupObjective of groups [C, G, d] and the classes' real centroids [C, d], all of length 1.

    InputError names the classes where a distance of 0 has no logarithm.
    """
    count, groups, width = centroids.shape
    flat = centroids.reshape(-1, width)
    to_real = _distance((centroids * real[:, None]).sum(2)) + offset
    if to_real.min() < ZERO:
        name = names[int(to_real.argmin()) // groups]
        raise InputError(f"a group of class {name!r} has its real images' mean feature; set offset above 0.")
    across = _distance(flat @ flat.T).reshape(count, groups, count, groups) + offset
    within = np.arange(count)
    across[within, :, within] = 1  # whose logarithm is 0: a class is not held against itself
    if across.min() < ZERO:
        one, _, other, _ = np.unravel_index(across.argmin(), across.shape)
        both = f"{names[one]!r} and {names[other]!r}"
        raise InputError(f"groups of classes {both} have the same mean feature; set offset above 0.")
    return GroupObjective(-np.log(to_real), np.log(across, out=across), closeness, separation, pairs)


def ascend(objective: GroupObjective, start: np.ndarray, rounds: int = 5) -> tuple[np.ndarray, int]:
    """Best group of each class in turn until a round changes none; the choice, and rounds taken.

    A trial costs nothing beyond reading its gain, and a change one row of `far` per class: both are linear in
    the classes. Of equally good groups the one that is chosen stays, else the first is taken.
    """
    chosen, weight = start.copy(), 2 * objective.pair_weight
    for taken in range(1, rounds + 1):
        gains, changed = objective.gains(chosen), False
        for number, now in enumerate(chosen):
            best = int(gains[number].argmax())
            if gains[number, best] - gains[number, now] > SMALLEST * (1 + abs(gains[number, now])):
                gains += weight * (objective.far[number, best] - objective.far[number, now])
                chosen[number], changed = best, True
        if not changed:
            return chosen, taken
    return chosen, rounds


def search_exactly(objective: GroupObjective) -> np.ndarray:
    """The best choice of all [classes]; InputError where there are too many to compare.

    Each half of the classes is written out; what two halves add to each other is a sum of rows of a table.
    """
    count, groups = objective.near.shape
    if groups**count > TABLE:
        raise InputError(f"{groups} groups of {count} classes are too many to search exactly; use ascent.")
    half = count // 2
    first, second = (_every(groups, size) for size in (half, count - half))
    own = [_alone(objective, part, start) for part, start in ((first, 0), (second, half))]
    between = np.zeros((len(first), count - half, groups))
    for number in range(half):
        between += objective.far[number, first[:, number], half:]
    total = own[0][:, None] + own[1]
    for number in range(count - half):
        total += 2 * objective.pair_weight * between[:, number, second[:, number]]
    one, other = np.unravel_index(total.argmax(), total.shape)
    return np.concatenate([first[one], second[other]])


def _every(groups: int, count: int) -> np.ndarray:
    """Every choice of groups for some classes [groups ** count, count]."""
    return np.indices((groups,) * count).reshape(count, groups**count).T


def _alone(objective: GroupObjective, chosen: np.ndarray, start: int) -> np.ndarray:
    """GroupObjective [n] of choices [n, k] for the k classes from `start` on, the other classes left out."""
    rows = start + np.arange(chosen.shape[1])
    found = objective.closeness * objective.near[rows, chosen].sum(1)
    for one, row in enumerate(rows):
        for other in range(one):
            pair = objective.far[row, chosen[:, one], rows[other], chosen[:, other]]
            found = found + 2 * objective.pair_weight * pair
    return found


def _distance(cosine: np.ndarray) -> np.ndarray:
    """1 - cos, and 0 where rounding made less of it."""
    return np.maximum(1 - cosine, 0)

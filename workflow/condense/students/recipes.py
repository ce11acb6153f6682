"""What a recipe comes to for a set of images: epochs, batch, course of the learning rate, evaluations."""

import math
from dataclasses import dataclass

from condense.config.recipes import ByImages, Dc


@dataclass(frozen=True)
class Course:
    """Numbers of one training: so many epochs of batches, and the learning rate at its start."""

    chosen: Dc
    epochs: int
    batch: int
    learning_rate: float

    @classmethod
    def of(cls, chosen: Dc, images: int, classes: int) -> "Course":
        """The course of a recipe on `images` images of `classes` classes."""
        per_class = -(-images // classes)
        epochs = by_images(chosen.epochs, per_class)
        if classes == chosen.reduced_classes:
            epochs = max(1, 2 * epochs // 300 * 100)
        batch = by_images(chosen.batch, per_class)
        if chosen.smallest_batch is None:
            return cls(chosen, epochs, batch, chosen.learning_rate)
        used = dividing_batch(images, batch, chosen.smallest_batch)
        return cls(chosen, epochs, used, chosen.learning_rate * used / batch)

    def rate(self, epoch: int) -> float:
        """Learning rate of an epoch, counted from 0."""
        return self.learning_rate * factor(self.chosen, epoch, self.epochs)

    def drops(self, epoch: int) -> bool:
        """Whether the rate drops by a step at the beginning of an epoch."""
        return self.chosen.schedule == "steps" and epoch in _milestones(self.chosen, self.epochs)

    def evaluates(self, done: int) -> bool:
        """Whether the network is evaluated after `done` epochs."""
        chosen = self.chosen
        every = chosen.evaluate_every
        every = int(every) if every >= 1 else max(1, int(every * self.epochs))
        return done == self.epochs or (done % every == 0 and done > chosen.evaluate_from * self.epochs)


def by_images(value: ByImages, per_class: float) -> int:
    """A number, or that of the first pair (images per class at most, number) that holds."""
    if isinstance(value, int):
        return value
    return next(number for limit, number in value if limit is None or per_class <= limit)


def dividing_batch(images: int, asked: int, smallest: int) -> int:
    """Largest batch up to `asked` that divides the images; `smallest` where none from it on does."""
    # RELEASE: of DsCo, whose loader drops no image and takes no smaller last batch
    first = min(asked, images)
    return next((size for size in range(first, smallest, -1) if images % size == 0), min(first, smallest))


def factor(chosen: Dc, epoch: int, epochs: int) -> float:
    """Learning rate of an epoch relative to that at the start."""
    progress = epoch / epochs
    if chosen.schedule == "steps":
        return chosen.drop ** sum(epoch >= milestone for milestone in _milestones(chosen, epochs))
    if chosen.schedule == "cosine":
        return _cosine(progress)
    if chosen.schedule == "half-cosine":
        return _cosine(progress / 2)
    if chosen.schedule == "half-linear":
        return 1 - progress / 2
    if chosen.schedule == "warm-cosine":
        rise = epochs // 10
        return (epoch + 1) / rise if epoch < rise else _cosine((epoch - rise) / (epochs - rise))
    # cut-cosine; RELEASE: of EDC, whose line begins at a sixth of the rate that it takes over
    return _cosine(progress / 2) if 6 * epoch <= 5 * epochs else _cosine(5 / 12) * (1 - progress)


def _cosine(progress: float) -> float:
    return 0.5 * (1 + math.cos(math.pi * progress))


def _milestones(chosen: Dc, epochs: int) -> list[int]:
    """Epochs, counted from 0, at which the rate drops."""
    return [above * epochs // below for above, below in chosen.milestones]

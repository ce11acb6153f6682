"""What each training step sees: images, labels, noise and times, drawn from (seed, step) alone.

Every worker draws the whole batch and takes its share, so the number of workers changes no example.
"""

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import torch
from torch import Tensor

from condense.base.seeds import stream
from condense.config.settings import Recipe, Training
from condense.diffusion.objectives import process_of
from condense.training.data import Sources
from condense.training.workers import Workers


@dataclass(frozen=True)
class Batch:
    """One worker's examples of a step, on its device."""

    clean: Tensor  # [b, c, h, w]
    noise: Tensor  # like clean
    time: Tensor  # [b]
    labels: Tensor  # [b]; the number of classes where dropped
    classes: Tensor  # [b]; none is dropped
    text: Tensor | None = None  # [b, tokens, width], zero where dropped
    features: Tensor | None = None  # [b, h, w, width], flipped as the images are

    def __len__(self) -> int:
        return len(self.clean)

    def split(self, size: int | None) -> list["Batch"]:
        """Parts of at most `size` examples; the whole when None."""
        size = size or len(self)
        return [
            Batch(*(None if value is None else value[at : at + size] for value in vars(self).values()))
            for at in range(0, len(self), size)
        ]


class Examples:
    """The training images of a run, dealt into batches."""

    def __init__(
        self,
        sources: Sources,
        objective: str,
        training: Training,
        recipe: Recipe,
        seed: int,
        workers: Workers,
    ) -> None:
        self.latents, self.patches = sources.latents.to(workers.device), sources.patches
        self.captions = None if sources.captions is None else sources.captions.to(workers.device)
        self.training, self.recipe, self.seed, self.workers = training, recipe, seed, workers
        self.objective = process_of(objective)
        self.orders: dict[int, Tensor] = {}
        self.reader = ThreadPoolExecutor(max_workers=1)
        self.reading: dict[int, Future[Tensor]] = {}  # features of the next step, by its number

    def names(self, step: int) -> list[str]:
        """Paths of the images of a step, over all workers."""
        return [self.latents.paths[i] for i in self.chosen(step).tolist()]

    def chosen(self, step: int) -> Tensor:
        """Indices [batch] of the images of a step: one shuffled pass over the subset after another."""
        count, size = len(self.latents.paths), self.training.batch
        first, last = step * size, (step + 1) * size - 1
        passes = range(first // count, last // count + 1)
        self.orders = {
            number: self.orders[number] if number in self.orders else self._order(number) for number in passes
        }
        start = first - passes[0] * count
        return torch.cat([self.orders[number] for number in passes])[start : start + size]

    def _order(self, number: int) -> Tensor:
        return torch.randperm(len(self.latents.paths), generator=stream("order", self.seed, number))

    def batch(self, step: int) -> Batch:
        """This worker's share of a step, classes and captions dropped for classifier-free guidance."""
        latents, device, size = self.latents, self.workers.device, self.training.batch
        share, chosen = self.workers.share(size), self.chosen(step)
        mirrored, dropped, silent = self._choices(step)
        draw = stream("noise", self.seed, step, device=device)
        shape = (size, *latents.shape)
        noise = torch.randn(shape, generator=draw, device=device)
        time = self.objective.draw_times(size, draw)
        spread = None
        if latents.deviation is not None:
            spread = torch.randn(shape, generator=draw, device=device)[share]
        features = None if self.patches is None else self._moved(self._read_ahead(step))
        chosen, mirrored, dropped, silent = (
            self._moved(part[share]) for part in (chosen, mirrored, dropped, silent)
        )
        classes = latents.labels[chosen]
        text = None
        if self.captions is not None:
            text = self.captions[torch.where(silent, latents.classes, classes)].float()
        clean = latents.sample(chosen, mirrored, spread)
        labels = torch.where(dropped, latents.classes, classes)
        return Batch(clean, noise[share], time[share], labels, classes, text, features)

    def _read_ahead(self, step: int) -> Tensor:
        """Features of this worker's share of a step; a thread then reads those of the next.

        They may lie on a disk (see `read_patches`), for whose pages no step is to wait.
        """
        found = self.reading.pop(step, None) or self._read(step)
        self.reading = {step + 1: self._read(step + 1)} if step + 1 < self.training.steps else {}
        return found.result()

    def _read(self, step: int) -> Future[Tensor]:
        share = self.workers.share(self.training.batch)
        index = self.chosen(step)[share], self._choices(step)[0][share]
        return self.reader.submit(self.patches.__getitem__, index)

    def _choices(self, step: int) -> tuple[Tensor, Tensor, Tensor]:
        """Of each image of a step: its mirror image (1) or not (0), class dropped, caption dropped.

        They are drawn on the CPU: they index images, and no step is to wait for a GPU.
        """
        draws = torch.rand(3, self.training.batch, generator=stream("choices", self.seed, step))
        dropped, silent = draws[1:] < self.training.class_dropout
        if self.recipe.dropout == "joint":
            silent = dropped
        return (draws[0] < 0.5 * self.training.flip).long(), dropped, silent

    def _moved(self, values: Tensor) -> Tensor:
        """The values on this worker's device, copied while the GPU works."""
        if self.workers.device.type == "cuda":
            values = values.pin_memory()
        return values.to(self.workers.device, non_blocking=True)

"""What each training step sees: images, labels, noise and times, drawn from (seed, step) alone.

Every worker draws the whole batch and takes its share, so the number of workers changes no example.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from gadc import diffusion, flow
from gadc.condition import Latents
from gadc.seeds import stream
from gadc.settings import Training
from gadc.workers import Workers

OBJECTIVES = {"adm": diffusion, "flow": flow}


@dataclass(frozen=True)
class Batch:
    """One worker's examples of a step, on its device."""

    clean: Tensor  # [b, c, h, w]
    noise: Tensor  # like clean
    time: Tensor  # [b]
    labels: Tensor  # [b]; the number of classes where dropped

    def __len__(self) -> int:
        return len(self.clean)

    def split(self, size: int | None) -> list["Batch"]:
        """Parts of at most `size` examples; the whole when None."""
        parts = [getattr(self, name).split(size or len(self)) for name in self.__dataclass_fields__]
        return [Batch(*part) for part in zip(*parts, strict=True)]


class Examples:
    """The training images of a run, dealt into batches."""

    def __init__(
        self, latents: Latents, objective: str, training: Training, seed: int, workers: Workers
    ) -> None:
        self.latents, self.training, self.seed, self.workers = (
            latents.to(workers.device),
            training,
            seed,
            workers,
        )
        self.objective = OBJECTIVES[objective]
        self.orders: dict[int, Tensor] = {}

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
        """This worker's share of a step, labels dropped for classifier-free guidance."""
        training, latents, device = self.training, self.latents, self.workers.device
        share, size = self.workers.share(training.batch), training.batch
        # choices are drawn on the CPU: where they index images, no step waits for a GPU
        mirrored, dropped = torch.rand(2, size, generator=stream("choices", self.seed, step))
        mirrored, dropped = mirrored < 0.5 * training.flip, dropped < training.class_dropout
        draw = stream("noise", self.seed, step, device=device)
        shape = (size, *latents.shape)
        noise = torch.randn(shape, generator=draw, device=device)
        time = self.objective.draw_times(size, draw)
        spread = None
        if latents.deviation is not None:
            spread = torch.randn(shape, generator=draw, device=device)[share]
        chosen = self.chosen(step)[share].to(device, non_blocking=True)
        mirrored, dropped = (part[share].to(device, non_blocking=True) for part in (mirrored, dropped))
        labels = torch.where(dropped, latents.classes, latents.labels[chosen])
        clean = latents.sample(chosen, mirrored.long(), spread)
        return Batch(clean, noise[share], time[share], labels)

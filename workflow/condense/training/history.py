"""What a training tells: its history as JSON lines and, if wanted, to TensorBoard; its pace in the log."""

import json
import resource
import time
from pathlib import Path

import torch

from condense.base.progress import say
from condense.base.storage import replacing
from condense.training.trainer import Trainer

SHOWN = 50  # steps of which the log gives the mean


def write_history(path: Path, trainer: Trainer) -> None:
    """Write a row of step, loss, gradient norm, learning rate and what the losses tell, for each step."""
    rows = (dict(zip(trainer.columns, row, strict=True)) for row in trainer.history.tolist())
    with replacing(path) as beside, beside.open("w") as file:
        file.writelines(json.dumps({"step": step} | row) + "\n" for step, row in enumerate(rows, 1))


class Log:
    """Tells how a training goes, from the one worker that speaks."""

    def __init__(self, trainer: Trainer, steps: int, tensorboard: Path | None) -> None:
        self.trainer, self.steps, self.speaks = trainer, steps, trainer.workers.rank == 0
        self.began, self.first, self.board, self.drawn = time.monotonic(), trainer.step, None, trainer.step
        if tensorboard and self.speaks:
            from torch.utils.tensorboard import SummaryWriter

            self.board = SummaryWriter(str(tensorboard), purge_step=trainer.step + 1)

    def greet(
        self, start: str = "random start", advice: str = "; set training.ema_warmup or lower training.ema"
    ) -> None:
        """What the run is about to do, with the share of its start that the average would keep."""
        trainer, training = self.trainer, self.trainer.training
        if not self.speaks:
            return
        if trainer.step:
            say(f"going on from step {trainer.step} of {self.steps}")
            return
        # the warm-up forgets the start within a few steps
        kept = 0.0 if training.ema_warmup else training.ema**self.steps
        advice = advice if self.steps and kept > 0.01 else ""
        workers = f"{trainer.workers.count} {trainer.workers.device.type}"
        say(
            f"{self.steps} steps of {training.batch} images on {workers}; "
            f"the average keeps {kept:.0%} of the {start}{advice}"
        )

    def draw(self) -> None:
        """Send the checked steps to TensorBoard."""
        if self.board is None:
            return
        for row in self.trainer.history[self.drawn :].tolist():
            self.drawn += 1
            for name, value in zip(self.trainer.columns, row, strict=True):
                self.board.add_scalar(name, value, self.drawn)
        self.board.flush()

    def tell(self) -> None:
        """Say loss, images per second and peak memory so far."""
        trainer = self.trainer
        if not self.speaks:
            return
        loss, norm, *_ = trainer.history[-SHOWN:].mean(0).tolist()
        images = (trainer.step - self.first) * trainer.training.batch / (time.monotonic() - self.began)
        say(
            f"step {trainer.step}: loss {loss:.4f}, gradient norm {norm:.3f}, {images:.0f} images/s, "
            f"peak memory {_peak_memory(trainer.workers.device) / 2**20:.0f} MiB"
        )


def _peak_memory(device: torch.device) -> int:
    """Most bytes in use so far: on the GPU, or of the process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

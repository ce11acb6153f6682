"""One training as a state that is advanced step by step: network, average, optimiser, history."""

from collections.abc import Callable
from contextlib import nullcontext

import torch
from torch import Tensor, nn

from condense.base.compile import compile_network
from condense.base.errors import InputError
from condense.config.settings import Training
from condense.training.examples import Batch, Examples
from condense.training.losses import Ledger, Losses
from condense.training.workers import Workers

COLUMNS = ("loss", "gradient_norm", "learning_rate")
MOMENTS = ("exp_avg", "exp_avg_sq")


class Trainer:
    """Optimises a network; on CUDA compiled, in bf16 with fp32 master weights, elsewhere in fp32.

    Args:
        network: What is trained; the loss alone calls it.
        examples: Gives the batch of each step.
        losses: Loss of each example of a batch.
        training: Settings of optimiser and average.
        workers: This process among those that train.
        trainable: Whether the parameter of a name is trained, averaged and saved, or stays as it is.
        ledger: What the losses keep, if anything.
    """

    def __init__(
        self,
        network: nn.Module,
        examples: Examples,
        losses: Losses,
        training: Training,
        workers: Workers,
        trainable: Callable[[str], bool] = lambda name: True,
        ledger: Ledger | None = None,
    ) -> None:
        self.examples, self.losses, self.training, self.workers = examples, losses, training, workers
        self.ledger = ledger or Ledger()
        self.columns = (*COLUMNS, *self.ledger.figures)
        self.network = network.to(workers.device).train()
        for name, value in self.network.named_parameters():
            value.requires_grad_(trainable(name))
        named = self.network.named_parameters()
        self.parameters = {name: value for name, value in named if value.requires_grad}
        self.mixed = workers.device.type == "cuda"
        if self.mixed:
            torch.set_float32_matmul_precision("high")  # TF32 where bf16 does not reach
            compile_network(self.network, workers.device)
        self.wrapped = workers.wrap(self.network)
        self.average = {name: value.detach().clone() for name, value in self.parameters.items()}
        self.optimiser = torch.optim.AdamW(
            self.parameters.values(),
            lr=training.learning_rate,
            betas=(0.9, training.beta2),
            weight_decay=training.weight_decay,
            fused=True,
        )
        self.step, self.history, self.recent = 0, torch.zeros(0, len(self.columns)), []

    def advance(self) -> None:
        """Take one optimiser step."""
        training = self.training
        rate = training.learning_rate * min(1.0, (self.step + 1) / max(1, training.warmup))
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        loss = self._gradients(self.examples.batch(self.step))
        gradients = [value.grad for value in self.parameters.values()]
        norm = torch.nn.utils.get_total_norm(gradients)
        if training.clip:
            torch.nn.utils.clip_grads_with_norm_(self.parameters.values(), training.clip, norm)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        decay = min(training.ema, (1 + self.step) / (10 + self.step)) if training.ema_warmup else training.ema
        current = [value.detach() for value in self.parameters.values()]
        torch._foreach_lerp_(list(self.average.values()), current, 1 - decay)
        figures = [value.float() for value in self.ledger.figures.values()]
        self.recent.append(torch.stack([loss, norm, torch.full_like(loss, rate), *figures]))
        self.step += 1

    def _gradients(self, batch: Batch) -> Tensor:
        """Add the gradient of the batch's mean loss, in parts that fit the memory; return that loss."""
        parts = batch.split(self.training.microbatch)
        total = torch.zeros((), device=self.workers.device)
        for number, part in enumerate(parts, 1):
            alone = self.workers.count > 1 and number < len(parts)  # workers meet at the last part
            with self.wrapped.no_sync() if alone else nullcontext():
                with torch.autocast(self.workers.device.type, torch.bfloat16, enabled=self.mixed):
                    losses = self.losses(self.wrapped, part)
                loss = losses.sum() / len(batch)
                loss.backward()
            total += loss.detach()
        return total

    def check(self) -> None:
        """Move the recent losses to the history; stop at the first that is not finite."""
        if not self.recent:
            return
        recent = torch.stack(self.recent)
        recent[:, 0] = self.workers.mean(recent[:, 0].contiguous())
        recent = recent.cpu()
        bad = (~recent.isfinite().all(1)).nonzero()
        if len(bad):
            step = len(self.history) + int(bad[0])
            names = self.examples.names(step)
            shown = ", ".join(names[:8]) + (", …" if names[8:] else "")
            raise InputError(
                f"the loss of step {step + 1} (seed {self.examples.seed}) or its gradient is not finite, "
                f"images {shown}: lower the learning rate or clip the gradient."
            )
        self.history, self.recent = torch.cat([self.history, recent]), []

    def tensors(self) -> dict[str, Tensor]:
        """All that the next step depends on, by name."""
        parts = {f"network.{name}": value.detach() for name, value in self.parameters.items()}
        parts |= {f"average.{name}": value for name, value in self.average.items()}
        for name, value in self.parameters.items():
            parts |= {f"{moment}.{name}": self.optimiser.state[value][moment] for moment in MOMENTS}
        parts |= {f"ledger.{name}": value for name, value in self.ledger.tensors.items()}
        return parts | {"history": self.history}

    def restore(self, found: tuple[int, dict[str, Tensor]] | None) -> None:
        """Take up in every worker the state that the first has found; None leaves all at their start."""
        self.step = int(self.workers.from_first(torch.tensor(found[0] if found else 0)))
        if not self.step:
            return
        self.history = torch.zeros(self.step, len(self.columns))
        for value in self.parameters.values():
            step = torch.tensor(float(self.step), device=self.workers.device)
            moments = {moment: torch.zeros_like(value) for moment in MOMENTS}
            self.optimiser.state[value] = {"step": step} | moments
        for name, value in self.tensors().items():
            if found:
                value.copy_(found[1][name])
            self.workers.from_first(value)

    def average_weights(self, average: dict[str, Tensor] | None = None) -> dict[str, Tensor]:
        """Averaged weights by name, with the buffers, but without what only the alignment needs."""
        every = dict(self.network.state_dict()) | (average or self.average)
        return {name: value for name, value in every.items() if not name.startswith("projectors.")}

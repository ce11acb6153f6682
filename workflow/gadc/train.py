"""Stage train: a transformer from scratch on the latents of a subset, resumable to the byte.

Order of images, noise, flips and label dropout are functions of (seed, step) alone, so a run that was
interrupted and taken up again is the run that never stopped (GADC sec. 4.1 gives the protocol).
"""

import hashlib
import json
import math
import signal
import time
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import Annotated

import torch
import typer
from torch import Tensor

from gadc import diffusion, flow, state
from gadc.artefacts import write_artefact
from gadc.condition import Latents, read_latents
from gadc.digest import code
from gadc.errors import InputError, Unfinished
from gadc.options import take
from gadc.progress import say, track
from gadc.seeds import stream
from gadc.settings import Network, Training
from gadc.storage import replacing
from gadc.transformer import build

CHECK_EVERY = 50  # steps between looks at the loss: a look waits for the GPU


@take(network=Network, training=Training)
def train(
    latents: Annotated[Path, typer.Option(help="Latents of the subset, from `condition`.")],
    output: Annotated[Path, typer.Option(help="Averaged weights (safetensors).")],
    history: Annotated[
        Path, typer.Option(help="Loss, gradient norm and learning rate of each step (JSON lines).")
    ],
    state_folder: Annotated[
        Path, typer.Option(help="Folder of the states from which an interrupted run goes on.")
    ],
    objective: Annotated[str, typer.Option(help="adm (DiT) or flow (SiT).")],
    network: Network,
    training: Training,
    seed: Annotated[int, typer.Option(help="Seed of initialisation, order and noise.")] = 0,
    minutes: Annotated[
        float | None, typer.Option(help="Save and leave with status 75 after so long.")
    ] = None,
) -> None:
    """Train a generator from scratch."""
    data = read_latents(latents)
    identity = {
        "code": code("train"),
        "objective": objective,
        "seed": str(seed),
        "latents": data.digest,
        "network": json.dumps(asdict(network), sort_keys=True),
        **{
            f"training.{key}": str(value)
            for key, value in asdict(training).items()
            if key != "checkpoint_every"
        },
    }
    folder = state_folder / hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:12]
    run = Run(data, objective, network, training, seed)
    run.restore(state.newest(folder, identity))
    steps = (
        training.steps if len(data.labels) else 0
    )  # an empty subset leaves the network as it was initialised
    _advance(run, steps, folder, identity, minutes)
    about = {
        "objective": objective,
        "network": asdict(network),
        "classes": data.classes,
        "shape": data.shape,
        "steps": steps,
        "ema": training.ema,
    }
    with replacing(history) as beside:
        beside.write_text("".join(json.dumps(row) + "\n" for row in run.rows()))
    write_artefact(output, about, run.average_weights())


def _advance(run: "Run", steps: int, folder: Path, identity: dict[str, str], minutes: float | None) -> None:
    """Take the steps that are left, saving the state now and then, and at a signal or when time is up."""
    training, began, stop = run.training, time.monotonic(), Stop()
    if run.step:
        say(f"going on from step {run.step} of {steps}")
    for step in track(range(run.step, steps), "training", total=steps, start=run.step):
        run.advance()
        last = step + 1 == steps
        late = minutes is not None and time.monotonic() - began > 60 * minutes
        if last or stop.asked or late or (step + 1) % CHECK_EVERY == 0:
            run.check()
        if last or stop.asked or late or (step + 1) % training.checkpoint_every == 0:
            path = state.save(folder, run.step, run.tensors(), identity)
            if (stop.asked or late) and not last:
                raise Unfinished(
                    f"stopped after step {run.step} of {steps}; the state is in {path}, run again to go on."
                )


class Stop:
    """Notes that SIGTERM or SIGINT asked the process to leave; the work looks at `asked` between steps."""

    def __init__(self) -> None:
        self.asked = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.asked = True


class Run:
    """Network, average, optimiser and history of one training, advanced step by step."""

    def __init__(
        self, data: Latents, objective: str, network: Network, training: Training, seed: int
    ) -> None:
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.data, self.objective, self.training, self.seed = data.to(self.device), objective, training, seed
        torch.manual_seed(seed)
        self.network = build(network, data.shape, data.classes, learn_sigma=objective == "adm").to(
            self.device
        )
        self.network.train()
        self.parameters = dict(self.network.named_parameters())
        self.average = {name: value.detach().clone() for name, value in self.parameters.items()}
        self.optimiser = torch.optim.AdamW(
            self.parameters.values(),
            lr=training.learning_rate,
            weight_decay=training.weight_decay,
            fused=True,
        )
        self.step, self.history, self.recent = 0, torch.zeros(0, 3), []
        self.orders: dict[int, Tensor] = {}

    def batch_of(self, step: int) -> Tensor:
        """Indices [batch] of the images of a step: one shuffled pass over the subset after another."""
        count, size = len(self.data.labels), self.training.batch
        positions = range(step * size, (step + 1) * size)
        needed = range(positions[0] // count, positions[-1] // count + 1)
        self.orders = {
            epoch: self.orders[epoch] if epoch in self.orders else self._order(epoch) for epoch in needed
        }
        every = torch.cat([self.orders[epoch] for epoch in needed])
        start = positions[0] - needed[0] * count
        return every[start : start + size].to(self.device)

    def _order(self, epoch: int) -> Tensor:
        return torch.randperm(len(self.data.labels), generator=stream("order", self.seed, epoch))

    def advance(self) -> None:
        """Take one optimiser step."""
        training = self.training
        rate = training.learning_rate * min(1.0, (self.step + 1) / max(1, training.warmup))
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            loss = self.loss(self.step)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.parameters.values(), training.clip or math.inf)
        self.optimiser.step()
        decay = min(training.ema, (1 + self.step) / (10 + self.step)) if training.ema_warmup else training.ema
        torch._foreach_lerp_(
            list(self.average.values()), [p.detach() for p in self.parameters.values()], 1 - decay
        )
        self.recent.append(torch.stack([loss.detach().float(), norm.float(), loss.new_tensor(rate).float()]))
        self.step += 1

    def loss(self, step: int) -> Tensor:
        """Mean loss of a step's images, with labels dropped for classifier-free guidance."""
        training, data, draw = self.training, self.data, stream("noise", self.seed, step, device=self.device)
        chosen = self.batch_of(step)
        size = len(chosen)
        mirrored = torch.rand(size, generator=draw, device=self.device) < 0.5 * training.flip
        clean = data.sample(chosen, mirrored.long(), draw)
        labels = data.labels[chosen]
        dropped = torch.rand(size, generator=draw, device=self.device) < training.class_dropout
        labels = torch.where(dropped, data.classes, labels)
        noise = torch.randn(clean.shape, generator=draw, device=self.device)
        method = {"adm": diffusion, "flow": flow}[self.objective]
        time = method.draw_times(size, draw)
        return method.losses(lambda x, t: self.network(x, t, labels), clean, time, noise).mean()

    def check(self) -> None:
        """Move the recent losses to the history; stop at the first that is not finite."""
        if not self.recent:
            return
        recent = torch.stack(self.recent).cpu()
        bad = (~recent[:, 0].isfinite()).nonzero()
        if len(bad):
            step = len(self.history) + int(bad[0])
            names = [self.data.paths[i] for i in self.batch_of(step).tolist()[:8]]
            raise InputError(
                f"the loss of step {step} (seed {self.seed}) is not finite, images {', '.join(names)}, …: "
                "lower training.learning_rate or set training.clip."
            )
        self.history, self.recent = torch.cat([self.history, recent]), []

    def tensors(self) -> dict[str, Tensor]:
        """All that the next step depends on, by name."""
        parts = {f"network.{name}": value.detach() for name, value in self.parameters.items()}
        parts |= {f"average.{name}": value for name, value in self.average.items()}
        for name, value in self.parameters.items():
            for moment in ("exp_avg", "exp_avg_sq"):
                parts[f"{moment}.{name}"] = self.optimiser.state[value][moment]
        return parts | {"history": self.history}

    def restore(self, found: tuple[int, dict[str, Tensor]] | None) -> None:
        """Take up a saved state; None leaves the run at its start."""
        if found is None:
            return
        self.step, tensors = found
        self.history = tensors["history"]
        for name, value in self.parameters.items():
            value.data.copy_(tensors[f"network.{name}"])
            self.average[name].copy_(tensors[f"average.{name}"])
            moments = {key: tensors[f"{key}.{name}"].to(self.device) for key in ("exp_avg", "exp_avg_sq")}
            self.optimiser.state[value] = {
                "step": torch.tensor(float(self.step), device=self.device),
                **moments,
            }

    def average_weights(self) -> dict[str, Tensor]:
        """Averaged weights by name, with the buffers of the network."""
        return dict(self.network.state_dict()) | self.average

    def rows(self) -> list[dict[str, float]]:
        """History as rows step, loss, gradient_norm, learning_rate."""
        keys = ("loss", "gradient_norm", "learning_rate")
        return [
            {"step": step} | dict(zip(keys, row, strict=True))
            for step, row in enumerate(self.history.tolist(), 1)
        ]

"""Formulas of each training objective in one table; its facts without formulas are in `config.objectives`."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from condense.base.errors import InputError
from condense.diffusion import adm, flow
from condense.diffusion.adm import Predict


@dataclass(frozen=True)
class Process:
    """From image to noise and back, for images [b, c, h, w] at times t [b]."""

    draw_times: Callable[[int, torch.Generator], Tensor]  # times [count] of a training step
    time_at: Callable[[float], float]  # time at a share of the way from image (0) to noise (1)
    diffuse: Callable[[Tensor, Tensor, Tensor], Tensor]  # clean, t, noise -> noisy images
    losses: Callable[[Predict, Tensor, Tensor, Tensor], Tensor]  # predict, clean, t, noise -> what is trained
    errors: Callable[[Predict, Tensor, Tensor, Tensor], Tensor]  # likewise: squared error of the prediction


PROCESSES = {
    "adm": Process(adm.draw_times, adm.time_at, adm.diffuse, adm.losses, adm.errors),
    "flow": Process(flow.draw_times, flow.time_at, flow.diffuse, flow.losses, flow.losses),
}


def process_of(objective: str) -> Process:
    """Formulas of an objective; InputError where there is none of that name."""
    if objective not in PROCESSES:
        raise InputError(f"objective {objective!r} is none of {', '.join(PROCESSES)}; correct it.")
    return PROCESSES[objective]

"""How far tensors by name are from what is expected."""

from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks.gpu.figures import Outcome

Tensors = dict[str, Tensor]
CPU = torch.device("cpu")


def judge(check: Callable[[torch.device], tuple[Tensors, Tensors]], device: torch.device) -> Outcome:
    """Largest difference that a check finds."""
    return Outcome(difference(*check(device)))


def difference(found: Tensors, expected: Tensors) -> float:
    """Largest relative difference of tensors by name; infinite where integers, names or shapes differ."""
    worst = 0.0 if found.keys() == expected.keys() else torch.inf
    for name in found.keys() & expected.keys():
        mine, theirs = found[name].cpu(), expected[name].cpu()
        if mine.shape != theirs.shape or not (mine.is_floating_point() or mine.equal(theirs)):
            return torch.inf
        if mine.is_floating_point() and mine.numel():
            gap = torch.linalg.vector_norm(mine.double() - theirs.double())
            worst = max(worst, float(gap / torch.linalg.vector_norm(theirs.double()).clamp_min(1e-30)))
    return worst


def against_cpu(work: Callable[[torch.device], Tensors]) -> Callable[[torch.device], tuple[Tensors, Tensors]]:
    """A check of work on the device against the same on the CPU."""
    return lambda device: (work(device), work(CPU))

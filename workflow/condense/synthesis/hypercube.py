"""Starting noise: Latin hypercubes of normal numbers (McKay et al. 1979), and plain normal numbers."""

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Generator, Tensor

EDGE = 1e-7  # uniform numbers stay this far from 0 and 1

Form = Literal["lattice", "jitter", "normal"]


def hypercube(keys: Tensor, offsets: Tensor) -> Tensor:
    """Normal numbers [..., n, d], of which each of d coordinates has one in each of n strata of equal mass.

    Args:
        keys: Uniform numbers [..., d, n]; their order along the last axis is the stratum of draws 0 to n - 1.
        offsets: Place inside its stratum, 0 to 1, [..., d, n] or a scalar; 0.5 is the lattice form.
    """
    strata = keys.argsort(dim=-1, stable=True)
    shares = (strata + offsets.double()) / keys.shape[-1]
    return torch.special.ndtri(shares.clamp(EDGE, 1 - EDGE)).transpose(-2, -1)


def draw_noise(
    form: Form, count: int, shape: Sequence[int], generator: Generator, batch: Sequence[int] = ()
) -> Tensor:
    """Noise [*batch, count, *shape] of a form, float32; each of the batch is a hypercube of its own.

    The lattice's mean square is less than 1 (0.880 for 10 draws, 0.987 for 100): its strata have no tails.
    """
    if form == "normal":
        return torch.randn(*batch, count, *shape, generator=generator)
    size = (*batch, math.prod(shape), count)
    keys = torch.rand(size, generator=generator)
    jitter = torch.rand(size, generator=generator) if form == "jitter" else torch.tensor(0.5)
    return hypercube(keys, jitter).float().unflatten(-1, tuple(shape))

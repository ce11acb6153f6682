"""The law of a sampler's output, without drawing: a linear network makes it normal, probes read it."""

from collections.abc import Callable

import torch
from torch import Tensor


def law(
    sampler: Callable, predict: Callable, steps: int, mean: float, deviation: float
) -> tuple[float, float]:
    """Mean and variance of the samples when the starting noise is normal with `mean` and `deviation`.

    Image 0 gets no randomness, image 1 starts one deviation higher, image 2 + i one unit of noise at step
    i: the differences from image 0 are the coefficients of independent standard normals.
    """
    start = torch.full((steps + 2, 1, 1, 1), mean, dtype=torch.float64)
    start[1] += deviation

    def noise(i: int) -> Tensor:
        return (torch.arange(steps + 2) == 2 + i).double()[:, None, None, None]

    out = sampler(predict, start, steps, noise).flatten()
    return out[0].item(), (out[1:] - out[0]).square().sum().item()

"""Kernel distance between two sets of features (KID, Bińkowski et al. 2018)."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from condense.base.errors import InputError


@dataclass(frozen=True)
class KernelDistance:
    """Mean and population standard deviation over `subsets` draws of `subset_size` images from each set."""

    mean: float
    std: float
    subsets: int
    subset_size: int


def kernel_distance(
    samples: Any, reference: Any, subsets: int = 100, subset_size: int = 1000, seed: int = 2020
) -> KernelDistance:
    """Unbiased squared maximum mean discrepancy of features [n, d], [m, d]; about 0, even below, if alike.

    The kernel is (x·y / d + 1)³. The draws are torch-fidelity's for the same arguments and seed, the sums are
    float64. A set smaller than `subset_size` lowers the size of the draws from both, as the result says.
    """
    samples, reference = torch.as_tensor(samples[:]).detach(), torch.as_tensor(reference[:]).detach()
    if samples.shape[1:] != reference.shape[1:]:
        raise InputError(
            f"features of shape {tuple(samples.shape)} and {tuple(reference.shape)} cannot be compared; "
            "use the same detector for samples and reference."
        )
    size = min(subset_size, len(samples), len(reference))
    if size < 2:
        raise InputError("the kernel distance needs at least two images in each set.")
    random = np.random.RandomState(seed)
    drawn = []
    for _ in range(subsets):
        first = samples[torch.from_numpy(random.choice(len(samples), size, replace=False))]
        second = reference[torch.from_numpy(random.choice(len(reference), size, replace=False))]
        drawn.append(_discrepancy(first.double(), second.double()))
    distances = torch.stack(drawn).cpu()
    if not distances.isfinite().all():
        raise InputError("features hold a value that is not finite or too large; look for broken images.")
    return KernelDistance(distances.mean().item(), distances.std(correction=0).item(), subsets, size)


def _discrepancy(first: Tensor, second: Tensor) -> Tensor:
    """Estimate the squared discrepancy of two draws [m, d]; a draw's pairs leave out an image with itself."""
    within = _kernel_sum_of_pairs(first) + _kernel_sum_of_pairs(second)
    count = len(first)
    return within / (count * (count - 1)) - 2 * _kernel(first, second).sum() / count**2


def _kernel_sum_of_pairs(features: Tensor) -> Tensor:
    kernel = _kernel(features, features)
    return kernel.sum() - kernel.diagonal().sum()


def _kernel(first: Tensor, second: Tensor) -> Tensor:
    return (first @ second.T).div_(first.shape[1]).add_(1).pow_(3)

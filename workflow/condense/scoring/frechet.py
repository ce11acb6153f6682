"""Fréchet distance between two sets of features, each taken for a Gaussian (FID, sFID, FD-DINOv2).

A covariance is kept as a factor F with F Fᵀ = covariance. The trace of the square root of the product of
two covariances is then the sum of the singular values of F₁ᵀF₂, which needs no matrix square root, stays
exact where a covariance lacks full rank, and is small where there are fewer images than dimensions.
"""

from collections.abc import Iterable
from typing import Any

import torch

from condense.base.errors import InputError
from condense.base.gaussian import ROWS, Gaussian, Moments, as_double, require_finite


def fit(features: Any) -> Gaussian:
    """Gaussian of features [n, d]: a tensor, an array, or anything sliced like one (an open HDF5 dataset)."""
    if len(features.shape) != 2 or features.shape[0] > features.shape[1]:
        return accumulate(features[start : start + ROWS] for start in range(0, features.shape[0], ROWS))
    if len(features) < 2:
        raise InputError(f"a covariance needs at least two images, not {len(features)}.")
    rows = as_double(features[:])
    require_finite(rows)
    mean = rows.mean(0)
    return Gaussian(mean, (rows - mean).T / (len(rows) - 1) ** 0.5, len(rows))


def accumulate(batches: Iterable[Any]) -> Gaussian:
    """Gaussian of features that arrive in batches [n, d]."""
    moments = Moments()
    for batch in batches:
        moments.add(batch)
    return moments.gaussian()


def frechet_distance(first: Gaussian, second: Gaussian) -> float:
    """Squared Fréchet distance |m₁ - m₂|² + tr(C₁ + C₂ - 2 (C₁C₂)^½) of two Gaussians (Heusel et al. 2017).

    Symmetric, never negative and finite, also where covariances lack full rank.
    """
    if first.mean.shape != second.mean.shape:
        raise InputError(
            f"features of {len(first.mean)} and of {len(second.mean)} dimensions cannot be compared; "
            "use the same detector for samples and reference."
        )
    overlap = torch.linalg.svdvals(first.factor.T.cpu() @ second.factor.cpu()).sum()
    spread = first.factor.square().sum().cpu() + second.factor.square().sum().cpu()
    shift = (first.mean.cpu() - second.mean.cpu()).square().sum()
    return max(0.0, float(shift + spread - 2 * overlap))

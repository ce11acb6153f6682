"""Mean and covariance of features, summed over batches or read back from stored statistics."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from condense.base.arithmetic import square_root
from condense.base.errors import InputError

ROWS = 4096  # features read and widened to float64 at a time
COLUMNS = 512  # width of a strip of the covariance; only strips on and above the diagonal are multiplied


@dataclass(frozen=True)
class Gaussian:
    """Mean [d] and covariance factor [d, r] (covariance = factor @ factor.T), float64, of `count` images."""

    mean: Tensor
    factor: Tensor
    count: int | None = None

    @property
    def covariance(self) -> Tensor:
        """Covariance [d, d]."""
        return self.factor @ self.factor.T

    def arrays(self, prefix: str = "") -> dict[str, np.ndarray]:
        """Mean [d] and covariance [d, d] under the names that files give them, from whichever device."""
        return {
            f"{prefix}mean": self.mean.cpu().numpy(),
            f"{prefix}covariance": self.covariance.cpu().numpy(),
        }

    @classmethod
    def of(cls, mean: Any, covariance: Any, count: int | None = None) -> "Gaussian":
        """Build from stored statistics: mean [d] and symmetric covariance [d, d], arrays or tensors."""
        mean, covariance = as_double(mean), as_double(covariance)
        if mean.ndim != 1 or covariance.shape != (len(mean), len(mean)):
            raise InputError(
                f"statistics have a mean of shape {tuple(mean.shape)} and a covariance of shape "
                f"{tuple(covariance.shape)}; [d] and [d, d] are needed."
            )
        require_finite(mean)
        require_finite(covariance)
        return cls(mean, _factorise(covariance), count)


class Moments:
    """Mean and unbiased covariance of features that arrive in batches, in float64.

    Batches are merged by their means and centred products (Chan, Golub and LeVeque 1983), so that neither the
    batch size nor a large common offset shows in the result.
    """

    def __init__(self) -> None:
        self.count = 0
        self.mean: Tensor | None = None
        self.scatter: Tensor | None = None

    def add(self, features: Any) -> None:
        """Take in a batch [n, d]."""
        batch = as_double(features)
        if batch.ndim != 2:
            raise InputError(f"features have shape {tuple(batch.shape)}; [images, dimensions] is needed.")
        if not len(batch):
            return
        require_finite(batch)
        mean = batch.mean(0)
        if self.mean is None:
            self.mean, self.scatter = torch.zeros_like(mean), mean.new_zeros(len(mean), len(mean))
        if len(mean) != len(self.mean):
            raise InputError(f"features have {len(mean)} dimensions after {len(self.mean)} before.")
        difference, total = mean - self.mean, self.count + len(batch)
        _add_products(self.scatter, batch - mean)
        self.scatter += torch.outer(difference, difference) * (self.count * len(batch) / total)
        self.mean = self.mean + difference * (len(batch) / total)
        self.count = total

    def gaussian(self) -> Gaussian:
        """Close the sums; needs two images."""
        if self.count < 2:
            raise InputError(f"a covariance needs at least two images, not {self.count}.")
        return Gaussian(self.mean, _factorise(self.scatter / (self.count - 1)), self.count)


def _add_products(scatter: Tensor, centred: Tensor) -> None:
    """Add centred.T @ centred [d, d] to `scatter`, multiplying little more than one triangle."""
    for start in range(0, centred.shape[1], COLUMNS):
        stop = start + COLUMNS
        strip = centred[:, start:stop].T @ centred[:, start:]
        scatter[start:stop, start:] += strip
        scatter[stop:, start:stop] += strip[:, COLUMNS:].T


def _factorise(covariance: Tensor) -> Tensor:
    """Return F [d, r] with F Fᵀ = covariance: Cholesky's, or the eigenvectors' where rank is lacking."""
    noise = len(covariance) * torch.finfo(covariance.dtype).eps
    factor, failed = torch.linalg.cholesky_ex(covariance)
    pivots = factor.diagonal().square()
    if not failed and pivots.min() > noise * pivots.max():
        return factor
    values, vectors = torch.linalg.eigh(covariance)
    # The square root would turn rounding errors of 1e-16 in zero eigenvalues into deviations of 1e-8.
    kept = values > noise * values[-1].clamp_min(0)
    return vectors[:, kept] * square_root(values[kept])


def as_double(values: Any) -> Tensor:
    """Values as a float64 tensor without a graph."""
    return torch.as_tensor(values).detach().to(torch.float64)


def require_finite(values: Tensor) -> None:
    """Raise InputError where a value is not finite."""
    if not values.isfinite().all():
        raise InputError("features or statistics hold a value that is not finite; look for broken images.")

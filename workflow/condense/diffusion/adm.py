"""ADM diffusion: 1000 linear betas, predicted noise and learned variances (Nichol and Dhariwal 2021).

The network's output [b, 2c, h, w] is the noise, then where log variances lie between their bounds (-1 to 1).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import accumulate

import torch
from torch import Tensor

from condense.base.errors import InputError

TIMES = 1000
Predict = Callable[[Tensor, Tensor], Tensor]  # network: x [b, c, h, w], t [b] -> output


def draw_times(count: int, generator: torch.Generator) -> Tensor:
    """Uniform times [count] in 0..999, on the generator's device."""
    return torch.randint(TIMES, (count,), generator=generator, device=generator.device)


def time_at(share: float) -> int:
    """Time at a share of the way from image (0) to noise (1)."""
    return int(share * TIMES)


def errors(predict: Predict, clean: Tensor, t: Tensor, noise: Tensor) -> Tensor:
    """Squared error [b] of the predicted noise for images [b, c, h, w] at times [b] in 0..999."""
    predicted, _ = predict(diffuse(clean, t, noise), t).chunk(2, 1)
    return (predicted - noise).square().flatten(1).mean(1)


def losses(predict: Predict, clean: Tensor, t: Tensor, noise: Tensor) -> Tensor:
    """Loss [b] of each image [b, c, h, w] at times [b] in 0..999: squared error + variational bound."""
    mse, bound = loss_terms(predict(diffuse(clean, t, noise), t), clean, t, noise)
    return mse + bound


def diffuse(clean: Tensor, t: Tensor, noise: Tensor) -> Tensor:
    """Noisy images [b, c, h, w] at times t [b]."""
    signal, deviation, *_ = _at(t, clean)
    return torch.addcmul(signal * clean, deviation, noise)


def loss_terms(output: Tensor, clean: Tensor, t: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """Squared error of the noise [b] and variational bound in bits per dimension [b].

    PAPER: Nichol and Dhariwal 2021, eq. 16; the bound trains the variances alone. The means of posterior and
    model differ by a multiple of the error of noise; the divergence is (d - 1 + (1 + r error^2) exp(-d)) / 2
    with d the log ratio of the model's variance to the posterior's.
    """
    predicted, position = output.chunk(2, 1)
    error = predicted - noise
    mse = error.square().flatten(1).mean(1)
    _, _, width, ratio = _at(t, clean)
    error = error.detach()
    excess = (position + 1) * (0.5 * width)
    shrunk = torch.expm1(-excess)
    divergence = 0.5 * (excess + shrunk + ratio * error.square() * (shrunk + 1))
    first = chain(TIMES)[0]
    likelihood = discretised_log_likelihood(
        clean,
        error * math.sqrt(1 / first.cumulative - 1),
        0.5 * (excess + math.log(first.floor)),
    )
    bound = torch.where((t == 0)[:, None, None, None], -likelihood, divergence)
    return mse, bound.flatten(1).mean(1) / math.log(2)


def discretised_log_likelihood(x: Tensor, deviation: Tensor, log_scale: Tensor) -> Tensor:
    """Log probability of the bin of x, one of 256 over [-1, 1], under a normal.

    Args:
        x: Centres of the bins; the outermost bins reach to infinity.
        deviation: x minus the mean of the normal.
        log_scale: Log standard deviation of the normal.
    """
    inverse = torch.exp(-log_scale)
    upper = _normal_cdf((deviation + 1 / 255) * inverse)
    lower = _normal_cdf((deviation - 1 / 255) * inverse)
    upper = torch.where(x > 0.999, 1, upper)
    lower = torch.where(x < -0.999, 0, lower)
    return (upper - lower).clamp(min=1e-12).log()


def _normal_cdf(x: Tensor) -> Tensor:
    # RELEASE: the reference approximates the normal distribution function to 3e-4 by a hyperbolic tangent
    return 0.5 * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


@dataclass(frozen=True)
class Step:
    """One step of a chain from noise to image."""

    time: int  # what the network is told
    beta: float
    cumulative: float  # squared share of the image at this step
    previous: float  # the same one step closer to the image
    floor: float  # variance of the posterior, the lower bound of the model's

    def clean(self, x: Tensor, predicted: Tensor) -> Tensor:
        """Estimate of the image given predicted noise."""
        return (x - math.sqrt(1 - self.cumulative) * predicted) / math.sqrt(self.cumulative)

    def mean(self, x: Tensor, predicted: Tensor) -> Tensor:
        """Mean one step closer to the image."""
        return (x - self.beta / math.sqrt(1 - self.cumulative) * predicted) / math.sqrt(1 - self.beta)

    def log_variance(self, position: Tensor) -> Tensor:
        """Log variance at positions -1 (posterior) to 1 (beta) of the range."""
        low, high = math.log(self.floor), math.log(self.beta)
        return position * ((high - low) / 2) + (high + low) / 2


@cache
def chain(steps: int) -> tuple[Step, ...]:
    """Chain respaced to `steps` times, from the image outwards (Nichol and Dhariwal 2021, sec. 4)."""
    if not 2 <= steps <= TIMES:
        raise InputError(f"sampling.steps is {steps}; a diffusion chain has 2 to {TIMES} steps.")
    betas = torch.linspace(1e-4, 0.02, TIMES, dtype=torch.float64)
    times = spaced_times(steps)
    cumulative = (1 - betas).cumprod(0)[times].tolist()
    previous = [1.0, *cumulative[:-1]]
    beta = [1 - now / before for now, before in zip(cumulative, previous, strict=True)]
    floor = [b * (1 - p) / (1 - c) for b, p, c in zip(beta, previous, cumulative, strict=True)]
    floor[0] = floor[1]  # the posterior of the last step has no variance
    return tuple(Step(*values) for values in zip(times, beta, cumulative, previous, floor, strict=True))


def spaced_times(steps: int) -> list[int]:
    """Times 0 to 999, as evenly spaced as whole numbers can be."""
    stride = (TIMES - 1) / (steps - 1)
    # RELEASE: a running sum, not a product: its rounding decides what 499.5 becomes
    return [round(time) for time in accumulate([stride] * (steps - 1), initial=0.0)]


def ddpm(predict: Predict, x: Tensor, steps: int, noise: Callable[[int], Tensor]) -> Tensor:
    """Ancestral sampling (Ho et al. 2020) with learned variances, from noise x [b, c, h, w] to images."""
    for i, step in reversed(list(enumerate(chain(steps)))):
        predicted, position = _predict(predict, x, step.time).chunk(2, 1)
        x = step.mean(x, predicted)
        if i:
            x = torch.addcmul(x, (0.5 * step.log_variance(position)).exp(), noise(i))
    return x


def ddim(predict: Predict, x: Tensor, steps: int, noise: Callable[[int], Tensor] | None = None) -> Tensor:
    """Deterministic sampling (Song et al. 2021), from noise x [b, c, h, w] to images; draws no noise."""
    for step in reversed(chain(steps)):
        predicted = _predict(predict, x, step.time)[:, : x.shape[1]]
        x = math.sqrt(step.previous) * step.clean(x, predicted) + math.sqrt(1 - step.previous) * predicted
    return x


def _predict(predict: Predict, x: Tensor, time: int) -> Tensor:
    return predict(x, torch.full((len(x),), time, device=x.device)).to(x.dtype)


def _at(t: Tensor, like: Tensor) -> tuple[Tensor, ...]:
    """Rows of `_table` for times [b], each [b, 1, 1, 1] in the type of `like`."""
    return _table(t.device)[t].to(like.dtype)[..., None, None, None].unbind(1)


@cache
def _table(device: torch.device) -> Tensor:
    """[1000, 4]: shares of image and of noise, log ratio of the variance's bounds, r of `loss_terms`."""
    rows = [
        (
            math.sqrt(step.cumulative),
            math.sqrt(1 - step.cumulative),
            math.log(step.beta / step.floor),
            step.beta**2 / ((1 - step.beta) * (1 - step.cumulative) * step.floor),
        )
        for step in chain(TIMES)
    ]
    return torch.tensor(rows, dtype=torch.float64, device=device)

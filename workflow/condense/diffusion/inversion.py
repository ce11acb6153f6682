"""Steps of ADM diffusion's unspaced chain for a batch of times, towards the image and back to the noise.

Times t [b] are 0 to 999; images x and predicted noises [b, c, h, w]. Nothing is clipped unless it says so.
"""

from functools import cache
from itertools import pairwise

import torch
from torch import Tensor

from condense.diffusion.adm import TIMES, Predict, chain, spaced_times


def estimate_clean(x: Tensor, predicted: Tensor, t: Tensor) -> Tensor:
    """Estimate of the images that x at times t are made of."""
    return _clean(x, predicted, _shares(t, x))


def step_to_image(x: Tensor, predicted: Tensor, t: Tensor) -> Tensor:
    """Mean of the posterior of x at t - 1, given the estimate of the image (Ho et al. 2020, eq. 7)."""
    now, before = _shares(t, x), _shares(t - 1, x)
    beta = 1 - now / before
    mean = (x.to(now) - beta / (1 - now).sqrt() * predicted.to(now)) / (1 - beta).sqrt()
    return mean.to(x.dtype)


def step_to_noise(x: Tensor, predicted: Tensor, t: Tensor, following: Tensor, clip: bool = False) -> Tensor:
    """Deterministic step of x from times t to the noisier `following` (Song et al. 2021).

    After the last time, 999, nothing of the image is left. With `clip` the estimate of the image is held to
    [-1, 1] and the noise is what the rest of x must be.
    """
    now, then = _shares(t, x), _shares(following, x)
    clean = _clean(x, predicted, now)
    if clip:
        clean = clean.clamp(-1, 1)
        predicted = (x.to(now) - now.sqrt() * clean.to(now)) / (1 - now).sqrt()
    return (then.sqrt() * clean.to(now) + (1 - then).sqrt() * predicted.to(now)).to(x.dtype)


def invert(predict: Predict, clean: Tensor, steps: int, until: Tensor) -> Tensor:
    """Deterministic inversion of images to the last of `steps` respaced times that is at most `until` [b].

    Every image is stepped by the same evaluations of the network, and left where it has arrived; one whose
    `until` is below 0 stays as it is.
    """
    x, times = clean, spaced_times(steps)
    for time, following in pairwise(times):
        t = torch.full_like(until, time)
        stepped = step_to_noise(x, predict(x, t), t, torch.full_like(until, following))
        x = torch.where((until >= following)[:, None, None, None], stepped, x)
    return x


def _clean(x: Tensor, predicted: Tensor, share: Tensor) -> Tensor:
    """Estimate of the image where its squared share is [b, 1, 1, 1]."""
    return ((x.to(share) - (1 - share).sqrt() * predicted.to(share)) / share.sqrt()).to(x.dtype)


def _shares(t: Tensor, like: Tensor) -> Tensor:
    """Squared share of the image [b, 1, 1, 1] at times -1 (1) to 1000 (0)."""
    return _table(like.device)[t + 1][:, None, None, None]


@cache
def _table(device: torch.device) -> Tensor:
    shares = [step.cumulative for step in chain(TIMES)]
    return torch.tensor([1.0, *shares, 0.0], dtype=torch.float64, device=device)

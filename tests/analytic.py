"""A generator that needs no training: the exact denoiser of narrow Gaussians around the images of each class.

For an image x of signal r and deviation sqrt(1 - r^2) of noise, v = r^2 h^2 + 1 - r^2 and k = r h^2 / v, the
expected clean image is (1 - k r) sum_i w_i x_i + k x over the images x_i of the class, the null class being
all of them, with weights w_i proportional to exp(-|x - r x_i|^2 / 2 v).
"""

import math

import torch
from torch import Tensor

from condense.diffusion import adm
from condense.synthesis.chain import Chain

WIDTH = 0.08  # h, deviation of each Gaussian


class Mixture:
    """Network of such a generator: (x [b, c, h, w], t [b], labels [b]) -> noise and variances [b, 2c, h, w].

    Variances are those of the posterior, the lower end of the range. `images` are [n, c, h, w] of `labels`
    [n]; each image of a batch is computed alike in a batch of any size.
    """

    def __init__(self, images: Tensor, labels: Tensor, width: float = WIDTH) -> None:
        self.classes, self.width = int(labels.max()) + 1, width
        self.points = [images[labels == label].flatten(1) for label in range(self.classes)]
        self.points.append(images.flatten(1))

    def __call__(self, x: Tensor, t: Tensor, labels: Tensor, text: None = None) -> Tensor:
        """Noise and variances; differentiable in x."""
        pairs = zip(x, t.tolist(), labels.tolist(), strict=True)
        noise = torch.stack([self._noise(one, time, self.points[label].to(x)) for one, time, label in pairs])
        return torch.cat([noise, torch.full_like(noise, -1)], 1)

    def _noise(self, x: Tensor, time: int, points: Tensor) -> Tensor:
        share = adm.chain(adm.TIMES)[time].cumulative
        signal, variance = math.sqrt(share), share * self.width**2 + 1 - share
        kept = signal * self.width**2 / variance
        distance = (x.flatten() - signal * points).square().sum(1)
        weight = torch.softmax(-distance / (2 * variance), 0)
        clean = (1 - kept * signal) * (weight[:, None] * points).sum(0).view_as(x) + kept * x
        return (x - signal * clean) / math.sqrt(1 - share)


class Grey:
    """Decoder of grey images that are their own latents: [b, 1, h, w] -> [b, 3, h, w]."""

    def decode(self, latents: Tensor) -> Tensor:
        """Three equal colours."""
        return latents.expand(-1, 3, -1, -1)


def digits(dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    """Scikit-learn's digits [1797, 1, 8, 8] in [-1, 1], and their labels [1797]."""
    from sklearn.datasets import load_digits

    found = load_digits()
    images = torch.from_numpy(found.images).to(dtype)[:, None] / 8 - 1
    return images, torch.from_numpy(found.target)


def digits_chain(images: Tensor, labels: Tensor, **settings: object) -> Chain:
    """Chain of a generator of such images, without classifier-free guidance unless `settings` say so."""
    own = {"guidance": 1.0, "guided_channels": None} | settings
    return Chain(Mixture(images, labels), tuple(images.shape[1:]), Grey(), torch.device("cpu"), **own)

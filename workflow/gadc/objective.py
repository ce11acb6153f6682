"""The objective of GADC (sec. 3): transport + alpha * statistics + beta * confidence, for a batch of classes.

`Objective.terms` is the definition, in float64. `Objective.extend` gives "shared images + one candidate" for
every candidate, fast and to float32 accuracy; `Objective.best` uses it to discard candidates and the
definition to decide, so that precision, batch size, threads and device do not change a decision.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from gadc.errors import InputError
from gadc.settings import Gadc
from gadc.transport import Transport, squared_distances

TIE = 1e-9  # objectives within this relative margin are equal, and the lower index is taken
ERROR = {torch.float32: 2e-5, torch.float64: 1e-10}  # relative error that `extend` stays below
ELEMENTS = {"cpu": 2**19, "cuda": 2**27}  # of a temporary tensor


class Terms(NamedTuple):
    """Unweighted terms of the objective and the mass shipped, each [b] and float64."""

    transport: Tensor
    statistics: Tensor
    confidence: Tensor
    mass: Tensor


class Objective:
    """The objective of the subsets of several classes that have the same number of images."""

    def __init__(self, features: Tensor, surprise: Tensor | None, settings: Gadc):
        """Take features [classes, n, d] and -log p(own class | image) [classes, n], needed where beta > 0."""
        _check(features, surprise, settings)
        exact = features.to(torch.float64)
        self.settings, self.device = settings, features.device
        self.precision = getattr(torch, settings.precision)
        self.exact = exact - exact.mean(1, keepdim=True)  # the class mean is 0 from here on
        self.features = self.exact.to(self.precision)
        self.std = _std(self.exact)
        self.surprise = surprise.to(torch.float64) if settings.beta > 0 else torch.zeros_like(exact[..., 0])
        self.transport = self._transport() if settings.transport else None

    def _transport(self) -> Transport:
        chosen, cost = self.settings, squared_distances(self.exact)
        self.median = _typical(cost)
        unit = self.median if chosen.epsilon_unit == "median" else torch.ones_like(self.median)
        return Transport(
            cost, chosen.epsilon * unit, chosen.capacity, chosen.iterations, chosen.tolerance, self.precision
        )

    @property
    def scale(self) -> Tensor:
        """Median cost over epsilon [classes]; NaN where there is no transport."""
        if self.transport is None:
            return self.std.new_full((len(self.std),), torch.nan)
        return self.median / self.transport.epsilon

    def terms(self, classes: Tensor, subsets: Tensor) -> Terms:
        """Terms of subsets [b, m] of the classes [b], by definition."""
        parts = []
        room = max(1, ELEMENTS[self.device.type] * 4 // (subsets.shape[1] * max(self.exact.shape[1:])))
        for some, chosen in zip(classes.split(room), subsets.split(room), strict=True):
            images = self.exact[some[:, None], chosen]
            mean, std = images.mean(1), _std(images)
            statistics = self._statistics(mean.square().sum(1), std - self.std[some])
            confidence = self.surprise[some[:, None], chosen].mean(1)
            plan = (
                self.transport.solve(some, chosen) if self.transport else (torch.zeros_like(confidence),) * 2
            )
            parts.append(Terms(plan[0], statistics, confidence, plan[1]))
        return Terms(*map(torch.cat, zip(*parts, strict=True)))

    def total(self, terms: Terms) -> Tensor:
        """Weighted sum of the terms [b]."""
        return (
            terms.transport + self.settings.alpha * terms.statistics + self.settings.beta * terms.confidence
        )

    def value(self, classes: Tensor, subsets: Tensor, greedy: bool = False) -> Tensor:
        """Objective of subsets [b, m]; in the greedy stage the last image is the candidate."""
        terms = self.terms(classes, subsets)
        if greedy and self.settings.confidence == "candidate":
            # RELEASE: the greedy stage adds the candidate's confidence alone instead of the subset's mean.
            terms = terms._replace(confidence=self.surprise[classes, subsets[:, -1]])
        return self.total(terms)

    def extend(self, shared: Tensor, greedy: bool = False) -> Tensor:
        """Objective [classes, n] of the shared images [classes, m - 1] with each image; inf for its own."""
        classes, n = self.exact.shape[:2]
        room = max(1, ELEMENTS[self.device.type] // (classes * n))
        blocks = [slice(start, min(start + room, n)) for start in range(0, n, room)]
        values = torch.cat([self._extend(shared, block, greedy) for block in blocks], 1)
        return values.scatter_(1, shared, torch.inf)

    def _extend(self, shared: Tensor, block: slice, greedy: bool) -> Tensor:
        size, surprise = shared.shape[1] + 1, self.surprise[:, block]
        if not (greedy and self.settings.confidence == "candidate"):
            surprise = (surprise + self.surprise.gather(1, shared).sum(1, keepdim=True)) / size
        value = self.settings.beta * surprise
        if self.settings.alpha > 0:
            value += self.settings.alpha * self._extend_statistics(shared, block)
        if self.transport:
            value += self.transport.extend(shared, block)
        return value

    def _extend_statistics(self, shared: Tensor, block: slice) -> Tensor:
        """Update mean and variance of the shared images by each candidate (Welford): O(d) per candidate."""
        size, every = shared.shape[1] + 1, torch.arange(len(shared), device=self.device)[:, None]
        images = self.exact[every, shared]
        mean = images.mean(1, keepdim=True) if size > 1 else torch.zeros_like(self.exact[:, :1])
        scatter = (images - mean).square().sum(1, keepdim=True)
        offset = self.features[:, block] - mean.to(self.precision)
        moved = torch.linalg.vector_norm(torch.add(mean.to(self.precision) * size, offset), dim=2) / size
        if size == 1:
            return self._statistics(moved.square(), -self.std[:, None].expand_as(offset))
        scatter = (scatter / (size - 1)).to(self.precision)
        std = torch.addcmul(scatter, offset, offset, value=1 / size, out=offset).sqrt_()
        return self._statistics(moved.square(), std.sub_(self.std[:, None].to(self.precision)))

    def _statistics(self, mean_gap: Tensor, std_gap: Tensor) -> Tensor:
        """Combine the squared gap of the means [...] and the gaps of the standard deviations [..., d]."""
        if self.settings.statistics == "paper":
            # PAPER: GADC sec. 3.3, |mu_S - mu_T|_2^2 + |sigma_S - sigma_T|_1^2
            return mean_gap + std_gap.abs().sum(-1).square()
        # RELEASE: squared L2 gap of the deviations (diagonal Bures), the mean weighted 1.25
        return 1.25 * mean_gap + torch.linalg.vector_norm(std_gap, dim=-1).square()

    def best(
        self, shared: Tensor, greedy: bool = False, below: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Best image to join each class's shared ones, and the objective with it: [classes] and [classes].

        Where no candidate can be `below` [classes] the value is inf. Ties go to the lower index.
        """
        rough = self.extend(shared, greedy)
        slack = 1 + ERROR[self.precision]
        limit = rough.amin(1) * slack
        if below is not None:
            limit = torch.minimum(limit, below)
        classes, candidates = (rough <= limit[:, None] * slack).nonzero(as_tuple=True)
        exact = torch.full_like(rough, torch.inf, dtype=torch.float64)
        if len(classes):
            subsets = torch.cat([shared[classes], candidates[:, None]], 1)
            exact[classes, candidates] = self.value(classes, subsets, greedy)
        return lowest(exact)


def lowest(values: Tensor) -> tuple[Tensor, Tensor]:
    """Position and value of the smallest entry of each row; of those tied with it the first."""
    least = values.amin(1, keepdim=True)
    first = (values <= least + TIE * least.abs()).int().argmax(1)
    return first, values.gather(1, first[:, None])[:, 0]


def _std(features: Tensor) -> Tensor:
    """Unbiased standard deviation over the images of [b, m, d]; zero for a single image."""
    return features.std(1) if features.shape[1] > 1 else torch.zeros_like(features[:, 0])


def _typical(cost: Tensor) -> Tensor:
    """Median cost between the images of each class; the mean where that is zero, one where all are equal."""
    above, beside = torch.triu_indices(*cost.shape[1:], offset=1, device=cost.device)
    if not len(above):
        return cost.new_ones(len(cost))
    pairs = cost[:, above, beside]
    typical = pairs.median(1).values
    typical = torch.where(typical > 0, typical, pairs.mean(1))
    return torch.where(typical > 0, typical, torch.ones_like(typical))


def _check(features: Tensor, surprise: Tensor | None, settings: Gadc) -> None:
    """Refuse what has no objective."""
    if not torch.isfinite(features).all():
        row = (~torch.isfinite(features)).any(2).nonzero()[0, 1].item()
        raise InputError(
            f"features hold a value that is not finite (image {row} of its class); remove that image."
        )
    for name, least in (("alpha", 0), ("beta", 0), ("capacity", 1)):
        if not getattr(settings, name) >= least:
            raise InputError(f"{name} is {getattr(settings, name)}; it must be at least {least}.")
    if not settings.epsilon > 0:
        raise InputError(f"epsilon is {settings.epsilon}; it must be positive.")
    if settings.beta > 0 and surprise is None:
        raise InputError("the confidence term (beta > 0) needs probabilities; give them, or set beta to 0.")
    if surprise is not None and not ((surprise >= 0) & torch.isfinite(surprise)).all():
        raise InputError("probabilities of the own class must lie in (0, 1].")

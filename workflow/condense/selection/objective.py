"""The objective of GADC (sec. 3): transport + alpha * statistics + beta * confidence, for a batch of classes.

`Objective.terms` is the definition, in float64. `Objective.extend` gives "shared images + one candidate" for
every candidate, fast and to float32 accuracy.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from condense.base.arithmetic import square_root
from condense.config.settings import Gadc
from condense.selection.checks import check
from condense.selection.columns import Whole, own_cost
from condense.transport.extension import EVERY, Places, take_rows
from condense.transport.partial import Transport

ERROR = {torch.float32: 2e-5, torch.float64: 1e-10}  # relative error that `extend` stays below
ELEMENTS = {"cpu": 2**18, "cuda": 2**25}  # of a temporary tensor


class Terms(NamedTuple):
    """Unweighted terms of the objective and the mass shipped, each [b] and float64."""

    transport: Tensor
    statistics: Tensor
    confidence: Tensor
    mass: Tensor


class Objective:
    """The objective of the subsets of several classes that have the same number of images."""

    def __init__(self, features: Tensor, nll: Tensor | None, settings: Gadc, whole: Whole | None = None):
        """Take features [classes, n, d] and -log p(own class | image) [classes, n], needed where beta > 0.

        Of a class that is given as a `whole`, the only one, the n images are some.
        """
        check(features, nll, settings)
        exact = features.to(torch.float64)
        self.settings = settings
        self.device = features.device
        self.precision = getattr(torch, settings.precision)
        self.error = max(ERROR[self.precision], 2 * (settings.tolerance or 0))
        mean = exact.mean(1, keepdim=True) if whole is None else whole.mean
        self.exact = exact - mean  # the class mean is 0 from here on
        self.features = self.exact.to(self.precision)
        self.std = _std(self.exact) if whole is None else whole.std[None]
        self.nll = nll.to(torch.float64) if settings.beta > 0 else torch.zeros_like(exact[..., 0])
        self.transport = self._transport(exact[0], whole) if settings.transport else None
        self.screened: dict[int, float] = {}  # largest error seen in rough costs, by their iterations

    def _transport(self, images: Tensor, whole: Whole | None) -> Transport:
        chosen = self.settings
        cost, self.median, shares = own_cost(self.exact) if whole is None else whole.cost(images)
        unit = self.median if chosen.epsilon_unit == "median" else torch.ones_like(self.median)
        return Transport(
            cost,
            chosen.epsilon * unit,
            chosen.capacity,
            chosen.iterations,
            chosen.tolerance,
            self.precision,
            shares,
        )

    @property
    def scale(self) -> Tensor:
        """Median cost over epsilon [classes]; NaN where there is no transport."""
        if self.transport is None:
            return self.std.new_full((len(self.std),), torch.nan)
        return self.median / self.transport.epsilon

    def warm_start(self, classes: Tensor, subsets: Tensor) -> None:
        """Start `extend` at the solutions of subsets [b, m] of classes [b]; see Transport.warm_start."""
        if self.transport and self.settings.tolerance and subsets.shape[1] and len(classes):
            self.transport.warm_start(self.transport.solve(classes, subsets).potential, classes)

    def terms(self, classes: Tensor, subsets: Tensor) -> Terms:
        """Terms of subsets [b, m] of the classes [b], by definition."""
        parts = []
        room = max(1, ELEMENTS[self.device.type] * 4 // (subsets.shape[1] * max(self.exact.shape[1:])))
        for some, chosen in zip(classes.split(room), subsets.split(room), strict=True):
            images = self.exact[some[:, None], chosen]
            mean, std = images.mean(1), _std(images)
            statistics = self._statistics(mean.square().sum(1), std - self.std[some])
            confidence = self.nll[some[:, None], chosen].mean(1)
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
            terms = terms._replace(confidence=self.nll[classes, subsets[:, -1]])
        return self.total(terms)

    def extend(
        self,
        shared: Tensor,
        candidates: Tensor | None = None,
        greedy: bool = False,
        classes: Places = EVERY,
    ) -> Tensor:
        """Objective [b, k] of each class's shared images [b, m - 1] with each of its candidates [b, k].

        Without candidates, with each of its images: [b, n]. `classes` [b] are ascending, or every one.
        """
        count = self.exact.shape[1] if candidates is None else candidates.shape[1]
        room = self.room(len(shared))
        parts = [slice(start, min(start + room, count)) for start in range(0, count, room)]
        tried = parts if candidates is None else [candidates[:, part] for part in parts]
        return torch.cat([self._extend(shared, some, greedy, classes) for some in tried], 1)

    def room(self, classes: int) -> int:
        """Candidates of each of so many classes that `extend` treats at a time."""
        widest = self.features.shape[2] if self.transport is None else self.transport.cost.shape[2]
        return max(1, ELEMENTS[self.device.type] // (classes * widest))

    def _extend(self, shared: Tensor, candidates: Places, greedy: bool, classes: Places) -> Tensor:
        value = self._extend_cheaply(shared, candidates, greedy, classes)
        if self.transport:
            value += self.transport.extend(shared, candidates, classes)
        return value

    def extend_cheaply(self, shared: Tensor, candidates: Tensor, greedy: bool = False) -> Tensor:
        """All of `extend` but the transport, with candidates [classes, k]."""
        room = max(1, ELEMENTS[self.device.type] // (len(shared) * self.features.shape[2]))
        parts = candidates.split(room, 1)
        return torch.cat([self._extend_cheaply(shared, some, greedy, EVERY) for some in parts], 1)

    def _extend_cheaply(self, shared: Tensor, candidates: Places, greedy: bool, classes: Places) -> Tensor:
        nll = take_rows(self.nll, classes, candidates)
        if not (greedy and self.settings.confidence == "candidate"):
            common = take_rows(self.nll, classes, shared).sum(1, keepdim=True)
            nll = (nll + common) / (shared.shape[1] + 1)
        value = self.settings.beta * nll
        if self.settings.alpha > 0:
            value += self.settings.alpha * self._extend_statistics(shared, candidates, classes)
        return value

    def _extend_statistics(self, shared: Tensor, candidates: Places, classes: Places) -> Tensor:
        """Update mean and variance of the shared images by each candidate (Welford): O(d) per candidate."""
        size = shared.shape[1] + 1
        images = take_rows(self.exact, classes, shared)
        mean = images.mean(1, keepdim=True) if size > 1 else torch.zeros_like(self.exact[classes, :1])
        scatter = (images - mean).square().sum(1, keepdim=True)
        mean, std = mean.to(self.precision), self.std[classes, None].to(self.precision)
        offset = take_rows(self.features, classes, candidates) - mean
        moved = torch.linalg.vector_norm(torch.add(mean * size, offset), dim=2) / size
        if size == 1:
            return self._statistics(moved.square(), -std.expand_as(offset))
        scatter = (scatter / (size - 1)).to(self.precision)
        spread = square_root(torch.addcmul(scatter, offset, offset, value=1 / size, out=offset))
        return self._statistics(moved.square(), spread.sub_(std))

    def _statistics(self, mean_gap: Tensor, std_gap: Tensor) -> Tensor:
        """Combine the squared gap of the means [...] and the gaps of the standard deviations [..., d]."""
        if self.settings.statistics == "paper":
            # PAPER: GADC sec. 3.3, |mu_S - mu_T|_2^2 + |sigma_S - sigma_T|_1^2
            return mean_gap + std_gap.abs().sum(-1).square()
        # RELEASE: squared L2 gap of the deviations (diagonal Bures), the mean weighted 1.25
        return 1.25 * mean_gap + torch.linalg.vector_norm(std_gap, dim=-1).square()


def peak_memory(images: int, dimensions: int) -> int:
    """Bytes that one class takes at most, while its costs and its kernel are computed; most are float64.

    To this a batch adds temporary tensors of `ELEMENTS`, however many classes it has.
    """
    return images * (56 * images + 36 * dimensions)


def _std(features: Tensor) -> Tensor:
    """Unbiased standard deviation over the images of [b, m, d]; zero for a single image."""
    return features.std(1) if features.shape[1] > 1 else torch.zeros_like(features[:, 0])

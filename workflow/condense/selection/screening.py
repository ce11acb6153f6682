"""Which candidates are worth their full cost: rough values of all of them, full ones of the promising.

The statistics and the confidence of a candidate are cheap; its transport is not, and is first had roughly
(see `transport.screen`), in rounds of more and more iterations. How far rough values lie above full ones is
seen on a few candidates spread over the whole ranking, in each call: a candidate is left out only where its
rough value, less twice the most that was seen, is above what matters. On images for which rough values say
little this leaves out few. It decides what a search looks at; the search ends in rounds without it.
"""

import torch
from torch import Tensor

from condense.selection.objective import Objective
from condense.transport.screen import Screen

IMAGES = 2000  # of a class, from which on its candidates are screened; with fewer a full search is quick
CANDIDATES = 96  # at once, from which on it is worth its overhead
ROUNDS = (1, 3, 6)  # iterations of the rough costs
KEPT = (8, 4, 1.5)  # times the wanted number, that each round leaves
TRIED = 24  # of the candidates of a shortlist
SPREAD = 32  # candidates on which the error is seen
SAFETY = 2.0  # times the largest error seen


def is_worth_it(objective: Objective, candidates: int) -> bool:
    """Whether so many candidates of an objective's classes are screened."""
    settings = objective.settings
    fixed = settings.transport and not settings.tolerance and settings.iterations > ROUNDS[-1]
    classes, images, _ = objective.exact.shape
    return fixed and classes == 1 and images >= IMAGES and candidates >= CANDIDATES


def screened(
    objective: Objective,
    shared: Tensor,
    candidates: Tensor,
    greedy: bool,
    against: tuple[Tensor, Tensor] | None,
    wanted: int,
) -> Tensor:
    """Objective [1, k] as of `extend` of the promising candidates [1, k] of one class, inf of the others.

    With one `wanted`, the promising are those that may be the best or below the objective `against` [1] of
    the image [1] that holds the place. With more, or of a shortlist, they are some that seem best. None is a
    shared image.
    """
    rough = _Rough(objective, shared, candidates, greedy, against)
    full = torch.full_like(rough.cheap, torch.inf)

    def complete(places: Tensor) -> None:
        places = places[full[places].isinf()]
        if len(places):
            full[places] = objective.extend(shared, candidates[:, places], greedy)[0]

    places = rough.cheap.isfinite().nonzero()[:, 0]
    few = len(full) < objective.exact.shape[1]
    if wanted > 1 or few:
        for iterations, kept in ((ROUNDS[1], TRIED),) if few else zip(ROUNDS, KEPT, strict=True):
            guess = rough.value(places, iterations)
            places = places[guess.argsort(stable=True)[: int(kept * wanted)]]
        complete(places)
        return full[None]
    guess = rough.value(places, ROUNDS[0])
    ranking = places[guess.argsort(stable=True)]
    seen = ranking[:: max(1, len(ranking) // min(SPREAD, len(ranking) // 16))]
    complete(seen)
    limit = full[seen].amin() if against is None else torch.minimum(full[seen].amin(), against[1][0])
    for iterations in ROUNDS:
        if iterations != ROUNDS[0]:
            guess = rough.value(places, iterations)
        above = (rough.value(seen, iterations) - full[seen]).amax().item()
        above = objective.screened[iterations] = max(above, objective.screened.get(iterations, 0.0))
        places = places[guess - SAFETY * above <= limit * (1 + objective.error)]
    complete(places)
    return full[None]


class _Rough:
    """Rough objectives of the subsets of one class that differ in one image."""

    def __init__(
        self,
        objective: Objective,
        shared: Tensor,
        candidates: Tensor,
        greedy: bool,
        against: tuple[Tensor, Tensor] | None,
    ):
        self.candidates, self.room = candidates, objective.room(1)
        self.cheap = objective.extend_cheaply(shared, candidates, greedy)[0]
        self.cheap.masked_fill_((candidates[0, :, None] == shared[0]).any(1), torch.inf)
        reference = candidates[:, self.cheap.argmin(), None] if against is None else against[0][:, None]
        self.screen = Screen(objective.transport, shared, reference)

    def value(self, places: Tensor, iterations: int) -> Tensor:
        """Value [k] of the candidates at some places [k]; -inf where it is out of range."""
        if not len(places):
            return self.cheap[:0]
        parts = [self.screen.extend(self.candidates[:, at], iterations)[0] for at in places.split(self.room)]
        return (self.cheap[places] + torch.cat(parts)).nan_to_num_(-torch.inf)

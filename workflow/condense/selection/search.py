"""Greedy construction and exchange (GADC sec. 3.4) for a batch of classes of equal size.

An exchange ends in a 1-swap optimum. Such optima differ by several per cent, so `exchange` compares a few
of them by variable neighbourhood search (Mladenović & Hansen 1997): disturb the best subset, exchange again,
keep the better one, and disturb more after each failure. On the way a position tries the shortlist of when
all candidates were last tried there; the last descent tries all.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from condense.base.errors import InputError
from condense.base.precision import full_precision
from condense.base.seeds import stream
from condense.config.settings import Gadc
from condense.selection.best import SHORTLIST, TIE, best_candidate, lowest
from condense.selection.objective import Objective, Terms
from condense.selection.screening import is_worth_it

DISTURBED = 2  # images that a restart replaces, and one more after each that found nothing better
RELEASED_MARGIN = 1e-8  # RELEASE: a swap is accepted when it lowers the objective by more than this


@dataclass
class Exchange:
    """Where the exchange of each class ended."""

    subsets: Tensor  # [classes, m]
    value: Tensor  # [classes], objective
    swaps: Tensor  # [classes], accepted
    passes: Tensor  # [classes], over all positions
    optimal: Tensor  # [classes], whether no single swap lowers the objective
    history: list[Tensor]  # objective [classes] before the first swap and after each round


@dataclass
class Selection:
    """Subsets of one budget for a batch of classes, ranked, and how they came about."""

    end: Exchange
    terms: Terms  # each [classes]
    greedy: Tensor  # [classes], objective before the exchange
    scale: Tensor  # [classes], median cost over epsilon
    path: Tensor  # [classes, budget], objective after each image that was added greedily


@full_precision()
def condense(
    features: Tensor, nll: Tensor | None, budgets: Sequence[int], settings: Gadc
) -> dict[int, Selection]:
    """Choose subsets of each budget from each class of [classes, n, d] features.

    `nll` is -log p(own class | image) [classes, n], needed where beta > 0. The greedy path is computed
    once for all budgets. Raises InputError for a budget that is not in 1..n, and for features or settings
    without an objective.
    """
    for budget in budgets:
        if not 1 <= budget <= features.shape[1]:
            raise InputError(
                f"budget {budget} is not between 1 and the {features.shape[1]} images of a class."
            )
    objective = Objective(features, nll, settings)
    path = greedy(objective, max(budgets))
    every = torch.arange(len(path), device=path.device)
    sizes = range(1, max(budgets) + 1)
    values = torch.stack([objective.value(every, path[:, :size]) for size in sizes], 1)
    chosen = {}
    for budget in budgets:
        start = path[:, :budget]
        if settings.exchange == "optimal":
            end = exchange(objective, start, settings.restarts)
        else:
            end = exchange_as_released(
                objective, start, settings.swaps if settings.exchange == "released" else 0
            )
        terms = objective.terms(every, end.subsets)
        chosen[budget] = Selection(end, terms, end.history[0], objective.scale, values[:, :budget])
    return chosen


def greedy(objective: Objective, budget: int) -> Tensor:
    """Add the image that lowers the objective most until there are `budget`: [classes, budget], in order.

    The first t images are the greedy subset of size t, so that one path serves every budget.
    """
    path = torch.empty(len(objective.exact), 0, dtype=torch.long, device=objective.device)
    every = torch.arange(len(path), device=path.device)
    for _ in range(budget):
        objective.warm_start(every, path)
        path = torch.cat([path, best_candidate(objective, path, greedy=True, screen=1).image[:, None]], 1)
        objective.screened.clear()
    return path


def exchange(objective: Objective, subsets: Tensor, restarts: int = 0, certain: bool = True) -> Exchange:
    """Exchange until no single swap lowers the objective (by more than the relative margin of a tie).

    `restarts` is how many times the best subset so far is disturbed and exchanged again. Unless it is to be
    `certain`, the last rounds are screened, where that is worth it.
    """
    objective.screened.clear()  # smaller subsets had larger errors
    state = _begin(objective, subsets)
    shortlists: dict[int, Tensor] = {}
    _descend(objective, state, shortlists, screen=True)
    disturbed = torch.full_like(state.swaps, DISTURBED)
    for number in range(restarts):
        # drawn anew, because classes of a batch use up different numbers of draws
        draws = stream("exchange", number)
        trial = _begin(objective, _disturb(state.subsets, disturbed, shortlists, draws))
        _descend(objective, trial, shortlists, screen=True)
        state.passes += trial.passes
        better = trial.value < state.value - TIE * state.value.abs()
        disturbed = torch.where(better, DISTURBED, disturbed + 1)
        state.subsets = torch.where(better[:, None], trial.subsets, state.subsets)
        state.value = torch.where(better, trial.value, state.value)
        state.swaps += torch.where(better, trial.swaps, 0)
        state.history.append(state.value)
    screens = is_worth_it(objective, objective.exact.shape[1])
    if screens:
        _descend(objective, state, screen=True)  # leaves less to do, and not always nothing
    if certain or not screens:
        _descend(objective, state)
    state.optimal[:] = certain
    return state


def _descend(
    objective: Objective,
    state: Exchange,
    shortlists: dict[int, Tensor] | None = None,
    screen: bool = False,
) -> None:
    """Give each position in turn its best image until a whole round of positions finds no improvement.

    With `shortlists` by position only those are tried; positions that have none yet are filled in. Candidates
    may be screened: then the last round need not have seen every improvement.
    """
    size = state.subsets.shape[1]
    idle = torch.zeros_like(state.swaps)  # positions since the last improvement
    active = torch.arange(len(idle), device=idle.device)  # classes that are not done
    step = 0
    objective.warm_start(active, state.subsets)
    while len(active):
        position = step % size
        state.passes[active] += position == 0
        shared, against = _without(state, active, position)
        shortlist = None if shortlists is None else shortlists.get(position)
        whole = shortlist is None or shortlist.shape[1] == objective.exact.shape[1]
        candidates = None if whole else shortlist[active]
        missing = shortlists is not None and shortlist is None
        wanted = SHORTLIST if missing else 1
        best = best_candidate(
            objective,
            shared,
            against=against,
            candidates=candidates,
            classes=active,
            screen=wanted if screen else 0,
        )
        if missing:
            shortlists[position] = best.shortlist  # of every class: none is done in the first round
        better = best.value < against[1] - TIE * against[1].abs()
        rows = better.nonzero()[:, 0]
        swapped = active[rows]
        _accept(state, swapped, position, best.image[rows], best.value[rows])
        objective.warm_start(swapped, state.subsets[swapped])
        idle[active] = torch.where(better, 1, idle[active] + 1)
        active = (idle < size).nonzero()[:, 0]
        step += 1
    state.history.append(state.value.clone())


def _disturb(subsets: Tensor, count: Tensor, shortlists: dict[int, Tensor], draws: torch.Generator) -> Tensor:
    """Replace `count` [classes] images, at random positions, by random ones of the shortlists there."""
    disturbed = subsets.clone()
    positions = torch.randperm(subsets.shape[1], generator=draws)[: int(count.max())]
    for number, position in enumerate(positions.tolist()):
        offered = shortlists[position]
        offered = offered[:, torch.randperm(offered.shape[1], generator=draws).to(offered.device)]
        free = ~(offered[:, :, None] == disturbed[:, None]).any(2)
        drawn = offered.gather(1, free.int().argmax(1, keepdim=True))[:, 0]
        swapped = free.any(1) & (number < count)
        disturbed[:, position] = torch.where(swapped, drawn, disturbed[:, position])
    return disturbed


def exchange_as_released(objective: Objective, subsets: Tensor, swaps: int = 30) -> Exchange:
    """Make the single best swap of all positions and images, at most `swaps` times."""
    state = _begin(objective, subsets)
    active = torch.arange(len(subsets), device=subsets.device)  # classes that the last swap improved
    while len(state.history) <= swaps and len(active):
        tries = []
        for position in range(subsets.shape[1]):
            shared, against = _without(state, active, position)
            tries.append(best_candidate(objective, shared, against=against, classes=active))
        images = torch.stack([best.image for best in tries], 1)
        position, value = lowest(torch.stack([best.value for best in tries], 1))
        better = value < state.value[active] - RELEASED_MARGIN
        state.passes[active] += 1
        state.optimal[active] = ~better
        image = images.gather(1, position[:, None])[:, 0]
        rows = better.nonzero()[:, 0]
        active = active[rows]
        _accept(state, active, position[rows], image[rows], value[rows])
        if len(active):
            state.history.append(state.value.clone())
    return state


def _begin(objective: Objective, subsets: Tensor) -> Exchange:
    every = torch.arange(len(subsets), device=subsets.device)
    value = objective.value(every, subsets)
    none = torch.zeros_like(every)
    return Exchange(subsets.clone(), value, none.clone(), none.clone(), none.bool(), [value.clone()])


def _accept(state: Exchange, classes: Tensor, position: Tensor | int, image: Tensor, value: Tensor) -> None:
    """Put an image [b] at a position of the subsets of classes [b]."""
    state.subsets[classes, position] = image
    state.value[classes] = value
    state.swaps[classes] += 1


def _without(state: Exchange, classes: Tensor, position: int) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Subsets [b, m - 1] of classes [b] without the image at a position; that image and the objective [b]."""
    subsets = state.subsets[classes]
    shared = torch.cat([subsets[:, :position], subsets[:, position + 1 :]], 1)
    return shared, (subsets[:, position], state.value[classes])

"""GADC on a class whose images are too many to be transported onto one by one: memory grows linearly.

The class stands for itself by weighted representatives as columns; its statistics are those of all images. A
class of at most `LARGE` images is searched whole. Of a larger one some drawn images are, and rounds bring in
those of all its images that seem best at the positions of the subset found so far: every image is screened
for every position by one iteration of its transport (see `transport.screen`), tile by tile in float64. At
the end the objective of the chosen subset is computed by definition, against all images as columns.
"""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from condense.base.precision import full_precision
from condense.base.seeds import stream
from condense.config.settings import Gadc
from condense.selection.columns import Whole
from condense.selection.image_class import ImageClass
from condense.selection.objective import Objective, Terms
from condense.selection.representatives import represent
from condense.selection.search import Exchange, Selection, exchange, exchange_as_released, greedy
from condense.transport.partial import solve
from condense.transport.screen import Screen

LARGE = 8000  # images, up to which all are candidates at once
DRAWN = 4000  # candidates that a search in a larger class begins with
JOINING = 2000  # candidates that a round brings in
ROUNDS = 2


class Found(NamedTuple):
    """A subset of a large class: places of its images, the search's end, and its terms against all images."""

    places: list[int]
    selection: Selection
    terms: Terms  # each [1]
    objective: float  # against all images
    columns: int


def columns_of(images: ImageClass, method: Gadc) -> int:
    """Representatives that stand for a class; 0 where it stands for itself."""
    n = len(images.paths)
    count = method.columns or (n if n <= LARGE else 1024)
    return count if count < n and method.transport else 0


@full_precision()
def condense_large(images: ImageClass, budgets: Sequence[int], method: Gadc, device: str) -> dict[int, Found]:
    """Choose subsets of each budget from one class; settings as of `search.condense`."""
    whole = represent(images, columns_of(images, method))
    search = _Search(images, whole, method, device)
    objective, pool = search.begin(max(budgets))
    path = greedy(objective, max(budgets))
    found = {}
    for budget in budgets:
        found[budget] = search.finish(objective, pool, path, budget)
    return found


class _Search:
    """The search in one class."""

    def __init__(self, images: ImageClass, whole: Whole, method: Gadc, device: str):
        self.images, self.method, self.device = images, method, device
        self.whole = Whole(*(part.to(device) for part in whole))
        self.nll = torch.zeros(len(images.paths), dtype=torch.float64)
        if method.beta > 0:
            self.nll = -torch.from_numpy(images.log_probability).double()

    def begin(self, budget: int) -> tuple[Objective, Tensor]:
        """The objective of the first candidates, and their places [k], ascending."""
        n = len(self.images.paths)
        pool = torch.arange(n)
        if n > LARGE:
            drawn = torch.randperm(n, generator=stream("candidates", self.images.name))
            pool = drawn[: max(DRAWN, 2 * budget)].sort().values
        return self.objective(pool), pool

    def objective(self, places: Tensor, method: Gadc | None = None) -> Objective:
        """The objective of the images at some places [k]."""
        return self._objective(torch.from_numpy(self.images.read(places.numpy())), places, method)

    def _objective(self, features: Tensor, places: Tensor, method: Gadc | None = None) -> Objective:
        nll = self.nll[places][None].to(self.device)
        return Objective(features[None].to(self.device), nll, method or self.method, self.whole)

    def finish(self, objective: Objective, pool: Tensor, path: Tensor, budget: int) -> Found:
        """Exchange the first images of the greedy path, among more and more candidates."""
        start = path[:, :budget]
        every = torch.zeros(1, dtype=torch.long, device=path.device)
        values = [objective.value(every, path[:, :size]) for size in range(1, budget + 1)]
        rounds = ROUNDS if len(pool) < len(self.images.paths) and self.method.exchange == "optimal" else 0
        for _ in range(rounds):
            end = exchange(objective, start, 0, certain=False)
            chosen = pool[end.subsets[0].cpu()]
            pool = torch.cat([pool, self.promising(chosen)]).unique()
            objective = self.objective(pool)
            start = torch.searchsorted(pool, chosen).to(path.device)[None]
        end = self.exchange(objective, start)
        places = pool[end.subsets[0].cpu()]
        terms = objective.terms(every, end.subsets)
        selection = Selection(end, terms, values[-1], objective.scale, torch.stack(values, 1))
        exact = self.exact(places, objective, terms)
        total = objective.total(exact).item()
        return Found(places.tolist(), selection, exact, total, len(self.whole.shares))

    def exchange(self, objective: Objective, start: Tensor) -> Exchange:
        """The exchange that the settings ask for."""
        if self.method.exchange == "optimal":
            return exchange(objective, start, self.method.restarts, certain=False)
        swaps = self.method.swaps if self.method.exchange == "released" else 0
        end = exchange_as_released(objective, start, swaps)
        end.optimal[:] = False  # among the candidates and for the representatives, at best
        return end

    def promising(self, chosen: Tensor) -> Tensor:
        """Places of the images, of all, that roughly promise most at each position of a subset [m]."""
        m = len(chosen)
        wanted = max(1, JOINING // m)
        chosen_features = torch.from_numpy(self.images.read(chosen.numpy()))
        finely = dataclasses.replace(self.method, precision="float64")
        best = torch.full((m, wanted), torch.inf, dtype=torch.float64), torch.zeros(m, wanted).long()
        for at, values in self.images.tiles():
            places = torch.from_numpy(at)
            both = torch.cat([chosen_features, torch.from_numpy(values)]), torch.cat([chosen, places])
            rough = _screen(self._objective(*both, finely), m).cpu()
            value = torch.cat([best[0], rough.masked_fill_(torch.isin(places, chosen), torch.inf)], 1)
            place = torch.cat([best[1], places.expand(m, -1)], 1)
            order = value.argsort(dim=1, stable=True)[:, :wanted]
            best = value.gather(1, order), place.gather(1, order)
        return best[1][best[0].isfinite()].unique()

    def exact(self, places: Tensor, objective: Objective, terms: Terms) -> Terms:
        """Terms of a subset with all images of the class as columns; cost [m, n] is computed tile by tile."""
        rows = torch.from_numpy(self.images.read(places.numpy())).double().to(self.device) - self.whole.mean
        cost = rows.new_empty(len(rows), len(self.images.paths))
        for at, values in self.images.tiles():
            tile = torch.from_numpy(values).to(rows) - self.whole.mean
            squares = rows.square().sum(1)[:, None] + tile.square().sum(1)
            cost[:, int(at[0]) : int(at[-1]) + 1] = (squares - 2 * rows @ tile.T).clamp_min_(0)
        cost[torch.arange(len(rows)), places] = 0
        method, epsilon = self.method, objective.transport.epsilon
        plan = solve(cost[None], epsilon, method.capacity, method.iterations, method.tolerance)
        return terms._replace(transport=plan.cost, mass=plan.mass)


def _screen(objective: Objective, m: int) -> Tensor:
    """Rough objectives [m, k]: position by position of the first m images, with each of the other k there."""
    subset = torch.arange(m, device=objective.device)
    others = torch.arange(m, objective.exact.shape[1], device=objective.device)
    rows = []
    for position in range(m):
        shared = torch.cat([subset[:position], subset[position + 1 :]])[None]
        screen = Screen(objective.transport, shared, subset[None, position : position + 1])
        parts = [screen.extend(some[None], 1)[0] for some in others.split(objective.room(1))]
        rows.append(objective.extend_cheaply(shared, others[None])[0] + torch.cat(parts))
    return torch.stack(rows).nan_to_num_(torch.inf)

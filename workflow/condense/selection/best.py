"""The best candidate to join the images of each class: `extend` discards candidates, the definition decides.

So precision, batch size, threads and device do not change a decision.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from condense.selection.objective import Objective
from condense.selection.screening import is_worth_it, screened
from condense.transport.extension import EVERY

TIE = 1e-9  # objectives within this relative margin are equal, and the lower index is taken
SHORTLIST = 128  # best candidates that are remembered; all of a class of at most twice as many


class Best(NamedTuple):
    """Best candidate to join each class's shared images: index, objective, and the shortlist by index."""

    image: Tensor  # [b]
    value: Tensor  # [b]
    shortlist: Tensor  # [b, SHORTLIST], fewer where there are fewer; the best candidates, ascending


def best_candidate(
    objective: Objective,
    shared: Tensor,
    greedy: bool = False,
    against: tuple[Tensor, Tensor] | None = None,
    candidates: Tensor | None = None,
    classes: Tensor | None = None,
    screen: int = 0,
) -> Best:
    """Find each class's best image to join its shared ones [b, m - 1], of all or of `candidates` [b, k].

    `against` is the image [b] that holds the place and the objective [b] with it: where no other can be
    below, the value is inf. Ties go to the lower index. `classes` [b] are ascending, all when none.
    Candidates are screened for the `screen` best of them, where that is worth it (see `screening`).
    """
    if classes is None:
        classes = torch.arange(len(objective.exact), device=objective.device)
    tried, those = candidates, EVERY if len(classes) == len(objective.exact) else classes
    if candidates is None:
        candidates = torch.arange(objective.exact.shape[1], device=objective.device).expand(len(shared), -1)
    if screen and is_worth_it(objective, candidates.shape[1]):
        rough = screened(objective, shared, candidates, greedy, against, screen)
    else:
        rough = objective.extend(shared, tried, greedy, those)
    rough.masked_fill_((candidates[:, :, None] == shared[:, None]).any(2), torch.inf)
    count = rough.shape[1]
    shortlist = rough.topk(SHORTLIST if count > 2 * SHORTLIST else count, largest=False).indices
    limit = torch.full_like(rough[:, 0], torch.inf)
    if against is not None:
        rough.masked_fill_(candidates == against[0][:, None], torch.inf)
        limit = against[1].to(rough.dtype)
    limit = torch.minimum(limit, rough.amin(1) * (1 + objective.error))
    rows, places = (rough <= limit[:, None] * (1 + objective.error)).nonzero(as_tuple=True)
    exact = torch.full_like(rough, torch.inf, dtype=torch.float64)
    if len(rows):
        subsets = torch.cat([shared[rows], candidates[rows, places][:, None]], 1)
        exact[rows, places] = objective.value(classes[rows], subsets, greedy)
    place, value = lowest(exact)
    return Best(
        candidates.gather(1, place[:, None])[:, 0], value, candidates.gather(1, shortlist).sort(1).values
    )


def lowest(values: Tensor) -> tuple[Tensor, Tensor]:
    """Position and value of the smallest entry of each row; of those tied with it the first."""
    least = values.amin(1, keepdim=True)
    first = (values <= least + TIE * least.abs()).int().argmax(1)
    return first, values.gather(1, first[:, None])[:, 0]

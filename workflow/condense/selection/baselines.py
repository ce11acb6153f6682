"""Coreset baselines: each chooses from one class and returns ranked positions.

`features` are [n, d]; `log_probability` and `log_runner_up` are [n], of the own class and of the strongest
other one. Distances are those of the features as they are. Ties go to the lower position; random draws come
from `generator` alone.
"""

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from condense.base.errors import InputError

PAIRED = 20_000  # images of a class, of which all pairs (3 GB) can be compared
INTERVALS = {10: 96, 50: 16, 100: 10}  # PAPER: Huang et al. 2025 (D2C), by images per class


def k_center(features: Tensor, budget: int, generator: Generator) -> Tensor:
    """Greedy k-centre: a random first image, then always the one farthest from its nearest chosen image.

    Nested. Source: Sener & Savarese 2018, algorithm 1 (Gonzalez 1985), as in DeepCore (Guo et al. 2022).
    """
    points = features.double()
    chosen = [int(torch.randint(len(points), (), generator=generator))]
    nearest = (points - points[chosen[0]]).square().sum(1)
    while len(chosen) < budget:
        nearest[chosen[-1]] = -1  # chosen images are out, even where others coincide with them
        chosen.append(int(nearest.argmax()))
        nearest = nearest.minimum((points - points[chosen[-1]]).square().sum(1))
    return torch.tensor(chosen)


def herding(features: Tensor, budget: int) -> Tensor:
    """Herding: at step t the image that brings the mean of the t chosen ones closest to the class mean.

    Nested; draws nothing. Source: Welling 2009; Chen, Welling & Smola 2010, with the identity feature map.
    """
    return _herd(features, budget, sign=1)


def herding_max(features: Tensor, budget: int) -> Tensor:
    """Herding with the sign of DeepCore's code: at each step the image that leads farthest from the mean.

    # RELEASE: DeepCore (Guo et al. 2022) takes the arg-max where herding takes the arg-min.
    """
    return _herd(features, budget, sign=-1)


def _herd(features: Tensor, budget: int, sign: int) -> Tensor:
    """Minimise sign * |t mean - (sum of chosen + x)|^2 over the images x that are left, for t = 1, 2, ..."""
    points = features.double()
    mean, squares = points.mean(0), points.square().sum(1)
    wanted, free = torch.zeros_like(mean), torch.zeros(len(points), dtype=torch.float64)
    chosen: list[int] = []
    for _ in range(budget):
        wanted = wanted + mean
        chosen.append(int((sign * (squares - 2 * points @ wanted) + free).argmin()))
        wanted = wanted - points[chosen[-1]]
        free[chosen[-1]] = torch.inf
    return torch.tensor(chosen)


def ccs(
    log_probability: Tensor | None,
    log_runner_up: Tensor | None,
    score: Tensor | None,
    budget: int,
    generator: Generator,
    cut_off: float = 0.3,
    strata: int = 50,
) -> Tensor:
    """Coverage-centric selection: drop the hardest `cut_off`, then draw evenly over strata of score.

    The score [n], low where hard, is the margin accumulated over a training; without it the
    classifier's p(own class) - p(strongest other class), a declared proxy. At most `budget` strata, because a
    class gets few images. Not nested. Source: Zheng et al. 2023, algorithm 1, per class.
    """
    if score is not None:
        margin = score.double()
    elif log_probability is None or log_runner_up is None:
        raise InputError("ccs needs probabilities: give the encoder a classifier that knows the classes.")
    else:
        margin = log_probability.double().exp() - log_runner_up.double().exp()
    # ASSUME: where the cut-off would leave fewer images than the budget, it leaves just as many
    dropped = min(int(cut_off * len(margin)), len(margin) - budget)
    kept = margin.argsort(stable=True)[dropped:]
    groups = _strata(margin[kept], min(strata, budget))
    chosen, left = [], budget
    for visited, group in enumerate(sorted(groups, key=len)):
        share = min(len(group), left // (len(groups) - visited))
        order = torch.randperm(len(group), generator=generator)[:share]
        chosen.append(kept[group[order]])
        left -= share
    return torch.cat(chosen)


def _strata(score: Tensor, count: int) -> list[Tensor]:
    """Positions in each of `count` parts of equal width between the lowest and the highest score."""
    low, high = score.min(), score.max()
    width = (high - low) / count if high > low else torch.ones_like(low)
    part = ((score - low) / width).long().clamp(max=count - 1)
    return [(part == number).nonzero()[:, 0] for number in range(count)]


def dq(
    features: Tensor,
    budget: int,
    generator: Generator,
    bins: int = 10,
    weight: float = 1.0,
) -> Tensor:
    """Dataset quantisation: cut the class into bins by GraphCut, then draw the same fraction of each.

    Each bin is chosen greedily from what the bins before it left, by the gain
    weight * sum of similarities to all that is left - 2 * sum of similarities to the chosen ones,
    with similarity (1 + cosine) / 2; the last bin is the remainder. Images are ranked so that every prefix
    takes the bins in proportion to their sizes: nested. Source: Zhou et al. 2023, sec. 3.2, without its patch
    dropping.
    """
    if len(features) > PAIRED:
        raise InputError(
            f"dq compares all pairs of a class's images, and one has {len(features):,}, more than "
            f"{PAIRED:,}: choose another method, or split the class."
        )
    unit = F.normalize(features.double(), dim=1)
    similarity = (1 + unit @ unit.T) / 2
    # ASSUME: "all" in the gain is what the bins before have left, as in the authors' code
    left, size, keys, order = torch.arange(len(unit)), max(1, len(unit) // bins), [], []
    while len(left):
        last = len(keys) == bins - 1 or len(left) <= size
        members = left if last else left[_graph_cut(similarity[left][:, left], size, weight)]
        drawn = members[torch.randperm(len(members), generator=generator)]
        order.append(drawn)
        keys.append((torch.arange(len(drawn)) + 0.5) / len(drawn))
        left = left[~torch.isin(left, members)]
    return torch.cat(order)[torch.cat(keys).argsort(stable=True)][:budget]


def _graph_cut(similarity: Tensor, size: int, weight: float) -> Tensor:
    """Positions that greedily maximise the GraphCut gain on one similarity matrix [n, n]."""
    gain = weight * similarity.sum(0)
    chosen = []
    for _ in range(size):
        chosen.append(int(gain.argmax()))
        gain = gain - 2 * similarity[chosen[-1]]
        gain[chosen[-1]] = -torch.inf
    return torch.tensor(chosen)


def d2c(score: Tensor | None, budget: int, interval: int | None = None) -> Tensor:
    """Every `interval`-th image, from the easiest on, of the ranking by denoising loss; draws nothing.

    The score [n] is the loss. Where the class is too small for the interval (by default the paper's for its
    budgets, else the widest), the widest that fits is taken. Not nested, since the interval depends on the
    budget. Source: Huang et al. 2025 (D2C), algorithm 2.
    """
    if score is None:
        raise InputError("d2c ranks by the loss of a generator: give --scores, from `difficulty`.")
    # ASSUME: the paper does not say what happens in a class of too few images
    widest = max(1, (len(score) - 1) // max(1, budget - 1))
    step = min(interval or INTERVALS.get(budget, widest), widest)
    return score.argsort(stable=True)[::step][:budget]

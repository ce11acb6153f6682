"""Operations of made images, by the settings that decide them."""

from collections.abc import Iterator, Set
from itertools import pairwise

from condense.config.groups import Groups
from condense.config.guidance import Guiding
from condense.config.study import Study
from condense.config.synthesis import NoiseOptimisation, Synthesis
from condense.diffusion.adm import TIMES
from condense.plan.sizes import Space, Workload
from condense.plan.student_needs import BACKWARD, student_size
from condense.synthesis.projector import WIDTHS

SECOND_ORDER = 6  # of a gradient of a gradient, likewise
CHECKPOINTS = 4  # ASSUME: as many epochs of a surrogate guide as in IGD's release


def makings(study: Study, chosen: Set[tuple[str, str]]) -> Iterator[tuple[Synthesis, str, int]]:
    """Methods that make images for some (method, budget), and how many groups of the budget they draw."""
    found = {}
    for name, budget in chosen:
        method = study.methods[name]
        drawn = method.drawn_by if isinstance(method, Groups) else name
        groups = method.groups if isinstance(method, Groups) else 1
        found[drawn, budget] = max(groups, found.get((drawn, budget), 1))
    for (name, budget), groups in found.items():
        if isinstance(study.methods[name], Synthesis):
            yield study.methods[name], budget, groups


def making_operations(
    study: Study, method: Synthesis, network: Workload, space: Space, real: float, classes: int
) -> float:
    """Operations of one made image; `real` images of its class for each made one are looked at.

    The guided chain and the decoder, and what the kind of method adds to them.
    """
    evaluation = (2 if method.guidance > 1 else 1) * network.operations
    chain = method.steps * evaluation + space.decoding
    if isinstance(method, Guiding) and method.influence_weight:
        guided = method.steps * (method.window[1] - method.window[0]) / TIMES
        surrogate = student_size(study.students[method.surrogate], classes).operations
        count = len(method.checkpoints or range(CHECKPOINTS))
        through = BACKWARD * evaluation if method.influence_through == "network" else 0
        image = (1 + BACKWARD) * space.decoding + SECOND_ORDER * count * surrogate
        return chain + method.repeat * guided * (through + image)
    if isinstance(method, NoiseOptimisation):
        steps = method.steps - 1 - method.unoptimised
        renewed = method.passes if method.mode == "fast" else method.iterations
        shown = method.draws * real if method.data else 0
        return chain + steps * (renewed * (1 + BACKWARD / 2) + shown) * _projector(method, space)
    return chain


def _projector(method: NoiseOptimisation, space: Space) -> float:
    """Operations of DsCo's projector on one latent; with data its last layer is applied once."""
    channels, height, width = space.shape
    first = 9 * channels * WIDTHS[0] * height * width
    positions = [height * width / 4**n for n in range(1, len(WIDTHS))]
    if method.data:
        positions[-1] = 1
    layers = zip(pairwise(WIDTHS), positions, strict=True)
    return 2 * method.groups * (first + sum(16 * into * out * count for (into, out), count in layers))

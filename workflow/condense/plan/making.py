"""Operations of made images, by the settings that decide them."""

from condense.config.synthesis import NoiseOptimisation, Synthesis
from condense.plan.sizes import Space, Workload

BACKWARD = 2  # operations of a backward pass, in forward passes


def making_operations(method: Synthesis, network: Workload, space: Space, real: float) -> float:
    """Operations of one made image; `real` images of its class for each made one are looked at.

    The guided chain and the decoder, and what the kind of method adds to them.
    """
    chain = method.steps * (2 if method.guidance > 1 else 1) * network.operations + space.decoding
    if isinstance(method, NoiseOptimisation):
        steps = method.steps - 1 - method.unoptimised
        renewed = method.passes if method.mode == "fast" else method.iterations
        shown = method.draws * real if method.data else 0
        return chain + steps * (renewed * (1 + BACKWARD / 2) + shown) * _projector(method.groups, space)
    return chain


def _projector(groups: int, space: Space) -> float:
    """Operations of DsCo's projector on one latent."""
    channels, height, width = space.shape
    first = 9 * channels * 16 * groups
    others = sum(16 * into * 2 * into * groups / 4**n for n, into in enumerate((16, 32, 64), 1))
    return 2 * height * width * (first + others)

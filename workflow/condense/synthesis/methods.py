"""Table of the ways to make images: the function behind each kind of method.

A maker takes the chain, the classes, how many images of each, its settings, what it looks at besides, and the
latents [k, c, h, w] by class that an interrupted run had finished; it yields (class, next latents of it).
`config.synthesis` has the settings of a kind, and what the plan gives it.
"""

from collections.abc import Callable, Iterator

from torch import Tensor

from condense.synthesis.guided import make_guided
from condense.synthesis.nopt import make_optimised
from condense.synthesis.samples import make_samples

MAKERS: dict[str, Callable[..., Iterator[tuple[str, Tensor]]]] = {
    "samples": make_samples,
    "nopt": make_optimised,
    "igd": make_guided,
    "otg": make_guided,
}

"""What is known of each training objective without its formulas, which `diffusion.objectives` has."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class TrainingObjective:
    """Facts of an objective."""

    family: str  # name by which papers know the networks that it trains
    samplers: tuple[str, ...]  # those that draw from it, the usual one first
    learned_variance: bool  # the network predicts variances too, in as many channels again
    steps: Mapping[str, tuple[int, int]]  # least and most, of samplers that have such bounds


OBJECTIVES = {
    "adm": TrainingObjective(
        family="DiT",
        samplers=("ddpm", "ddim", "dpm-solver"),
        learned_variance=True,
        steps={"ddpm": (2, 1000), "ddim": (2, 1000), "dpm-solver": (1, 999)},
    ),
    "flow": TrainingObjective(
        family="SiT", samplers=("euler", "heun", "euler-maruyama"), learned_variance=False, steps={}
    ),
}
SAMPLERS = tuple(sampler for objective in OBJECTIVES.values() for sampler in objective.samplers)


def misfit(objective: str, sampler: str) -> str:
    """Why a sampler cannot draw from a generator of an objective; "" where it can."""
    fitting = OBJECTIVES[objective].samplers
    if sampler in fitting:
        return ""
    return f"{sampler} does not fit objective {objective}; use one of {', '.join(fitting)}"

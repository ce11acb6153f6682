"""Generators with the weights of another: other samplings, or milestones of one training."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from condense.config.settings import Training


class Weights(BaseModel):
    """Whose weights a generator takes instead of a training of its own."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    generator: str = Field(description="Generator that is trained.")
    step: int | None = Field(None, gt=0, description="Milestone of its training; its end when none.")


def borrow(generators: dict[str, Any]) -> dict[str, Any]:
    """Generators of a config, where those with `weights` have the settings of the generator they name."""
    full = dict(generators)
    for name, own in generators.items():
        if not isinstance(own, dict) or not isinstance(own.get("weights"), dict):
            continue
        where, lender, step = (
            f"generators.{name}",
            own["weights"].get("generator"),
            own["weights"].get("step"),
        )
        if extra := [key for key in own if key not in ("weights", "sampling")]:
            raise ValueError(f"{where} takes weights, so that {extra[0]} cannot be given; remove it")
        lent = generators.get(lender)
        if not isinstance(lent, dict) or lent.get("weights"):
            raise ValueError(f"{where}.weights names '{lender}', which is no generator with a training")
        training = lent.get("training", {})
        if isinstance(step, int):
            every, steps = training.get("milestone_every"), training.get("steps", Training().steps)
            if not every or step % every or step > steps:
                raise ValueError(
                    f"{where}.weights.step {step} is no milestone of {lender}: choose a multiple of its "
                    f"training.milestone_every, {every}, up to {steps}"
                )
            training = training | {"steps": step}
        sampling = lent.get("sampling", {}) | own.get("sampling", {})
        full[name] = lent | {"training": training, "sampling": sampling, "weights": own["weights"]}
    return full

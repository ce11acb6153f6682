"""Generators that begin at the weights of another: other samplings, milestones of a training, finetunings."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from condense.config.settings import Training


class Weights(BaseModel):
    """Whose weights a generator takes instead of a training of its own."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    generator: str = Field(description="Generator that is trained.")
    step: int | None = Field(None, gt=0, description="Milestone of its training; its end when none.")


def borrow(generators: dict[str, Any]) -> dict[str, Any]:
    """Generators of a config, each with its settings: also those that begin at another one's weights.

    One with `finetune` has the settings of the generator it starts from, but for its sampling; one with
    `weights` those of the generator it names, but for its sampling and steps.
    """
    full = dict(generators)
    for key, settings_of in (("finetune", _finetuned), ("weights", _borrowed)):
        for name, own in generators.items():
            if isinstance(own, dict) and isinstance(own.get(key), dict):
                if extra := [other for other in own if other not in (key, "sampling")]:
                    given = "has `finetune`" if key == "finetune" else "takes weights"
                    raise ValueError(
                        f"generators.{name} {given}, so that {extra[0]} cannot be given; remove it"
                    )
                lent = full.get(own[key].get("generator"))
                settings = settings_of(f"generators.{name}.{key}", own[key], lent)
                sampling = settings.get("sampling", {}) | own.get("sampling", {})
                full[name] = settings | {"sampling": sampling, key: own[key]}
    return full


def _finetuned(where: str, own: dict[str, Any], lent: Any) -> dict[str, Any]:
    """Settings of the generator that a finetuning starts from; of a finetuning there are no milestones."""
    if not isinstance(lent, dict) or lent.get("weights") or lent.get("finetune"):
        raise ValueError(f"{where} names '{own.get('generator')}', which is no generator with a training")
    training = {key: value for key, value in lent.get("training", {}).items() if key != "milestone_every"}
    return lent | {"training": training}


def _borrowed(where: str, own: dict[str, Any], lent: Any) -> dict[str, Any]:
    """Settings of the generator whose weights are taken, at the milestone that is asked for."""
    lender, step = own.get("generator"), own.get("step")
    if not isinstance(lent, dict) or lent.get("weights"):
        raise ValueError(f"{where} names '{lender}', which is no generator with a training")
    training = lent.get("training", {})
    if not isinstance(step, int):
        return lent
    if lent.get("finetune"):
        raise ValueError(f"{where}.step {step}: a finetuning keeps no milestones; leave it out")
    every, steps = training.get("milestone_every"), training.get("steps", Training().steps)
    if not every or step % every or step > steps:
        raise ValueError(
            f"{where}.step {step} is no milestone of {lender}: choose a multiple of its "
            f"training.milestone_every, {every}, up to {steps}"
        )
    return lent | {"training": training | {"steps": step}}

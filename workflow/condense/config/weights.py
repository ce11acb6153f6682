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
                    word = extra[0] if isinstance(extra[0], str) else "a key that is no text"
                    raise ValueError(f"generators.{name} {given}, so that {word} cannot be given; remove it")
                lender = own[key].get("generator")
                lent = full.get(lender) if isinstance(lender, str) else None
                settings = settings_of(f"generators.{name}.{key}", own[key], lent)
                sampling = own.get("sampling", {})
                if isinstance(sampling, dict):
                    sampling = _section(settings, "sampling") | sampling
                full[name] = settings | {"sampling": sampling, key: own[key]}
    return full


def _finetuned(where: str, own: dict[str, Any], lent: Any) -> dict[str, Any]:
    """Settings of the generator that a finetuning starts from; of a finetuning there are no milestones."""
    if not isinstance(lent, dict) or lent.get("weights") or lent.get("finetune"):
        raise ValueError(_no_lender(where, own))
    training = _section(lent, "training")
    return lent | {"training": {key: training[key] for key in training if key != "milestone_every"}}


def _borrowed(where: str, own: dict[str, Any], lent: Any) -> dict[str, Any]:
    """Settings of the generator whose weights are taken, at the milestone that is asked for."""
    if not isinstance(lent, dict) or lent.get("weights"):
        raise ValueError(_no_lender(where, own))
    step, training = own.get("step"), _section(lent, "training")
    if not isinstance(step, int):
        return lent
    if lent.get("finetune"):
        raise ValueError(f"{where}.step {step}: a finetuning keeps no milestones; leave it out")
    every, steps = training.get("milestone_every"), training.get("steps", Training().steps)
    if not isinstance(every, int) or every < 1:
        raise ValueError(
            f"{where}.step {step} is no milestone of {own['generator']}, which keeps none: give its training "
            "milestone_every"
        )
    if not isinstance(steps, int) or step % every or step > steps:
        raise ValueError(
            f"{where}.step {step} is no milestone of {own['generator']}: choose a multiple of its "
            f"training.milestone_every, {every}, up to {steps}"
        )
    return lent | {"training": training | {"steps": step}}


def _no_lender(where: str, own: dict[str, Any]) -> str:
    """What is wrong with a name under which there is no generator that was trained."""
    name = own.get("generator")
    if not name:
        return f"{where}.generator is missing; name a generator with a training"
    return f"{where} names '{name}', which is no generator with a training"


def _section(config: dict[str, Any], key: str) -> dict[str, Any]:
    """A section of a config; empty where there is none, or none with keys, which is said elsewhere."""
    found = config.get(key)
    return found if isinstance(found, dict) else {}

"""Names by which papers know a study's methods, whatever the study calls them."""

from dataclasses import fields
from typing import Any

from condense.config.doping import Doped
from condense.config.finetuning import Finetune
from condense.config.groups import Groups
from condense.config.study import Study
from condense.config.synthesis import Synthesis

UNPRINTED = {  # settings of made sets that change no published value: names, seeds, sizes of pieces of work
    *("kind", "generator", "trained_on", "generator_seed", "checkpoint", "seed", "batch"),
    *("real", "projector_seed", "runs", "classes_at_once"),
}
ELSEWHERE = {
    "generator",
    "trained_on",
    "checkpoint",
    "checkpoint_every",
    "inversion",
}  # of a finetuning, likewise
FINETUNED = {"none": "minimax", "code": "minimax+im"}  # by inversion matching


def published_kind(study: Study, name: str) -> str:
    """Kind of a method as papers print it; "" where no value is published for its settings.

    Images are made by an imported generator, as it is or finetuned, with the papers' settings; a doped set is
    one of those, doped as it was released, and so is one whose groups are chosen. Without real data it has a
    name of its own.
    """
    method = study.methods[name]
    if isinstance(method, Doped):
        released = (method.scope, method.reference, method.after) == ("global", "teacher", 0)
        return "doped" if released and published_kind(study, method.made) == "nopt" else ""
    if isinstance(method, Groups):
        made = isinstance(study.methods[method.drawn_by], Synthesis) and not _changed(
            method, {"kind", "drawn_by", "encoder", "seed"}
        )
        drawn = published_kind(study, method.drawn_by) if made else ""
        return f"{drawn}+s3" if drawn else ""
    if not isinstance(method, Synthesis):
        return method.kind
    changed, source = _changed(method, UNPRINTED), _source(study, method)
    if source is None or changed - {"data"}:
        return ""
    kind = f"{method.kind}-free" if changed else method.kind
    if not source:
        return kind
    return source if kind == "samples" else f"{source}-{kind}"


def _source(study: Study, method: Synthesis) -> str | None:
    """Name of an imported generator, "" as it is; None for one that no paper has."""
    if method.checkpoint:
        return ""
    tuned: Finetune | None = study.generators[method.generator].finetune
    if tuned is None or not tuned.checkpoint or _changed(tuned, ELSEWHERE):
        return None
    return FINETUNED.get(tuned.inversion)


def _changed(settings: Any, apart: set[str]) -> set[str]:
    """Settings that are not at their defaults, those `apart` left out."""
    return {
        item.name
        for item in fields(settings)
        if item.name not in apart and getattr(settings, item.name) != item.default
    }

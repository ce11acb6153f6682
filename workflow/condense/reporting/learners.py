"""How the results of each kind of learner are told: columns of tables, and the sentence below them."""

from dataclasses import dataclass

from condense.config.learners import Kind


@dataclass(frozen=True)
class Presentation:
    """What reporting knows of one kind of learner; names are keys of descriptions and columns of scores."""

    compared: tuple[str, ...]  # metrics of the study's comparisons
    context: tuple[str, ...]  # columns of a table that make its values comparable
    scored_by: tuple[str, ...]  # those of them that its scores tell and its description does not
    settings: str  # the sentence about its description
    scoring: str  # the end of that sentence, about its scores


PRESENTATIONS: dict[Kind, Presentation] = {
    "generator": Presentation(
        compared=("fid", "inception_score", "precision", "recall"),
        context=(
            *("images", "recipe", "resolution", "training_steps", "views", "guidance", "sampler", "steps"),
            *("samples", "labels", "detector", "reference", "device", "arithmetic"),
        ),
        scored_by=("detector", "reference", "device", "arithmetic"),
        settings=(
            "{training_steps:,} steps of {batch} images, recipe {recipe}, {resolution} pixels; "
            "{samples:,} samples by {sampler} in {steps} steps, guidance {guidance:g}, labels {labels}"
        ),
        scoring=", in the features of {detector} against {reference}; trained on {device} ({arithmetic})",
    ),
}

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
    told: tuple[str, ...] = ()  # columns of its scores that comparisons show
    printed: tuple[str, ...] = ()  # metrics that papers print


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
        printed=("fid", "inception_score", "precision", "recall"),
    ),
    "student": Presentation(
        compared=("accuracy", "last_accuracy"),
        context=(
            *("images", "network", "recipe", "resolution", "labels", "trainings", "trainings_std"),
            *("device", "arithmetic"),
        ),
        scored_by=("device", "arithmetic"),
        settings="{network}, recipe {recipe}, {epochs}, {resolution} pixels, {labels} labels{mean_of}",
        scoring="; trained on {device} ({arithmetic})",
        told=("labels",),
        printed=("accuracy",),
    ),
    "judge": Presentation(
        compared=("energy", "transport"),
        context=("images", "detector", "reference", "arithmetic"),
        scored_by=("detector", "reference", "arithmetic"),
        settings="subsets as they are, nothing trained",
        scoring=", in the features of {detector} against {reference} ({arithmetic})",
    ),
}

"""Metrics that can stand in a table: the name of each, its label, digits and which end is better."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from condense.config.learners import Kind, Learner


@dataclass(frozen=True)
class Metric:
    """How a metric is printed; `better` is the sign of an improvement, 0 where there is none."""

    label: str
    digits: int
    better: int


SCORED = {  # of a generator: columns of results/scores; their functions are in `scoring.metrics`
    "fid": Metric("FID", 2, -1),
    "sfid": Metric("sFID", 2, -1),
    "inception_score": Metric("IS", 1, 1),
    "precision": Metric("Precision", 2, 1),
    "recall": Metric("Recall", 2, 1),
    "kid": Metric("KID", 4, -1),
    "density": Metric("Density", 2, 1),
    "coverage": Metric("Coverage", 2, 1),
    "agreement": Metric("Agreement", 3, 1),
    "copy_rate": Metric("Copy rate", 3, -1),
    "subset_fid": Metric("FID of the subset", 2, -1),
}
EXAMINED = {  # of a student, in per cent
    "accuracy": Metric("Accuracy (%)", 1, 1),  # of the best epoch, as the papers print it
    "last_accuracy": Metric("Accuracy, last epoch (%)", 1, 1),
}
APPRAISED = {  # of a judge: of a subset and held-out images, by class but for those with SCORED's names
    "energy": Metric("Energy distance", 3, -1),
    "transport": Metric("OT distance", 3, -1),
    "nearest_accuracy": Metric("1-NN accuracy (%)", 1, 1),
}
COSTS = {  # of every run: from results/benchmarks
    "feature_seconds": Metric("Features (s)", 0, 0),
    "selection_seconds": Metric("Selection (s)", 0, 0),
    "training_seconds": Metric("Training (s)", 0, 0),
    "sampling_seconds": Metric("Sampling (s)", 0, 0),
    "scoring_seconds": Metric("Scoring (s)", 0, 0),
    "peak_memory": Metric("Peak memory (MiB)", 0, 0),
    "gpu_hours": Metric("GPU hours", 2, 0),
}
METRICS = SCORED | EXAMINED | APPRAISED | COSTS
SHARED = ("fid", "precision", "recall", "density", "coverage", "copy_rate")  # of samples, and of a subset
BY_KIND: dict[Kind, dict[str, Metric]] = {
    "generator": SCORED | COSTS,
    "student": EXAMINED | COSTS,
    "judge": APPRAISED | {name: SCORED[name] for name in SHARED},
}
Name = Literal[*METRICS]


def metrics_of(learner: Learner, names: Sequence[str]) -> list[str]:
    """Those of some metrics that a learner of its kind has."""
    return [name for name in names if name in BY_KIND[learner.kind]]

"""What can stand in a table: the name of each measure, its label, digits and which end is better."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Measure:
    """How a measure is printed; `better` is the sign of an improvement, 0 where there is none."""

    label: str
    digits: int
    better: int


SCORED = {  # columns of results/scores
    "fid": Measure("FID", 2, -1),
    "sfid": Measure("sFID", 2, -1),
    "inception_score": Measure("IS", 1, 1),
    "precision": Measure("Precision", 2, 1),
    "recall": Measure("Recall", 2, 1),
    "kid": Measure("KID", 4, -1),
    "density": Measure("Density", 2, 1),
    "coverage": Measure("Coverage", 2, 1),
    "agreement": Measure("Agreement", 3, 1),
    "copy_rate": Measure("Copy rate", 3, -1),
    "subset_fid": Measure("FID of the subset", 2, -1),
}
COSTS = {  # from results/benchmarks
    "feature_seconds": Measure("Features (s)", 0, 0),
    "selection_seconds": Measure("Selection (s)", 0, 0),
    "training_seconds": Measure("Training (s)", 0, 0),
    "sampling_seconds": Measure("Sampling (s)", 0, 0),
    "scoring_seconds": Measure("Scoring (s)", 0, 0),
    "peak_memory": Measure("Peak memory (MiB)", 0, 0),
    "gpu_hours": Measure("GPU hours", 2, 0),
}
MEASURES = SCORED | COSTS
Name = Literal[*MEASURES]

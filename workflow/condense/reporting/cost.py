"""What a run cost: seconds and memory of its stages, from Snakemake's benchmark files."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from condense.config.learners import Kind
from condense.config.metrics import COSTS

CHOICE = {  # measure: files under results/benchmarks
    "feature_seconds": ["embed/{encoder}/*.tsv", "classify/{encoder}/*.tsv"],
    "selection_seconds": [
        *("margins/{encoder}.tsv", "difficulty/{method}/*.tsv", "select/{method}/{budget}/*.tsv"),
        *("synthesise/{method}/{budget}/*.tsv", "choose_groups/{method}/{budget}.tsv"),
        "dope/{method}/{budget}/*.tsv",
    ],
}
USE: dict[Kind, dict[str, list[str]]] = {  # likewise
    "generator": {
        "training_seconds": [
            "train/{origin}/{method}/{budget}/seed{seed}.tsv",
            "finetune/{origin}/{method}/{budget}/seed{seed}.tsv",
        ],
        "sampling_seconds": ["generate/{generator}/{method}/{budget}/seed{seed}/*.tsv"],
        "scoring_seconds": [
            "detect/{generator}/{method}/{budget}/seed{seed}.tsv",
            "score/{generator}/{method}/{budget}/seed{seed}.tsv",
        ],
    },
    "student": {
        "training_seconds": [
            "relabel/{student}/{method}/{budget}/seed{seed}.tsv",
            "learn/{student}/{method}/{budget}/seed{seed}.tsv",
        ],
        "scoring_seconds": ["examine/{student}/{method}/{budget}/seed{seed}.tsv"],
    },
    "judge": {"scoring_seconds": ["appraise/{judge}/{method}/{budget}/seed{seed}.tsv"]},
}
ON_GPUS = ("training_seconds", "sampling_seconds")
SHARED = {  # by all methods of an encoder that have this need
    "classify/{encoder}/*.tsv": "probabilities",
    "margins/{encoder}.tsv": "margins",
}


def run_costs(
    folder: Path, kind: Kind, gpus: int, needs: Sequence[str], **names: str
) -> dict[str, float | None]:
    """Costs of one run of a learner and a method with these `needs`; None where no benchmark file tells.

    A stage's seconds are the sum over its jobs; peak memory is the largest job's resident set; GPU hours are
    those of training and sampling, times the `gpus` that the training was done on.
    """
    found: dict[str, float | None] = dict.fromkeys(COSTS)
    peaks = []
    for measure, patterns in (CHOICE | USE[kind]).items():
        mine = [pattern for pattern in patterns if SHARED.get(pattern) in (None, *needs)]
        jobs = _jobs(folder, [pattern.format(**names) for pattern in mine])
        if jobs:
            found[measure] = sum(float(job["s"]) for job in jobs)
            peaks += [float(job["max_rss"]) for job in jobs]
    peaks = [peak for peak in peaks if peak == peak]  # short jobs end before they are measured
    found["peak_memory"] = max(peaks, default=None)
    used = [found[measure] for measure in ON_GPUS if measure in USE[kind]]
    if None not in used:
        found["gpu_hours"] = gpus * sum(used) / 3600
    return found


def seconds(folder: Path, patterns: Sequence[str]) -> float | None:
    """Seconds of all jobs whose benchmark files fit some patterns; None where no file fits any."""
    jobs = _jobs(folder, patterns)
    return sum(float(job["s"]) for job in jobs) if jobs or not patterns else None


def _jobs(folder: Path, patterns: Sequence[str]) -> list[pd.Series]:
    """Last row of each benchmark file that fits some patterns."""
    files = [path for pattern in patterns for path in sorted(folder.glob(pattern))]
    return [pd.read_csv(path, sep="\t", na_values="-").iloc[-1] for path in files]

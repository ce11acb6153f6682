"""Scores of runs, a row per run and seed, as the tables read them."""

from pathlib import Path

import numpy as np
import pandas as pd

from condense.base.tables import read_table
from condense.config.learners import Run


def read_scores(paths: list[Path], *columns: str) -> pd.DataFrame:
    """Scores of some runs, in order; a column that only some of them have is empty for the others.

    InputError for a file that lacks one of `columns`, or what every run has.
    """
    common = ("method", "budget", "seed", "subset_images", *columns)
    return pd.concat([read_table(path, common) for path in paths], ignore_index=True)


def within(scores: pd.DataFrame, metric: str) -> float | None:
    """Deviation of a metric over the trainings on one set, pooled over seeds; None where each has one."""
    deviations = scores.get(f"{metric}_trainings_std", pd.Series(dtype=float)).dropna()
    return float(np.sqrt((deviations**2).mean())) if len(deviations) else None


def scores_of(scores: pd.DataFrame | None, run: Run, own_budget: str) -> pd.DataFrame | None:
    """Scores of one run, a row per seed, by its budget in paths; None where there are none."""
    names = pd.Series(run.names() | {"budget": own_budget})
    if scores is None or not set(names.index) <= set(scores.columns):
        return None
    mine = scores[(scores[names.index] == names).all(axis=1)].drop_duplicates("seed")
    return mine if len(mine) else None


def metric_of(scores: pd.DataFrame | None, run: Run, own_budget: str, metric: str) -> pd.Series | None:
    """A metric of a run by seed; None where it was not measured."""
    mine = scores_of(scores, run, own_budget)
    if mine is None or metric not in mine:
        return None
    values = mine.set_index("seed")[metric].dropna()
    return values if len(values) else None

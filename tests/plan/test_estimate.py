"""The estimate counts each training once, and what borrows weights not at all."""

import re
from pathlib import Path

from condense.plan.estimate import estimate

CONFIG = Path(__file__).parents[2] / "config.yaml"


def lines(capsys, **options) -> dict[str, list[float]]:
    """Numbers of each generator's line: runs, hours of training and sampling, GB of weights and samples."""
    estimate(CONFIG, **options)
    found = re.findall(r"^([a-z][\w-]+) +((?:[\d.]+ *)+)$", capsys.readouterr().out, re.MULTILINE)
    return {name: [float(word) for word in words.split()] for name, words in found}


def test_tables_add_runs_but_none_is_counted_twice(capsys):
    few, many = lines(capsys), lines(capsys, tables=True)
    assert few.keys() < many.keys()
    assert all(many[name][0] >= few[name][0] for name in few)
    per_run = {name: row[1] / row[0] for name, row in many.items()}
    assert round(per_run["dit-l-2-300k"] / per_run["dit-l-2"], 1) == 3.0


def test_borrowed_weights_cost_no_training_and_no_weights(capsys):
    runs, training, sampling, weights, _ = lines(capsys, tables=True)["dit-l-2-25k"]
    assert runs > 0 and sampling > 0 and training == weights == 0

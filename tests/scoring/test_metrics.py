"""The table of metrics: each has a label, a function and a line in the documentation."""

import re
from pathlib import Path

import numpy as np
import pytest

from condense.config.metrics import SCORED
from condense.scoring.frechet import fit
from condense.scoring.memorisation import Copies
from condense.scoring.metrics import CONTEXT, METRICS, Reference, Samples, score_features

ROOT = Path(__file__).parents[2]


@pytest.fixture
def seen():
    """Samples and a reference of which everything is known."""
    draws = np.random.default_rng(0)
    images, drawn, labels = draws.normal(size=(90, 4)), draws.normal(size=(60, 4)), np.arange(60) % 3
    copies = Copies(drawn, labels)
    for label in range(3):
        copies.add(label, images[label::3], np.arange(30) < 5)
    some = {"spatial": fit(images[:40]), "subset": fit(images[:15]), "copies": copies}
    samples = Samples(drawn, draws.normal(size=(60, 5)), labels, np.arange(3), fit(drawn[:40]))
    return samples, Reference("all", fit(images), images, **some)


def test_every_metric_has_a_function_and_every_function_gives_metrics_that_are_declared(seen):
    given = [name for metric in METRICS for name in metric(*seen)]
    assert len(set(given)) == len(given)
    assert set(given) == {*SCORED, *CONTEXT}


def test_a_row_has_every_metric_and_none_is_empty_where_all_is_known(seen):
    row = score_features(*seen)
    assert all(np.isfinite(row[name]) for name in SCORED)
    assert all(row[name] is not None for name in CONTEXT)
    assert row["samples"] == 60 and row["reference"] == "all" and row["manifold_reference"] == 90


def test_of_features_alone_what_is_not_defined_is_none_and_the_rest_is_there(seen):
    samples, reference = seen
    row = score_features(
        Samples(samples.features), Reference("all", reference.statistics, reference.features)
    )
    missing = {name for name in SCORED if row[name] is None}
    assert missing == {"sfid", "inception_score", "agreement", "copy_rate", "subset_fid"}


@pytest.mark.parametrize("name", SCORED)
def test_the_documentation_names_every_metric(name):
    table = re.search(
        r"\| column \| what it is \|.*?\n\n", (ROOT / "docs/scoring.md").read_text(), re.DOTALL
    )[0]
    assert f"`{name}`" in table

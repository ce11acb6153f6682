"""A table with a control tells each method's gain, what of it is resolved, and what the set took to make."""

import pandas as pd
import pytest
import yaml

from condense.config import study
from condense.plan.layout import table_layout
from condense.plan.replicates import replicated
from condense.reporting.footnotes import footnotes
from condense.reporting.gains import HOW, by_column, sentences
from condense.reporting.projection import project
from sources import ROOT

FIDS = {"random": (10.0, 12.0, 11.0), "gadc": (8.0, 10.1, 8.9), "samples": (9.0, 14.0, 10.0)}


def layout(**changes):
    """Layout of a table of three methods whose values are in `FIDS` or given."""
    config = yaml.safe_load((ROOT / "examples/digits/config.yaml").read_text())
    config["methods"]["samples"] = {"kind": "samples", "generator": "dit-tiny"}
    table = {"control": "random", "methods": [*FIDS], "budgets": ["100"], "generators": ["sit-tiny"]}
    config["tables"] = {"grid": table | changes}
    return table_layout(replicated(study.load(config)), "grid")


def scores(values=FIDS, metric="fid") -> pd.DataFrame:
    """A row per method and seed."""
    rows = [
        {"method": method, "generator": "sit-tiny", "budget": "100", "seed": seed, metric: value}
        for method, mine in values.items()
        for seed, value in enumerate(mine)
    ]
    return pd.DataFrame(rows).assign(subset_images=100)


@pytest.fixture
def rows():
    return project(layout(), scores()).set_index("method")


def test_a_gain_is_the_paired_difference_positive_where_it_is_better(rows):
    gadc = rows.loc["gadc"]
    assert gadc["gain"] == pytest.approx(2.0) and gadc["gain_seeds"] == 3
    half = 4.302652729911275 * 0.1 / 3**0.5  # Student's t, two degrees of freedom; gaps 2, 1.9, 2.1
    assert gadc["gain_low"] == pytest.approx(2 - half, rel=1e-9)
    assert gadc["gain_high"] == pytest.approx(2 + half, rel=1e-9)
    assert rows["gain"].isna()["random"] and (rows["control"] == "random").all()


def test_more_is_better_for_some_metrics():
    table = project(layout(metrics=["recall"]), scores(metric="recall")).set_index("method")
    assert table.loc["gadc", "gain"] == pytest.approx(-2.0)
    assert table["rank"].to_dict() == {"random": 1, "gadc": 3, "samples": 1}


def test_the_best_is_the_first_and_what_is_not_measured_has_no_rank(rows):
    assert rows["rank"].to_dict() == {"random": 2, "gadc": 1, "samples": 2}
    assert (rows["ranked"] == 3).all()
    few = {method: values for method, values in FIDS.items() if method != "samples"}
    table = project(layout(), scores(few)).set_index("method")
    assert pd.isna(table.loc["samples", "rank"]) and table.loc["gadc", "ranked"] == 2


def test_a_sentence_per_column_says_what_is_resolved(rows):
    told = [*sentences(rows.reset_index().to_dict("records"))]
    assert told == ["sit-tiny, 100, FID: better than random: gadc; not resolved: 1 of 2 (over 3 seeds)."]
    worse = FIDS | {"samples": (12.0, 14.1, 12.9)}
    (told,) = sentences(project(layout(), scores(worse)).to_dict("records"))
    assert "better than random: gadc; worse: samples (over 3 seeds)" in told
    same = FIDS | {"gadc": (9.0, 14.0, 10.0)}
    (told,) = sentences(project(layout(), scores(same)).to_dict("records"))
    assert "no method is resolved from random (over 3 seeds)" in told


@pytest.mark.parametrize(("seeds", "words"), [(1, "one seed"), (2, "two seeds")])
def test_fewer_than_three_replicates_print_no_interval(seeds, words):
    few = {method: values[:seeds] for method, values in FIDS.items()}
    table = project(layout(), scores(few))
    assert table["gain_low"].isna().all() and table["gain"].notna().sum() == 2
    (told,) = sentences(table.to_dict("records"))
    assert told == f"{words.capitalize()} and no interval: nothing is resolved in any column."


def test_the_sentences_stand_below_the_table():
    given = layout()
    table = project(given, scores())
    notes = footnotes(given, table.to_dict("records"), scores(), None)
    assert any("better than random: gadc" in note for note in notes)
    assert HOW.format("random") in notes


def test_columns_of_a_learner_stand_side_by_side():
    rows = [
        {"generator": learner, "budget": budget, "metric": metric}
        for budget in ("1", "10")
        for learner in ("a", "b")
        for metric in ("fid", "recall")
    ]
    assert [learner for learner, _, _ in by_column(rows)] == ["a"] * 4 + ["b"] * 4


def test_a_table_without_a_control_has_no_gains():
    plain = layout(control=None)
    assert "gain" not in project(plain, scores()) and plain.making == {}


def test_seconds_of_making_are_those_of_the_jobs_behind_a_set(tmp_path):
    taken = {
        "select/gadc/100/1-of-2": 5,
        "select/gadc/100/2-of-2": 7,
        "select/gadc/200/1-of-2": 1000,
        "encoder/cnn": 20,
        "embed/cnn/1-of-2": 30,
        "synthesise/samples/100/1-of-2": 11,
        "train/dit-tiny/full/all/seed0": 100,
        "train/dit-tiny/full/all/seed1": 1000,
        "train/sit-tiny/samples/100/seed0": 1000,
    }
    for name, seconds in taken.items():
        path = tmp_path / f"{name}.tsv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"s\tmax_rss\n{seconds}\t1\n")
    table = project(layout(), scores(), tmp_path).set_index("method")
    assert table["making_seconds"].fillna(-1).to_dict() == {"random": -1, "gadc": 12, "samples": 11}
    assert table["shared_seconds"].fillna(-1).to_dict() == {"random": 0, "gadc": 50, "samples": 100}

"""Accuracies are means over seeds in the order of the runs; published ones stand beside like runs alone."""

import copy
import shlex
from pathlib import Path

import pandas as pd
import pytest
import yaml

from commands import call
from condense.base.tables import read_table, write_table
from condense.config.published import notes as published_notes
from condense.plan.layout import table_layout
from condense.plan.plan import Plan
from condense.reporting.comparisons import accuracies, summarise
from condense.reporting.projection import project
from condense.reporting.typeset import Sheet

ROOT = Path(__file__).parents[2]
CONTRACT = (
    "method,student,budget,images,labels,seeds,accuracy,accuracy_std,last_accuracy,last_accuracy_std,"
    "published_accuracy"
)


def test_rows_are_means_and_sample_deviations_over_seeds_in_order():
    rows = [("random", 14.0), ("random", 15.0), ("random", 16.0), ("mine", 20.0), ("random-1", 13.0)]
    runs = pd.DataFrame(rows, columns=["method", "accuracy"])
    runs = runs.assign(last_accuracy=10.0, student="s", budget="1", subset_images=10, labels="hard")
    table = summarise(runs, "student", "1", None)
    assert ",".join(table.columns) == CONTRACT
    assert table["method"].tolist() == ["random", "mine", "random-1"] and table["seeds"].tolist() == [3, 1, 1]
    assert table["accuracy"].tolist() == [15.0, 20.0, 13.0] and table["last_accuracy"].tolist() == [10.0] * 3
    assert table["accuracy_std"][0] == pytest.approx(1.0) and pd.isna(table["accuracy_std"][1])
    assert table["published_accuracy"].isna().all()


def test_deviations_over_trainings_on_one_set_stand_apart_from_those_over_seeds(cifar10):
    cifar10["students"]["convnet3"] |= {"trainings": 3}
    table = {"columns": [], "metrics": ["accuracy"], "budgets": ["10"]} | cifar10["comparisons"]["10"]
    layout = table_layout(Plan(cifar10 | {"seeds": [0, 1], "tables": {"t": table}}).study, "t")
    scores = pd.DataFrame({"seed": [0, 1], "accuracy": [10.0, 14.0], "accuracy_trainings_std": [3.0, 4.0]})
    scores = scores.assign(method="random", student="convnet3", budget="10", subset_images=100)
    row = project(layout, scores).set_index("method").loc["random"]
    assert row["mean"] == 12 and row["std"] == pytest.approx(8**0.5) and row["trainings"] == 3
    assert row["trainings_std"] == pytest.approx(12.5**0.5)


def test_a_table_of_students_bears_no_note_on_what_papers_say_of_generators(cifar10, tmp_path):
    layout = table_layout(Plan(cifar10).study, "accuracy")
    assert published_notes("any", {"generator"}) and not published_notes(layout.name, layout.kinds)


def test_a_published_deviation_is_printed_with_its_value(cifar10):
    layout = table_layout(Plan(cifar10).study, "accuracy")
    rows = project(layout, None)
    sheet = Sheet(layout, rows, None, None).markdown()
    first = rows.set_index(["method", "budget"]).loc[("random", "1")]
    assert (first["published"], first["published_std"]) == (14.4, 2.0)
    assert "| random | – | 14.4 ± 2.0 | – | – | 26.0 ± 1.2 | – |" in sheet
    assert "measured ones, ± as printed;" in sheet
    bare = Sheet(layout, rows.assign(published_std=None), None, None).markdown()
    assert "| 14.4 |" in bare and "as printed" not in bare


@pytest.fixture
def cifar10():
    config = yaml.safe_load((ROOT / "examples/cifar10/config.yaml").read_text())
    config["seeds"] = [0]
    return config


def published(config: dict, budget: str, folder: Path) -> dict[str, float]:
    """Published accuracies that the command prints with the options of its rule, by method."""
    plan = Plan(config)
    scores = {"seed": 0, "subset_images": 10, "labels": "hard", "accuracy": 1.0, "last_accuracy": 1.0}
    paths = []
    for number, run in enumerate(plan.study.rows(budget, "student")):
        paths.append(folder / f"{number}.csv")
        write_table(pd.DataFrame([run.names() | scores]), paths[-1])
    options = shlex.split(plan.options.accuracies(budget))
    call(accuracies, *paths, *options, "--output", folder / "t.csv", "--every", folder / "e.csv")
    assert len(read_table(folder / "e.csv")) == len(paths)
    written = read_table(folder / "t.csv").set_index("method")["published_accuracy"].dropna().to_dict()
    tables = {"same": {"columns": [], "metrics": ["accuracy"], "budgets": [budget]}}
    tables["same"] |= config["comparisons"][budget]
    rows = project(table_layout(Plan(config | {"tables": tables}).study, "same"), None)
    assert rows.set_index("method")["published"].dropna().to_dict() == written, "looked up in one place"
    return written


@pytest.mark.parametrize(
    ("budget", "random", "herding"), [("1", 14.4, 21.5), ("10", 26.0, 31.6), ("50", 43.4, 40.4)]
)
def test_published_accuracies_stand_beside_methods_of_their_kind_whatever_their_name(
    cifar10, budget, random, herding, tmp_path
):
    methods = cifar10["comparisons"][budget]["methods"]
    draws = {method: random for method in methods if method.startswith("random")}
    herded = {"herding": herding, "herding-untrained": herding}
    assert published(cifar10, budget, tmp_path) == draws | herded
    cifar10["methods"]["random"] = {"kind": "k-center", "encoder": "cnn"}
    assert "random" not in published(cifar10, budget, tmp_path)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("students.convnet3.training.epochs", 200),
        ("students.convnet3.training.flip", True),
        ("students.convnet3.network.width", 64),
        ("students.convnet3.network.norm", "batch"),
        ("students.convnet3.resolution", 64),
        ("students.convnet3", {
            "resolution": 32, "training": {"recipe": "rded"}, "labels": {"teachers": ["cnn"]}
        }),
        ("budgets.1", 2),
        ("dataset", "svhn"),
        ("dataset", None),
        ("published", False),
    ],
)  # fmt: skip
def test_no_published_accuracy_stands_beside_another_run(cifar10, key, value, tmp_path):
    changed = copy.deepcopy(cifar10)
    *parents, last = key.split(".")
    part = changed
    for parent in parents:
        part = part[parent]
    part[last] = value
    assert published(changed, "1", tmp_path) == {}


def test_settings_that_leave_the_recipe_what_it_is_keep_the_published_accuracy(cifar10, tmp_path):
    student = cifar10["students"]["convnet3"]
    student["training"]["checkpoint_minutes"] = 1
    student["network"]["width"] = 128
    assert published(cifar10, "1", tmp_path)["herding"] == 21.5

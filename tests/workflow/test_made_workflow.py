"""Made images through the pipeline: a subset like any other, down to generators, students and judges."""

import re

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from studies import StudyCopy

MADE = {"kind": "samples", "generator": "dit", "steps": 4, "guidance": 1.5}
DOPED = {"kind": "doped", "made": "samples", "made_budget": "6", "student": "small"}
DIT = {
    "objective": "adm",
    "resolution": 8,
    "network": {"depth": 1, "width": 16, "heads": 2, "patch": 4},
    "training": {"steps": 10, "batch": 8, "checkpoint_every": 10, "flip": False},
    "sampling": {"images": 12, "sampler": "ddpm", "steps": 4},
}
STUDENT = {"resolution": 8, "network": {"depth": 1, "width": 8}, "training": {"batch": 4, "epochs": 2}}


def with_made(config: dict) -> None:
    """A study that makes images, trains on them, examines and appraises them."""
    config["images"]["validation"] = 0.25
    config |= {"shards": 1, "sample_shards": 1}
    config["budgets"]["9"] = 3
    config["methods"] |= {"full": {"kind": "full"}, "samples": MADE, "doped": DOPED}
    config["generators"]["dit"] = DIT
    config["students"] = {"small": STUDENT}
    config["seeds"] = [0, 1]
    config["comparisons"]["6"] = {
        "methods": ["random", "samples"],
        "generators": ["sit"],
        "students": ["small"],
    }
    config["tables"] = {
        "appraised": {
            "methods": ["random", "samples"],
            "judges": ["net"],
            "budgets": ["6"],
            "metrics": ["energy", "transport", "coverage", "copy_rate", "nearest_accuracy"],
            "pairs": [["samples", "random"]],
        },
        "grid": {
            "plot": "grid",
            "control": "random",
            "columns": ["judge", "student", "metric"],
            "methods": ["random", "samples"],
            "judges": ["net"],
            "students": ["small"],
            "budgets": ["6"],
            "metrics": ["energy", "coverage", "accuracy"],
        },
    }


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> StudyCopy:
    """The tiny study with made images, run to its tables and a figure."""
    made = StudyCopy.create(tmp_path_factory.mktemp("made"))
    made.configure(with_made)
    wanted = ["fid_6.csv", "accuracy_6.csv", "tables/appraised.md", "figures/chosen/samples/6.png"]
    wanted += ["figures/grids/grid.png", "agreement/grid.html"]
    wanted += ["subsets/doped/9.csv", "dope_trigger/label/small/samples/seed0.csv", "figures/occupancy.png"]
    done = made.run(*(f"results/{name}" for name in wanted))
    assert done.returncode == 0, done.stdout
    return made


def test_made_images_train_generators_and_students_and_are_appraised(study):
    results = study.folder / "results"
    assert pd.read_csv(results / "fid_6.csv")["method"].tolist() == ["random", "samples"]
    accuracy = pd.read_csv(results / "accuracy_6.csv")
    assert accuracy["images"].tolist() == [6, 6] and accuracy["accuracy"].between(0, 100).all()
    table = pd.read_csv(results / "tables/appraised.csv").set_index(["method", "metric"])
    assert (table["seeds"] == 2).loc["samples"].all() and (table["images"] == 6).all()
    assert np.isnan(table.loc[("random", "copy_rate"), "mean"])
    assert 0 <= table.loc[("samples", "copy_rate"), "mean"] <= 1
    text = (results / "tables/appraised.md").read_text()
    assert "held-out images" in text and "two seeds and no interval" in text


def test_a_grid_tells_gains_and_what_making_took(study):
    results = study.folder / "results"
    table = pd.read_csv(results / "tables/grid.csv").set_index(["method", "metric"])
    accuracies = pd.read_csv(results / "accuracy_6.csv").set_index("method")["accuracy"]
    gain = table.loc[("samples", "accuracy"), "gain"]
    assert gain == pytest.approx(accuracies["samples"] - accuracies["random"])
    assert table["gain_low"].isna().all() and (table["making_seconds"] > 0).all()
    assert table.loc["samples", "shared_seconds"].min() > table.loc["random", "shared_seconds"].max() == 0
    text = (results / "tables/grid.md").read_text()
    assert "Two seeds and no interval: nothing is resolved in any column." in text
    assert (results / "figures/grids/grid.svg").read_text().count("<svg") == 1
    assert len(pd.read_csv(results / "agreement/grid.csv")) == 0, "two methods have no order"


def test_a_made_set_is_topped_up_with_the_real_images_that_its_student_confuses(study):
    results = study.folder / "results"
    doped = pd.read_csv(results / "subsets/doped/9.csv")
    assert doped.groupby("class")["made"].agg(["sum", "size"]).values.tolist() == [[2, 3]] * 3
    made = pd.read_csv(results / "subsets/samples/6.csv")
    assert set(made["path"]) < set(doped["path"])
    gains = pd.read_csv(results / "dope_trigger/label/small/samples/seed0.csv")
    assert len(gains) == 2, "a row for each budget"
    cells = pd.read_csv(results / "occupancy/pixels/8/samples/6.csv")
    assert len(cells)


def test_each_replicate_makes_its_own_images_by_its_own_generator(study):
    made = study.folder / "results" / "synthesised"
    files = {name: sorted((made / name / "6").rglob("*.png")) for name in ("samples", "samples.1")}
    assert [len(found) for found in files.values()] == [6, 6]
    with Image.open(files["samples.1"][0]) as image:
        assert image.size == (8, 8) and re.search(r"'seed': [1-9]", image.text["settings"])
    log = next((study.folder / "logs/synthesise/samples.1").rglob("*.log")).read_text()
    assert "images of" in log


def test_a_generator_that_draws_no_chain_is_named_before_any_job(study, tmp_path):
    other = study.duplicate(tmp_path)
    other.configure(lambda config: config["methods"]["samples"].update(generator="sit"))
    done = other.run("--dry-run", "results/fid_6.csv")
    assert done.returncode and "methods.samples.generator: sit has the objective flow" in done.stdout


def test_another_guidance_makes_its_images_again_and_nothing_else(study, tmp_path):
    other = study.duplicate(tmp_path)
    other.configure(lambda config: config["methods"]["samples"].update(guidance=3))
    planned = other.planned("results/accuracy_6.csv")
    assert planned["synthesise"] == 2 and "train" not in planned and "select" not in planned

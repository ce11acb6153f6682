"""Students through the pipeline: nobody learns from held-out images, and what changed is done again alone."""

import shutil

import pandas as pd
import pytest

from condense.config.settings import Images
from condense.images.index import list_validation
from studies import CLASSES, StudyCopy

STUDENTS = {
    "small": {"resolution": 16, "network": {"depth": 2, "width": 8}, "training": {"batch": 8, "epochs": 10}},
    "online": {"labels": {"teachers": ["small"]}, "training": {"recipe": "edc", "batch": 8, "epochs": 2}},
    "stored": {
        "labels": {"teachers": ["small", "net"], "view": "image"},
        "training": {"recipe": "dsco-soft", "batch": 8, "epochs": 2},
    },
}
TABLE = {
    "methods": ["full", "random"],
    "students": [*STUDENTS],
    "budgets": ["6"],
    "rows": ["student", "method"],
    "metrics": ["accuracy", "training_seconds"],
}
HELD = Images(root="images", validation=0.25)


@pytest.fixture(scope="module")
def examined(tmp_path_factory) -> StudyCopy:
    """The tiny study with students alone, run up to its accuracies, a table of them and two figures."""
    study = StudyCopy.create(tmp_path_factory.mktemp("examined"))

    def with_students(config):
        config["images"]["validation"] = HELD.validation
        config["shards"] = 1
        config["students"] = {name: STUDENTS["small"] | changes for name, changes in STUDENTS.items()}
        config["methods"]["full"] = {"kind": "full"}
        config["comparisons"]["6"] = {"methods": ["full", "random"], "students": [*STUDENTS]}
        config["seeds"] = [0, 1]
        config["tables"] = {"accuracy": TABLE}

    study.configure(with_students)
    figures = ("learning_6", "confusion/stored/random.1/6/seed1")
    wanted = ["results/accuracy_6.csv", "results/tables/accuracy.md"]
    done = study.run(*wanted, *(f"results/figures/{figure}.png" for figure in figures))
    assert done.returncode == 0, done.stdout
    return study


def test_the_table_has_a_row_for_each_student_and_method(examined):
    table = pd.read_csv(examined.folder / "results/accuracy_6.csv")
    names = [(student, method) for student in STUDENTS for method in ("full", "random")]
    assert [*zip(table["student"], table["method"], strict=True)] == names
    assert table["seeds"].tolist() == [2] * 6 and table["labels"].tolist() == ["hard"] * 2 + ["soft"] * 4
    assert table["images"].tolist()[1::2] == [6] * 3
    runs = pd.read_csv(examined.folder / "results/accuracies_6.csv")
    assert len(runs) == 12 and runs["accuracy"].between(0, 100).all()
    assert table["accuracy"][0] == pytest.approx(runs["accuracy"][:2].mean())
    text = (examined.folder / "results/tables/accuracy.md").read_text().replace("*", "")
    assert f"| small | full | {table['accuracy'][0]:.1f} ± {table['accuracy_std'][0]:.1f} |" in text
    assert "small: convnet-2-w8, recipe dc with other batch, epochs, 10 epochs" in text


def test_the_figures_are_pictures(examined):
    for path in examined.folder.glob("results/figures/**/*.png"):
        assert path.read_bytes()[:4] == b"\x89PNG" and path.stat().st_size > 5000, path
    assert len([*examined.folder.glob("results/figures/**/*.png")]) == 2


def test_held_out_images_are_in_no_index_embedding_or_subset(examined):
    results = examined.folder / "results"
    images = Images(root=str(examined.folder / "images"), validation=HELD.validation)
    held = {row.path for row in list_validation(images)}
    assert held == set(pd.read_csv(results / "validation_index.csv")["path"]) and len(held) > 8
    for path in [results / "index.csv", *results.glob("subsets/*/*.csv")]:
        assert not held & set(pd.read_csv(path)["path"]), path
    full = pd.read_csv(results / "subsets/full/all.csv")
    assert len(full) + len(held) == 24 * len(CLASSES)


def test_what_changed_is_done_again_and_nothing_else(examined, tmp_path):
    study = examined.duplicate(tmp_path)
    assert study.planned("results/accuracy_6.csv") == {}

    def more_epochs(config):
        config["students"]["online"]["training"]["epochs"] = 3

    study.configure(more_epochs)
    assert study.planned("results/accuracy_6.csv") == {"learn": 4, "examine": 4, "accuracies": 1}
    study.configure(lambda config: config["students"]["online"]["training"].update(epochs=2))
    shutil.copy(
        study.folder / "images" / CLASSES[0] / "000.png", study.folder / "images" / CLASSES[0] / "x.png"
    )
    planned = study.planned("results/accuracy_6.csv")
    assert planned["validation_index"] == 1 and planned["index"] == 1 and planned["learn"] == 12


def test_students_made_anew_have_the_same_accuracies(examined, tmp_path):
    study = examined.duplicate(tmp_path)
    kept = {path: path.read_bytes() for path in study.folder.glob("results/accurac*_6.csv")}
    shutil.rmtree(study.folder / "results/students/stored")
    shutil.rmtree(study.folder / "results/accuracies/stored")
    done = study.run("results/accuracy_6.csv")
    assert done.returncode == 0, done.stdout
    assert kept == {path: path.read_bytes() for path in kept} and len(kept) == 2

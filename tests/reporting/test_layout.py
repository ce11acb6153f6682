"""A layout survives the command line; a table holds students beside generators, each with what is its own."""

from pathlib import Path

import pandas as pd
import pytest
import yaml

from condense.base.tables import read_table, write_table
from condense.config import study
from condense.config.learners import Learner, Run
from condense.config.student import Student
from condense.plan.layout import describe_generator, describe_student, table_layout
from condense.reporting.layout import Entry, TableLayout
from condense.reporting.projection import project
from condense.reporting.scores import read_scores
from condense.reporting.typeset import Sheet

ROOT = Path(__file__).parents[2]

MACHINE = {"device": "cpu", "arithmetic": "pinned"}


@pytest.fixture
def imagenet():
    return study.load(yaml.safe_load((ROOT / "config.yaml").read_text()))


def test_every_layout_survives_the_command_line(imagenet):
    for name in imagenet.tables:
        layout = table_layout(imagenet, name)
        text = layout.to_json()
        assert TableLayout.from_json(text) == layout and "\n" not in text


@pytest.fixture
def mixed(imagenet):
    """A table of a generator and a student."""
    student = Student(resolution=64, network={"architecture": "resnet-ap", "depth": 10})
    learners = (Learner("generator", "dit-l-2"), Learner("student", "resnet"))
    runs = [Run(method, learner, "10k") for learner in learners for method in ("random", "gadc")]
    return TableLayout(
        name="both",
        caption="Both",
        rows=("method",),
        columns=("generator", "student", "metric"),
        metrics=("fid", "accuracy"),
        pairs=(("gadc", "random"),),
        note="",
        published=False,
        vary=("training",),
        entries=tuple(Entry(run, "10k", {0: (run.method, "")}, ()) for run in runs),
        learners={
            "generator": {"dit-l-2": describe_generator("dit-l-2", imagenet.generators["dit-l-2"])},
            "student": {"resnet": describe_student("resnet", student)},
        },
    )


def scores(folder: Path, learner: dict, **values) -> list[Path]:
    """Files of the scores of two methods: the second one's values are one larger."""
    paths = []
    for number, method in enumerate(("random", "gadc")):
        row = {"method": method} | learner | {"budget": "10k", "seed": 0, "subset_images": 10_000}
        paths.append(folder / f"{method}-{'-'.join(learner)}.csv")
        row |= {key: value + number if isinstance(value, float) else value for key, value in values.items()}
        write_table(pd.DataFrame([row]), paths[-1])
    return paths


def test_a_table_holds_students_beside_generators(mixed, tmp_path):
    generators = scores(
        tmp_path, {"generator": "dit-l-2"}, fid=4.0, detector="net", reference="batch", **MACHINE
    )
    students = scores(tmp_path, {"student": "resnet"}, accuracy=60.0, **MACHINE)
    every = read_scores([*generators, *students])
    layout = TableLayout.from_json(mixed.to_json())
    write_table(project(layout, every), tmp_path / "t.csv")
    table = read_table(tmp_path / "t.csv")
    assert [*table.columns[:5]] == ["table", "method", "generator", "student", "budget"]
    assert [*table.columns[-3:]] == ["network", "trainings", "trainings_std"]
    assert [*table.columns].count("labels") == 1
    assert table["network"].fillna("").tolist() == ["", "", "resnet-ap-10", "resnet-ap-10"]
    assert table["mean"].tolist() == [4.0, 5.0, 60.0, 61.0]
    assert table["metric"].tolist() == ["fid", "fid", "accuracy", "accuracy"]
    assert table["generator"].fillna("").tolist() == ["dit-l-2", "dit-l-2", "", ""]
    assert table["student"].fillna("").tolist() == ["", "", "resnet", "resnet"]
    assert table["labels"].tolist() == ["balanced", "balanced", "hard", "hard"]
    text = Sheet(layout, table, every, None).markdown()
    assert "| Method | dit-l-2 FID | resnet Accuracy (%) |" in text
    assert "| gadc | 5.00 | **61.0** |" in text
    assert "dit-l-2: 100,000 steps of 128 images" in text
    assert "in the features of net against batch; trained on cpu (pinned)." in text
    student = "resnet: resnet-ap-10, recipe dc, 300 epochs, 64 pixels, hard labels; trained on cpu (pinned)."
    assert student in text
    assert "gadc less random, FID, dit-l-2, 10k: measured +1.00" in text
    assert "gadc less random, Accuracy (%), resnet, 10k: measured +1.0" in text


def test_a_pair_that_was_not_measured_is_no_line(mixed, tmp_path):
    generators = scores(tmp_path, {"generator": "dit-l-2"}, fid=float("nan"), detector="net")
    every = read_scores([*generators, *scores(tmp_path, {"student": "resnet"}, accuracy=60.0)])
    text = Sheet(mixed, project(mixed, every), every, None).markdown()
    assert "gadc less random, Accuracy (%), resnet, 10k: measured +1.0" in text
    assert "gadc less random, FID" not in text


def test_a_table_of_students_has_no_column_of_generators(mixed, tmp_path):
    layout = TableLayout(
        **vars(mixed)
        | {
            "columns": ("metric",),
            "metrics": ("accuracy",),
            "entries": mixed.entries[2:],
            "learners": {"student": mixed.learners["student"]},
        }
    )
    every = read_scores(scores(tmp_path, {"student": "resnet"}, accuracy=60.0))
    table = project(layout, every)
    assert "generator" not in table and "fid" not in table["metric"].tolist()
    assert table["mean"].tolist() == [60.0, 61.0]
    text = Sheet(layout, table, every, None).markdown()
    assert "Both. Student resnet, budget 10k." in text


def test_names_that_look_like_numbers_find_their_scores(imagenet, tmp_path):
    run = Run("007", Learner("generator", "12"), "10k")
    write_table(pd.DataFrame([run.names() | {"seed": 0, "subset_images": 9, "fid": 4.0}]), tmp_path / "s.csv")
    layout = TableLayout(
        **vars(table_layout(imagenet, "main_10k"))
        | {
            "metrics": ("fid",),
            "entries": (Entry(run, "10k", {0: (run.method, "")}, ()),),
            "learners": {"generator": {"12": describe_generator("12", imagenet.generators["dit-l-2"])}},
        }
    )
    assert project(layout, read_scores([tmp_path / "s.csv"]))["mean"].tolist() == [4.0]


def test_few_samples_are_warned_of_where_an_fid_stands(mixed):
    def notes(samples: int, metrics: tuple[str, ...]) -> str:
        about = dict(mixed.learners["generator"]["dit-l-2"]) | {"samples": samples}
        learners = mixed.learners | {"generator": {"dit-l-2": about}}
        layout = TableLayout(**vars(mixed) | {"learners": learners, "metrics": metrics, "pairs": ()})
        return Sheet(layout, project(layout, None), None, None).markdown()

    warning = (
        "1,500 samples are few for an FID, and raise it: compare it with others of as many samples alone"
    )
    assert warning in notes(1_500, ("fid", "accuracy"))
    assert "are few" not in notes(10_000, ("fid", "accuracy"))
    assert "are few" not in notes(1_500, ("recall", "accuracy"))

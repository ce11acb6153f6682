"""Tables cross methods and budgets with learners, generators and students alike."""

from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from condense.base.errors import InputError
from condense.config import study
from condense.config.crossing import Table
from condense.config.learners import Learner, Run

ROOT = Path(__file__).parents[2]
NAMES = {"methods": ["random", "gadc"], "budgets": ["10"]}
STUDENT = Learner("student", "resnet")


def test_students_stand_after_generators():
    table = Table(**NAMES, generators=["dit"], students=["resnet"], metrics=["fid", "accuracy"])
    generator = Learner("generator", "dit")
    assert table.runs() == [
        Run(method, learner, "10") for learner in (generator, STUDENT) for method in ("random", "gadc")
    ]
    assert table.runs()[2].names() == {"method": "random", "student": "resnet", "budget": "10"}


def test_a_further_crossing_takes_the_tables_learners_where_it_names_none():
    table = Table(
        **NAMES,
        students=["resnet"],
        columns=["student"],
        metrics=["accuracy"],
        also=[{"methods": ["full"]}, {"methods": ["random"], "students": ["convnet"]}],
    )
    assert [(run.method, run.learner.name) for run in table.runs()] == [
        *(("random", "resnet"), ("gadc", "resnet"), ("full", "resnet"), ("random", "convnet"))
    ]


def test_a_generator_and_a_student_share_a_line_where_their_metrics_differ():
    table = Table(**NAMES, generators=["dit"], students=["resnet"], metrics=["fid", "accuracy"])
    assert len(table.runs()) == 4


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({}, "a table needs generators, students or judges"),
        ({"students": ["resnet"]}, "fid is no metric of a student"),
        ({"generators": ["dit"], "metrics": ["accuracy"]}, "accuracy is no metric of a generator"),
        ({"students": ["a", "b"], "metrics": ["accuracy"]}, "two runs share the cell of random"),
        ({"generators": ["a"], "students": ["a"]}, "none of the metrics is one of a student"),
        ({"generators": ["a"], "students": ["a"], "metrics": ["gpu_hours"]}, "two runs share the cell"),
    ],
)
def test_a_faulty_crossing_says_what_is_wrong(change, sentence):
    with pytest.raises(ValidationError, match=sentence):
        Table(**NAMES, **change)


def test_a_student_that_the_study_does_not_define_is_refused():
    config = yaml.safe_load((ROOT / "tests/tiny/config.yaml").read_text())
    table = {"methods": ["gadc"], "students": ["sit"], "budgets": ["6"], "metrics": ["accuracy"]}
    config["tables"] = {"main": table}
    with pytest.raises(InputError, match=r"tables\.main\.students names 'sit', which is not defined"):
        study.load(config)

"""What the rules of doping and of occupied cells ask of a study, and the faults of a config that has some."""

import shlex

import pytest
import yaml

from condense.base.errors import InputError
from condense.config.options import build
from condense.config.settings import Method
from condense.plan.plan import Plan
from sources import ROOT


@pytest.fixture
def config():
    config = yaml.safe_load((ROOT / "examples/distil/config.yaml").read_text()) | {"seeds": [0, 3]}
    config["budgets"] = {"100": 10, "200": 20}
    config["students"] = {
        "hard": {"resolution": 8, "network": {"depth": 2}},
        "soft": {"resolution": 8, "training": {"recipe": "dsco-soft"}, "labels": {"teachers": ["hard"]}},
    }
    config["methods"] = {
        "full": {"kind": "full"},
        "random": {"kind": "random"},
        "samples": {"kind": "samples", "generator": "dit"},
        "doped": {"kind": "doped", "made": "samples", "made_budget": "100", "student": "hard"},
    }
    config["comparisons"] = {
        budget: {"methods": ["full", "random", "samples"], "students": ["hard"]}
        for budget in config["budgets"]
    }
    config["comparisons"]["200"]["methods"].append("doped")
    config |= {"tables": {}, "subsets": None}
    return config


def test_a_doped_set_is_a_made_one_and_what_its_student_confuses(config):
    plan = Plan(config | {"shards": 2})
    run = "label/hard/samples/100/seed0"
    assert plan.inputs.dope("doped") == {
        "made_subset": "results/subsets/samples/100.csv",
        "confusion": [f"results/confusion/{run}/{number}-of-2.h5" for number in (1, 2)],
    }
    assert plan.names("doped") == r"doped|doped\.3" and "doped" not in plan.names("chosen")
    words = shlex.split(plan.options.select("doped", "200"))
    assert words[words.index("--budget") + 1] == "20" and "--made" not in words
    build(Method, {"kind": "doped", "scope": "global"})


def test_a_replicate_dopes_its_own_set_by_its_own_student(config):
    inputs = Plan(config | {"shards": 1}).inputs
    assert inputs.dope("doped.3") == {
        "made_subset": "results/subsets/samples.3/100.csv",
        "confusion": ["results/confusion/label/hard/samples.3/100/seed3/1-of-1.h5"],
    }
    alone = Plan(config | {"shards": 1, "vary": ["sampling"]})
    assert "doped.3" not in alone.study.methods


def test_teachers_are_looked_at_where_they_are_the_reference(config):
    config["methods"]["doped"] |= {"reference": "teacher", "student": "soft"}
    inputs = Plan(config | {"shards": 1}).inputs
    assert inputs.dope("doped")["confusion"] == ["results/confusion/teacher/soft/samples/100/seed0/1-of-1.h5"]
    teachers = ["results/students/hard/full/all/seed0.safetensors"]
    assert inputs.confusion("teacher", "soft", "100", "0") == {"teacher": teachers}
    assert inputs.confusion("label", "soft", "100", "0") == {}


def test_the_trigger_looks_at_sets_of_every_budget(config):
    found = Plan(config | {"shards": 1}).inputs.dope_trigger("label", "hard", "samples", "0")
    assert found == [
        f"results/confusion/label/hard/samples/{budget}/seed0/1-of-1.h5" for budget in ("100", "200")
    ]


def test_cells_are_counted_of_every_set_that_has_a_size(config):
    inputs = Plan(config).inputs
    assert inputs.plot_occupancy() == [
        f"results/occupancy/pixels/8/{run}.csv"
        for run in ("random/100", "samples/100", "random/200", "samples/200", "doped/200")
    ]
    assert inputs.occupancy("pixels", "8") == {"real": "results/latents/pixels/8/full/all.h5"}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"made": "random"}, r"methods\.doped\.made names 'random', which is not defined"),
        ({"made_budget": "50"}, r"made_budget names '50', which is not defined \(defined: 100, 200\)"),
        ({"student": "none"}, "student names 'none'"),
        ({"reference": "teacher"}, "student hard has none"),
    ],
)
def test_names_that_are_not_defined_are_one_sentence(config, change, sentence):
    config["methods"]["doped"] |= change
    with pytest.raises(InputError, match=sentence):
        Plan(config)

"""Groups are drawn by one method with several seeds, which the plan adds, in each replicate anew."""

import pytest
import yaml

from condense.base.errors import InputError
from condense.config.names import replicate_of
from condense.plan.plan import Plan
from sources import ROOT


@pytest.fixture
def config() -> dict:
    """The digits' study with a choice among three groups of random images."""
    found = yaml.safe_load((ROOT / "examples/digits/config.yaml").read_text()) | {"seeds": [0, 2]}
    found["methods"]["s3"] = {"kind": "groups", "drawn_by": "random", "groups": 3, "encoder": "cnn"}
    return found


def test_each_group_is_drawn_by_a_method_of_its_own(config):
    plan = Plan(config)
    files = plan.inputs.choose_groups("s3", "100")
    names = ["random", "random.group1", "random.group2"]
    assert files["group"] == [f"results/subsets/{name}/100.csv" for name in names]
    seeds = [plan.study.methods[name].seed for name in names]
    assert seeds[0] == config["methods"]["random"].get("seed", 0) and len(set(seeds)) == 3
    assert files["encoder_file"] == "results/encoders/cnn.safetensors"
    chosen, grouped = (plan.names(kind).split("|") for kind in ("chosen", "grouped"))
    assert "random\\.group1" in chosen and "s3" not in chosen and grouped == ["s3", "s3\\.2"]


def test_a_replicate_draws_its_own_groups(config):
    plan = Plan(config)
    files = plan.inputs.choose_groups("s3.2", "100")
    assert files["group"][1] == "results/subsets/random.2.group1/100.csv"
    assert files["encoder_file"] == "results/encoders/cnn.2.safetensors"
    assert replicate_of("random.2.group1") == ("random", 2) and replicate_of("random.group1") == ("random", 0)
    seeds = {its.seed for name, its in plan.study.methods.items() if name.startswith("random")}
    assert len(seeds) == 6
    same = Plan(config | {"vary": ["training", "sampling"]})
    assert not [name for name in same.study.methods if name.startswith(("random.2", "s3.2"))]


def load(name: str) -> Plan:
    return Plan(yaml.safe_load((ROOT / f"examples/{name}/config.yaml").read_text()))


def test_choices_among_photographs_are_paired_and_their_encoder_is_one():
    plan = load("imagenette-groups")
    for seed in ("", ".1", ".4"):
        found = [
            plan.inputs.choose_groups(f"{name}{seed}", "100") for name in ("s3", "s3-closest", "s3-random")
        ]
        assert found[0] == found[1] == found[2]
        drawn = [f"random{seed}", *(f"random{seed}.group{number}" for number in range(1, 5))]
        assert found[0]["group"] == [f"results/subsets/{name}/100.csv" for name in drawn]
        assert found[0]["encoder_file"] == "results/encoders/mobilenet.safetensors"
    assert "s3" not in {name.split(".")[0] for name in plan.names("chosen").split("|")}


@pytest.mark.parametrize(
    ("study", "budget", "drawn_by"), [("distil", "100", "samples"), ("imagenette-distil", "10", "minimax-im")]
)
def test_along_the_curve_over_groups_more_are_added_to_the_same(study, budget, drawn_by):
    plan = load(study)
    table = plan.study.tables["groups_number"]
    single, *choices = table.methods
    assert single == drawn_by
    found = [plan.inputs.choose_groups(name, budget)["group"] for name in choices]
    assert [len(groups) for groups in found] == [2, 5, 10]
    assert found[2][:5] == found[1] and found[1][:2] == found[0]
    assert found[0][0] == f"results/subsets/{single}/{budget}.csv"


def test_only_what_the_stage_obeys_is_among_its_options(config):
    words = Plan(config).options.choose_groups("s3", "100").split()
    assert words[words.index("--pairs") + 1] == "mean" and words[words.index("--name") + 1] == "s3"
    assert words[words.index("--start") + 1] == "closest"
    assert not {"--drawn-by", "--encoder", "--groups"} & {*words}


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"drawn_by": "none"}, "methods.s3.drawn_by names 'none', which is not defined"),
        ({"drawn_by": "s3"}, "methods.s3.drawn_by names 's3', which is not defined"),
        ({"drawn_by": "full"}, "methods.s3.drawn_by names 'full', which is not defined"),
        ({"groups": 0}, "methods.s3.groups"),
        ({"choice": "farthest"}, "methods.s3.choice"),
    ],
)
def test_what_does_not_fit_is_one_sentence(config, changed, sentence):
    config["methods"]["s3"] |= changed
    with pytest.raises(InputError, match=sentence):
        Plan(config)

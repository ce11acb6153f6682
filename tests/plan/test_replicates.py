"""A seed draws the whole chain anew, what is drawn has a name of its own, and the rest is made once."""

import shlex

import pytest
import yaml

from condense.base.seeds import seed_of
from condense.plan.plan import Plan
from sources import ROOT


@pytest.fixture
def config():
    config = yaml.safe_load((ROOT / "examples/digits/config.yaml").read_text())
    return config | {"seeds": [0, 4]}


def words(options: str) -> dict[str, str]:
    """Options of a command with a value each."""
    split = shlex.split(options)
    return dict(zip(split[::2], split[1::2], strict=False))


def test_seed_0_keeps_the_names_and_settings_of_the_study(config):
    with_one, with_two = Plan(config | {"seeds": [0]}), Plan(config)
    assert with_one.study.methods == with_one.written.methods
    for method in with_one.study.methods:
        assert with_one.study.methods[method] == with_two.study.methods[method]
    one = with_one.inputs.table("100")
    assert one == [path for path in with_two.inputs.table("100") if path.endswith("seed0.csv")]


def test_a_seed_fits_its_own_encoder_and_draws_its_own_images(config):
    plan = Plan(config)
    encoders, methods = plan.study.encoders, plan.study.methods
    assert encoders["cnn.4"].seed == seed_of("replicate", 0, 4) % 2**31
    assert "judge.4" not in encoders  # one ruler for all
    assert methods["random.4"].seed == seed_of("replicate", 0, 4) % 2**31
    assert methods["gadc.4"].encoder == "cnn.4"
    assert methods["gadc.4"].alpha == methods["gadc"].alpha
    assert methods["d2c.4"].seed == 4  # the replicate's own generator ranks
    assert not {"full.4", "untrained.4", "gadc-judge.4"} & methods.keys()


def test_an_untrained_encoder_is_drawn_anew_and_its_probabilities_are_a_linear_heads(config):
    config["encoders"]["cnn"] = {"kind": "untrained"}
    plan = Plan(config)
    assert plan.study.encoders["cnn.4"].seed == seed_of("replicate", 0, 4) % 2**31
    assert plan.inputs.classify("cnn.4", "1-of-2")["classifier"] == "results/heads/cnn.4.safetensors"
    assert plan.inputs.encoder("cnn") == []


def test_paths_of_a_replicate_hold_its_own_names_and_scores_the_name_of_the_study(config):
    plan = Plan(config)
    scores = plan.inputs.table("100")
    assert "results/scores/sit-tiny/gadc.4/100/seed4.csv" in scores
    assert "results/scores/sit-tiny/full/all/seed4.csv" in scores
    assert "results/scores/sit-tiny/gadc/100/seed4.csv" not in scores
    told = words(plan.options.score("sit-tiny", "gadc.4", "100", "4"))
    assert (told["--method"], told["--seed"]) == ("gadc", "4")
    assert words(plan.options.select("gadc.4", "100"))["--name"] == "gadc"
    inputs = plan.inputs.select("gadc.4", "1-of-2")
    assert inputs["features"] == "results/embeddings/cnn.4/1-of-2.h5"
    patches = plan.inputs.train("sit-attach", "gadc.4", "100", "4")["patches"]
    assert patches == "results/patches/cnn.4/8/gadc.4/100.h5"


def test_all_runs_of_a_replicate_share_noise_that_no_other_replicate_has(config):
    plan = Plan(config)
    noise = {
        (method, seed): words(plan.options.generate("sit-tiny", method, "100", seed))["--noise-seed"]
        for method, seed in (("gadc", "0"), ("random", "0"), ("gadc.4", "4"), ("random.4", "4"))
    }
    assert noise["gadc", "0"] == noise["random", "0"] != noise["gadc.4", "4"] == noise["random.4", "4"]


@pytest.mark.parametrize("part", ["encoder", "draw", "training", "sampling"])
def test_what_does_not_vary_is_that_of_seed_0(config, part):
    kept = Plan(config | {"vary": [part]})
    study = kept.study
    assert ("cnn.4" in study.encoders) == ("gadc.4" in study.methods) == (part == "encoder")
    assert ("random.4" in study.methods) == (part == "draw")
    assert ("d2c.4" in study.methods) == (part == "training")
    assert words(kept.options.train("sit-tiny", "4"))["--seed"] == ("4" if part == "training" else "0")
    noise = words(kept.options.generate("sit-tiny", "full", "all", "4"))["--noise-seed"]
    assert (noise != "0") == (part == "sampling")


def test_every_replicate_of_a_subset_is_measured_by_one_ruler_and_drawn_once(config):
    plan = Plan(config)
    measured = plan.inputs.merge_measures()
    assert "results/measures/gadc.4/100.csv" in measured["rows"]
    assert "results/measures/gadc/100.csv" in measured["rows"]
    assert len(measured["rows"]) == len(measured["subsets"]) == len({*measured["rows"]})
    assert all("cnn.4" not in path for path in plan.inputs.measure()["features"])
    assert words(plan.options.measure("gadc.4", "100"))["--seed"] == "4"
    assert not [path for path in plan.targets.shown() if "figures/map" in path and "." in path.split("/")[3]]


def test_costs_of_a_replicate_are_looked_up_by_its_own_names(config):
    config["tables"]["cost"]["methods"] = ["gadc", "full"]
    layout = words(Plan(config).options.tabulate("cost"))["--layout"]
    assert '"paths":{"0":["gadc","cnn"],"4":["gadc.4","cnn.4"]}' in layout
    assert '"paths":{"0":["full",""],"4":["full",""]}' in layout

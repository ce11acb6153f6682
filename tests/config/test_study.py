"""A faulty config is one sentence that names the key; a good one says what the rules need."""

import copy
from pathlib import Path

import pytest
import yaml

from condense.base.errors import InputError
from condense.config import study
from condense.config.names import RESERVED
from condense.plan.plan import Plan

ROOT = Path(__file__).parents[2]
CONFIGS = [
    "config.yaml",
    "examples/cifar10/config.yaml",
    "examples/digits/config.yaml",
    "examples/digits-students/config.yaml",
    "examples/imagenette/config.yaml",
    "examples/imagenette-groups/config.yaml",
    "examples/imagenette-students/config.yaml",
    "examples/quick/config.yaml",
    "examples/seeds/config.yaml",
    "tests/tiny/config.yaml",
]


@pytest.fixture
def config():
    return yaml.safe_load((ROOT / "examples/digits/config.yaml").read_text())


@pytest.mark.parametrize("path", CONFIGS)
def test_every_study_of_the_repository_is_valid(path):
    study.load(yaml.safe_load((ROOT / path).read_text()))


def changed(config, key, value):
    config = copy.deepcopy(config)
    *parents, last = key.split(".")
    part = config
    for parent in parents:
        part = part[parent]
    if value is None:
        del part[last]
    else:
        part[last] = value
    return config


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("seedz", [0], "seedz is not a known key"),
        ("images.rooot", "x", "images.rooot is not a known key"),
        ("methods.gadc.kappa", 1.1, "methods.gadc.kappa is not a known key"),
        ("methods.gadc.capacity", 0.5, "capacity: must be at least 1"),
        ("methods.gadc.epsilon", -1, "epsilon: must be more than 0"),
        ("methods.gadc.encoder", "vgg", "methods.gadc.encoder names 'vgg', which is not defined"),
        ("methods.gadc.kind", "gdac", "methods.gadc.kind: 'gdac' is none of"),
        ("methods.gadc", {"select": "gadc"}, "methods.gadc.select is `kind` now: write `kind: gadc`"),
        ("methods.gadc", {"encoder": "cnn"}, "methods.gadc.kind is missing; add it"),
        ("detector", "vgg", "detector names 'vgg'"),
        ("budgets.100", 0, "budgets.100"),
        ("budgets", None, "budgets is missing"),
        ("comparisons.100.methods", ["gdac"], "comparisons.100.methods names 'gdac', which is not defined"),
        ("comparisons.100.generators", ["dit"], "comparisons.100.generators names 'dit'"),
        ("generators.sit-tiny.autoencoder", "vae", "generators.sit-tiny.autoencoder names 'vae'"),
        ("generators.sit-tiny.sampling.sampler", "ddpm", "does not fit objective flow"),
        ("generators.sit-tiny.network.depth", None, "network"),
        ("title", ["a", "b"], "title"),
        ("methods.none", {"kind": "none"}, "cannot be a name"),
        ("methods.a/b", {"kind": "none"}, "methods.a/b"),
        ("methods.zero", {"kind": "random"}, "methods.zero: `zero` cannot be a name: it is the budget"),
        ("budgets.all", 7, "budgets.all: `all` cannot be a name: it is the budget"),
        ("autoencoders", {"pixels": {}}, "autoencoders.pixels: `pixels` cannot be a name: it is the space"),
        ("recipes.plain", {}, "recipes.plain: `plain` cannot be a name: it is the recipe"),
        ("seeds", [0, 1, 0], "seeds: 0 is listed twice"),
        ("comparisons.100.methods", ["gadc", "gadc"], "comparisons.100.methods: gadc is listed twice"),
        ("comparisons.100.generators", ["sit-tiny"] * 2, "comparisons.100.generators: sit-tiny is listed"),
        ("subsets.methods", ["gadc", "dq", "gadc"], "subsets.methods: gadc is listed twice"),
        ("subsets.budgets", ["100", "100"], "subsets.budgets: 100 is listed twice"),
        ("tables.sit.methods", ["gadc", "gadc"], "tables.sit.methods: gadc is listed twice"),
        ("tables.sit.also", [{"budgets": ["50", "50"]}], "tables.sit.also.0.budgets: 50 is listed twice"),
        ("tables.sit.metrics", ["fid", "fid"], "tables.sit.metrics: fid is listed twice"),
        ("tables.sit.pairs", [["gadc", "gadc"]], "tables.sit.pairs.0: gadc is listed twice"),
    ],
)
def test_a_fault_is_one_sentence_that_names_the_key(config, key, value, sentence):
    with pytest.raises(InputError) as fault:
        study.load(changed(config, key, value))
    assert sentence in str(fault.value)
    assert "\n" not in str(fault.value)


def test_rows_follow_the_config_and_ceiling_and_floor_have_their_own_budget(config):
    rows = study.load(config).rows("100", "generator")
    assert [(run.method, run.learner.name, run.budget) for run in rows[:4]] == [
        ("full", "sit-tiny", "all"),
        ("random", "sit-tiny", "100"),
        ("gadc", "sit-tiny", "100"),
        ("untrained", "sit-tiny", "zero"),
    ]
    assert len(rows) == 8


def test_every_name_that_the_plan_itself_uses_is_reserved(config):
    plan = Plan(config)
    own = {name for kind in ("budgets", "spaces") for name in plan.names(kind).split("|")}
    assert own - config["budgets"].keys() == {"all", "zero", "pixels"} <= RESERVED.keys()


def test_names_are_closed_lists(config):
    plan = Plan(config)
    assert plan.names("methods") == "|".join(config["methods"])
    assert plan.names("budgets") == "50|100|200|all|zero"
    assert plan.names("spaces") == "pixels"


def test_names_reach_the_shell_quoted(config):
    config["images"] = {"source": "imagefolder", "root": "$(touch x); rm -rf y"}
    assert "'$(touch x); rm -rf y'" in Plan(config).options.index()


def test_words_that_settings_rule_out_are_those_of_what_is_not_chosen(config):
    plan = Plan(config)
    assert plan.unused() == ["imagefolder", "parquet", "tar"]
    assert {"random", "herding", "list"} < {*plan.unused(method="gadc")} and "gadc" not in plan.unused(
        method="gadc"
    )
    assert {"adm", "ddpm", "heun"} < {*plan.unused(generator="sit-tiny")}
    assert {"flow", "euler"}.isdisjoint(plan.unused(generator="sit-tiny"))
    assert {"timm", "torchvision"} < {*plan.unused(encoder="cnn")} and "fit" not in plan.unused(encoder="cnn")


def borrowing(config, **weights):
    config = changed(config, "generators.sit-tiny.training.milestone_every", 500)
    config["generators"]["sit-early"] = {
        "weights": {"generator": "sit-tiny", "step": 500} | weights,
        "sampling": {"guidance": 2},
    }
    return config


def test_a_generator_with_anothers_weights_has_its_settings_and_no_training(config):
    plan = Plan(borrowing(config))
    mine, lender = (plan.study.generators[name] for name in ("sit-early", "sit-tiny"))
    assert (mine.network, mine.objective) == (lender.network, lender.objective)
    assert mine.training.steps == 500 and mine.sampling.guidance == 2 and mine.sampling.images == 1500
    folder = "results/generators/sit-tiny/gadc/100/seed0"
    weights = f"--weights {folder}.milestones/step_000000500.safetensors"
    assert weights in plan.options.generate("sit-early", "gadc", "100", "0")
    assert plan.inputs.generate("sit-early", "gadc", "100", "0") == f"{folder}.milestones"
    assert f"--weights {folder}.safetensors" in plan.options.generate("sit-tiny", "gadc", "100", "0")
    assert plan.inputs.generate("sit-tiny", "gadc", "100", "0") == f"{folder}.safetensors"


def test_d2c_ranks_by_a_generator_with_anothers_weights_where_those_are(config):
    config["methods"]["d2c"] = {"kind": "d2c", "generator": "sit-early", "trained_on": "full"}
    plan = Plan(borrowing(config))
    folder = "results/generators/sit-tiny/full/all/seed0.milestones"
    assert plan.inputs.difficulty("d2c") == {"weights": folder, "subset": "results/subsets/full/all.csv"}
    assert f"--weights {folder}/step_000000500.safetensors " in plan.options.difficulty("d2c")
    assert "--generator" not in plan.options.select("d2c", "100")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"weights": {"step": 700}}, "generators.sit-early.weights.step 700 is no milestone of sit-tiny"),
        ({"weights": {"step": 9000}}, "generators.sit-early.weights.step 9000 is no milestone of sit-tiny"),
        ({"weights": {"generator": "sit"}}, "generators.sit-early.weights names 'sit'"),
        ({"weights": {"generator": "sit-early"}}, "generators.sit-early.weights names 'sit-early'"),
        ({"weights": {"steps": 3}}, "generators.sit-early.weights.steps is not a known key"),
        ({"resolution": 16}, "resolution cannot be given"),
        ({"sampling": {"sampler": "ddpm"}}, "ddpm does not fit objective flow"),
        ({"sampling": {"guidence": 2}}, "generators.sit-early.sampling.guidence is not a known key"),
    ],
)
def test_faulty_borrowed_weights_are_one_sentence(config, change, sentence):
    config = borrowing(config, **change.pop("weights", {}))
    config["generators"]["sit-early"] |= change
    with pytest.raises(InputError) as fault:
        study.load(config)
    assert sentence in str(fault.value) and "\n" not in str(fault.value)

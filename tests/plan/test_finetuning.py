"""A finetuned generator is asked for like a trained one, and starts from the weights that its study names."""

import pytest
import yaml

from condense.base.errors import InputError
from condense.config import study
from condense.config.learners import Learner, Run
from condense.config.published import find_value
from condense.plan.layout import describe
from condense.plan.needs import Needs
from condense.plan.plan import Plan
from condense.plan.replicates import replicated
from sources import ROOT


@pytest.fixture
def config() -> dict:
    """The digits' study with a generator that is finetuned from one of them."""
    found = yaml.safe_load((ROOT / "examples/digits/config.yaml").read_text())
    found["generators"]["minimax"] = {
        "finetune": {"generator": "dit-tiny", "inversion": "code", "epochs": 4},
        "sampling": {"guidance": 4.0},
    }
    found["generators"]["more"] = {"weights": {"generator": "minimax"}, "sampling": {"guidance": 2.0}}
    return found


def test_a_finetuned_generator_has_the_settings_of_the_one_it_starts_from(config):
    generators = study.load(config).generators
    start, tuned, more = (generators[name] for name in ("dit-tiny", "minimax", "more"))
    for name in ("objective", "resolution", "autoencoder", "recipe", "network"):
        assert getattr(tuned, name) == getattr(start, name)
    assert tuned.sampling.guidance == 4 and tuned.sampling.steps == start.sampling.steps
    assert (tuned.finetune.epochs, tuned.finetune.learning_rate, tuned.finetune.memory) == (4, 1e-3, 64)
    assert more.finetune == tuned.finetune and more.sampling.guidance == 2


def test_jobs_start_from_the_replicates_weights(config):
    plan = Plan(config)
    files = plan.inputs.finetune("minimax", "random", "100", "2")
    assert files["start"] == "results/generators/dit-tiny/full/all/seed2.safetensors"
    assert files["start_subset"] == "results/subsets/full/all.csv"
    assert files["latents"].endswith("/random/100.h5")
    words = plan.options.finetune("minimax", "2").split()
    assert words[words.index("--inversion") + 1] == "code"
    assert words[words.index("--seed") + 1] == "2" and "--generator" not in words
    assert "minimax" in plan.names("finetuned").split("|")
    assert "minimax" not in plan.names("trained").split("|")
    generated = plan.inputs.generate("more", "random", "100", "0")
    assert generated == "results/generators/minimax/random/100/seed0.safetensors"


def test_a_checkpoint_to_start_from_is_imported(config):
    config["generators"]["minimax"]["finetune"] |= {"checkpoint": "data/dit.pt", "trained_on": "imagenet"}
    plan = Plan(config)
    assert plan.inputs.finetune("minimax", "random", "100", "0") == {
        "start": "results/checkpoints/generators/minimax.safetensors",
        "latents": plan.inputs.finetune("minimax", "random", "100", "0")["latents"],
    }
    assert plan.options.import_checkpoint("generators", "minimax") == "--checkpoint data/dit.pt"


def test_no_published_value_stands_beside_a_finetuned_generator(config):
    found = study.load(config)
    about = describe(found, Learner("generator", "minimax"))
    assert about["architecture"] == "" and about["recipe"] == "plain, finetuned from dit-tiny"
    assert find_value(Run("random", Learner("generator", "minimax"), "100"), "fid", about) is None


def test_finetuning_and_the_training_it_starts_from_are_counted(config):
    found = replicated(study.load(config | {"seeds": [0]}))
    runs = [Run("random", Learner("generator", name), "100") for name in ("minimax", "more")]
    needs = Needs(found, 1500, 10, runs)
    network = needs._network("minimax").operations
    images = 10 * found.budgets["100"]
    assert needs.training("minimax").operations == 4 * (2 + 1) * images * network
    training = found.generators["dit-tiny"].training
    assert needs.training("dit-tiny").operations == 3 * training.steps * training.batch * network


@pytest.mark.parametrize(
    ("generator", "sentence"),
    [
        ({"finetune": {"generator": "sit-tiny"}}, "sit-tiny has the objective flow, and finetuning needs"),
        ({"finetune": {"generator": "none"}}, "names 'none', which is no generator with a training"),
        ({"finetune": {"generator": "more"}}, "names 'more', which is no generator with a training"),
        ({"finetune": {"generator": "dit-tiny", "trained_on": "random"}}, "trained_on names 'random'"),
        ({"finetune": {"generator": "dit-tiny", "inversion": False}}, "finetune.inversion"),
        ({"finetune": {"generator": "dit-tiny"}, "training": {}}, "training cannot be given; remove it"),
        ({"finetune": {"generator": "dit-tiny", "memroy": 3}}, "memroy is not a known key"),
        ({"weights": {"generator": "minimax", "step": 10}}, "a finetuning keeps no milestones"),
    ],
)
def test_what_does_not_fit_is_one_sentence(config, generator, sentence):
    config["generators"]["odd"] = generator
    with pytest.raises(InputError, match=sentence) as caught:
        Plan(config)
    assert "\n" not in str(caught.value)

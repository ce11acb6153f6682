"""The command synthesise with a surrogate and real latents, and what the plan gives it."""

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from commands import call
from condense.base.artefacts import write_artefact
from condense.base.errors import InputError
from condense.config.settings import Network
from condense.config.study import load
from condense.images.index import index
from condense.plan.plan import Plan
from condense.students.learn import learn
from condense.synthesis.synthesise import synthesise
from condense.training.latents import latents
from golden_networks import small
from studies import ROOT

DIGITS = ["--source", "digits", "--validation", "0.1"]
SHORT = ["--steps", "6", "--guidance", "2"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An index of the digits, a surrogate, latents of three of each kind, and a generator."""
    folder = tmp_path_factory.mktemp("guided")
    call(index, *DIGITS, "--output", folder / "index.csv")
    rows = pd.read_csv(folder / "index.csv").groupby("class").head(3)
    rows = rows.assign(rank=rows.groupby("class").cumcount())[["path", "class", "class_index", "rank"]]
    rows.to_csv(folder / "subset.csv", index=False)
    place = {"subset": folder / "subset.csv", "index": folder / "index.csv", "output": folder / "latents.h5"}
    call(latents, *DIGITS, *options(place), "--resolution", "8")
    network = [
        "--depth",
        "2",
        "--width",
        "8",
        "--resolution",
        "8",
        "--recipe",
        "igd-surrogate",
        "--epochs",
        "2",
    ]
    place = {"subset": folder / "subset.csv", "output": folder / "surrogate.safetensors"}
    call(learn, *DIGITS, *options(place), *network, "--evaluate-every", "2")
    about = {"objective": "adm", "network": vars(Network(depth=2, width=32, heads=4)), "classes": 10}
    weights = small(channels=3, classes=10, learn_sigma=True).state_dict()
    write_artefact(folder / "generator.safetensors", about | {"shape": [3, 8, 8]}, weights)
    return folder


def options(values: dict) -> list:
    return [word for key, value in values.items() for word in (f"--{key}", value)]


def run(folder, name: str, *more: object) -> tuple[np.ndarray, str]:
    """Images [images, h, w, 3] of a run, and what it said."""
    place = {"weights": folder / "generator.safetensors", "index": folder / "index.csv"}
    place |= {"made": folder, "images": folder / name, "output": folder / f"{name}.csv"}
    place |= {"state": folder / "state" / name, "budget": 2}
    said = call(synthesise, *options(place), *SHORT, *more)
    files = sorted((folder / name).rglob("*.png"))
    return np.stack([np.asarray(Image.open(file)) for file in files]), said


def test_guided_images_are_made_by_what_earlier_stages_left(folder):
    surrogate = ["--surrogate-weights", folder / "surrogate.safetensors", "--dataset-source", "digits"]
    surrogate += ["--reference-index", folder / "index.csv", "--reference-images", "8"]
    real = ["--latents", folder / "latents.h5"]
    plain, _ = run(folder, "plain", "--kind", "samples")
    guided, said = run(folder, "guided", "--kind", "igd", *surrogate)
    assert len(guided) == 20 and "the surrogate guides as it was after epochs 0" in said
    assert "image 2, moves of deviation over sigma at times 799" in said
    moved, said = run(folder, "moved", "--kind", "otg", *surrogate, *real)
    assert "image 1, moves of transport over sigma at times 799" in said
    alone, _ = run(folder, "alone", "--kind", "otg", "--influence-weight", "0", *real)
    assert len({images.tobytes() for images in (plain, guided, moved, alone)}) == 4


def test_what_was_not_given_is_one_sentence(folder):
    with pytest.raises(InputError, match="--surrogate-weights is missing: this way to make images looks"):
        run(folder, "a", "--kind", "igd")
    with pytest.raises(InputError, match="--latents is missing"):
        run(folder, "a", "--kind", "otg", "--influence-weight", "0")
    with pytest.raises(InputError, match="--transport-weight is no option of igd"):
        run(folder, "a", "--kind", "igd", "--transport-weight", "1")


@pytest.fixture
def config() -> dict:
    """The digits' study of made images, with a surrogate and guided methods."""
    config = yaml.safe_load((ROOT / "examples" / "distil" / "config.yaml").read_text())
    student = {"resolution": 8, "training": {"recipe": "igd-surrogate"}}
    config["students"]["surrogate"] = student
    del config["vary"]  # whole replicates
    config["methods"]["igd"] = config["methods"]["samples"] | {"kind": "igd", "surrogate": "surrogate"}
    config["methods"]["otg"] = config["methods"]["igd"] | {"kind": "otg", "influence_weight": 0}
    return config


def test_the_plan_gives_a_guided_method_what_it_needs_and_no_more(config):
    plan = Plan(config)
    files = plan.inputs.synthesise("igd.2")
    assert files["surrogate_weights"] == "results/students/surrogate/full/all/seed2.safetensors"
    assert files["reference_index"] == "results/index.csv" and "latents" not in files
    assert "--dataset-source digits" in plan.options.synthesise("igd.2", "100")
    assert "--surrogate " not in plan.options.synthesise("igd.2", "100")
    files = plan.inputs.synthesise("otg")
    assert files["latents"] == "results/latents/pixels/8/full/all.h5" and "surrogate_weights" not in files
    assert "--dataset-source" not in plan.options.synthesise("otg", "100")


@pytest.mark.parametrize(
    ("where", "key", "value", "sentence"),
    [
        ("methods", "surrogate", "nobody", "methods.igd.surrogate names 'nobody', which is not defined"),
        ("methods", "surrogate", "hard", "methods.igd.surrogate: hard keeps no weights of epochs"),
        ("methods", "surrogate_trained_on", "random", "methods.igd.surrogate_trained_on names 'random'"),
        ("students", "resolution", 16, "surrogate takes 16 pixels and dit makes 8"),
    ],
)
def test_a_fault_is_one_sentence_that_names_the_key(config, where, key, value, sentence):
    config[where]["igd" if where == "methods" else "surrogate"][key] = value
    with pytest.raises(InputError, match=sentence):
        load(config)

"""What does not fit together is one sentence that names the key, before any job starts."""

import json
from dataclasses import fields

import pytest
import yaml

from condense.base.errors import InputError
from condense.config import networks, study
from condense.config.encoders import PREPROCESSING
from condense.encoders.pretrained import RELEASED
from condense.images.preprocess import Preprocess
from condense.plan.plan import Plan
from sources import ROOT


@pytest.fixture
def config():
    return yaml.safe_load((ROOT / "examples/digits/config.yaml").read_text())


def changed(config: dict, key: str, value: object) -> dict:
    """The config with one key set, given as words with dots between."""
    *way, last = key.split(".")
    place = config
    for word in way:
        place = place[word]
    place[last] = value
    return config


def test_an_untrained_teacher_is_refused(config):
    config["images"]["validation"] = 0.2
    config["encoders"]["start"] = {"kind": "untrained"}
    config["students"] = {
        "a": {"resolution": 8, "labels": {"teachers": ["start"]}, "training": {"recipe": "dsco-soft"}}
    }
    with pytest.raises(InputError, match=r"students\.a\.labels\.teachers: start is untrained; name another"):
        study.load(config)


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        (
            "generators.sit-tiny.network.patch",
            3,
            "generators.sit-tiny.network.patch is 3, which does not divide",
        ),
        ("recipes.attach.alignment_block", 4, "generators.sit-attach.recipe: attach aligns after block 4"),
        (
            "generators.dit-tiny.sampling.steps",
            1001,
            "generators.dit-tiny.sampling.steps is 1001; ddpm takes 2 to",
        ),
        ("generators.dit-tiny.sampling.steps", 1, "sampling.steps is 1; ddpm takes 2 to 1000"),
        ("encoders.cnn.preprocess", {"sise": 3}, "`preprocess` has no key sise; known are side, resize"),
        ("encoders.cnn", {"kind": "fid"}, "methods.k-center.encoder: cnn is for scoring only"),
        ("methods.random", {"kind": "list"}, "methods.random.file is missing; name the list"),
        (
            "methods.random",
            {"kind": "samples", "generator": "sit-tiny"},
            "methods.random.generator: sit-tiny has the objective flow",
        ),
        (
            "methods.random",
            {"kind": "samples", "generator": "dit-tiny"},
            "subsets.methods: random makes its images; compare it in a table by `judges`",
        ),
        (
            "encoders.cnn",
            {"kind": "timm", "model": "mobilenetv2_101"},
            "timm has no mobilenetv2_101; its nearest",
        ),
        (
            "encoders.cnn",
            {"kind": "torchvision", "model": "vgg11"},
            "vgg11 is none of torchvision's encoders",
        ),
        (
            "students",
            {"a": {"resolution": 8, "network": {"depth": 4}}},
            "students.a.network.depth: 4 blocks halve 8 pixels to none",
        ),
        (
            "students",
            {"a": {"resolution": 8, "network": {"architecture": "torchvision", "model": "resnet19"}}},
            "students.a.network.model: torchvision has no resnet19; its nearest names are resnet",
        ),
        (
            "encoders.cnn",
            {"kind": "untrained", "side": 8, "depth": 4},
            "`depth`: 4 blocks halve 8 pixels to none",
        ),
        ("encoders.cnn", {"kind": "untrained", "model": "vit"}, "kind untrained makes its own network"),
        ("comparisons.100.methods", [], "comparisons.100.methods"),
        ("shards", 1_000_000, "shards"),
        ("sample_shards", 1_000_000, "sample_shards"),
    ],
)
def test_a_contradiction_is_a_sentence_that_names_the_key(config, key, value, sentence):
    config["images"]["validation"] = 0.2
    with pytest.raises(InputError, match=r"^config\.yaml: ") as caught:
        study.load(changed(config, key, value))
    assert sentence in str(caught.value) and "\n" not in str(caught.value)


def test_samples_that_the_classes_do_not_divide_are_named_with_a_number_that_they_do(config):
    with pytest.raises(InputError, match=r"sampling.images is 1501, which 10 classes do not .* use 1500, or"):
        Plan(changed(config, "generators.sit-tiny.sampling.images", 1501))
    config["generators"]["sit-tiny"]["sampling"]["labels"] = "random"
    Plan(config)


def test_an_autoencoder_of_another_kind_and_a_size_that_it_does_not_halve_are_named(config, tmp_path):
    (tmp_path / "config.json").write_text(
        json.dumps({"_class_name": "AutoencoderTiny", "encoder_block_out_channels": [64] * 3})
    )
    config["autoencoders"] = {"taesd": {"kind": "tiny", "path": str(tmp_path)}}
    config["generators"]["sit-tiny"]["autoencoder"] = "taesd"
    study.load(config)  # latents of 2 x 2
    with pytest.raises(InputError, match=r"sit-tiny.resolution is 10; its autoencoder takes multiples of 4"):
        study.load(changed(config, "generators.sit-tiny.resolution", 10))
    config["generators"]["sit-tiny"]["resolution"] = 8
    with pytest.raises(
        InputError, match=r"autoencoders.taesd.kind is kl, and .* AutoencoderTiny; set kind to tiny"
    ):
        study.load(changed(config, "autoencoders.taesd.kind", "kl"))
    (tmp_path / "config.json").write_text("no JSON")
    study.load(changed(config, "generators.sit-tiny.resolution", 16))  # it is read when it is opened


def test_a_budget_that_no_comparison_has_is_named(config):
    with pytest.raises(InputError, match=r"comparisons has no budget 50 \(it has: 100\); add one"):
        Plan(config).inputs.table("50")


def test_the_keys_of_preprocessing_are_those_that_images_go_through():
    assert [item.name for item in fields(Preprocess)] == [*PREPROCESSING]


def test_names_of_networks_are_those_that_their_libraries_list():
    import timm
    from torchvision import models

    assert {*timm.list_models()} <= networks.names("timm")
    assert {*models.list_models(module=models)} <= networks.names("torchvision")
    assert len(networks.names("timm")) < 2 * len(timm.list_models())
    assert not networks.names("no_such_library") and not networks.unknown("no_such_library", "x")
    assert not networks.unknown("timm", "resnet50.a1_in1k")
    assert RELEASED is networks.RELEASED

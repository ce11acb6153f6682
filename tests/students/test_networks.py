"""Networks of students equal those of the condensation papers' codes, value by value."""

import json
import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.testing import assert_close

from condense.base.errors import InputError
from condense.config.students import StudentNetwork
from condense.students.networks import ConvNet, ResNet, build, initialised
from golden_networks import weights_of
from golden_students import FOLDER, near, read

SMALL = {
    "net_convnet3": lambda: ConvNet(3, 8, "instance", channels=1, side=8, classes=10),
    "net_convnet6": lambda: ConvNet(6, 8, "instance", channels=3, side=96, classes=10),
    "net_resnet_ap10_large": lambda: ResNet((1, 1, 1, 1), 8, "instance", 3, 224, 10, average=True),
    "net_resnet_ap10_mid": lambda: ResNet((1, 1, 1, 1), 8, "instance", 3, 128, 10, average=True),
    "net_resnet_ap10_small": lambda: ResNet((1, 1, 1, 1), 8, "instance", 3, 64, 10, average=True),
}


@pytest.mark.parametrize("name", SMALL)
def test_small_networks_equal_the_released_ones_at_every_stage(name):
    values, settings = read(name)
    network = SMALL[name]()
    weights = weights_of(values, "weights.")
    network.load_state_dict({key: value.float() for key, value in weights.items()})
    x = values["x"].float()
    for stage, features in enumerate(network.features(x)):
        sums = features.sum((2, 3)).reshape(-1)
        golden = values[f"feature_sum.{stage}"]
        if golden.dim() == 4:  # these were not summed
            sums = features.reshape(-1)
        near(sums, golden.reshape(-1), 2e-6)
    logits = network(x)
    near(logits, values["logits"], 1e-6)
    loss = F.cross_entropy(logits, torch.tensor(settings["labels"]))
    assert_close(loss, values["loss"][0], rtol=1e-6, atol=0)
    loss.backward()
    for key in (key for key in values if key.startswith("grad.")):
        near(network.get_parameter(key.removeprefix("grad.")).grad, values[key], 4e-6)
    assert sum(parameter.numel() for parameter in network.parameters()) == settings["parameters"]


FULL = {
    "convnet6": (StudentNetwork(depth=6), 224),
    "resnet_ap10": (StudentNetwork(architecture="resnet-ap", depth=10), 224),
    "resnet18": (StudentNetwork(architecture="resnet", depth=18), 224),
    "resnet18_mid": (StudentNetwork(architecture="resnet", depth=18), 128),
    "resnet18_small": (StudentNetwork(architecture="resnet", depth=18), 32),
}


@pytest.mark.parametrize("name", FULL)
def test_full_networks_have_the_papers_parameters_and_logits(name):
    values, settings = read("nets_full")
    about = settings["nets"][name]
    chosen, side = FULL[name]
    network = build(chosen, side, 10)
    named = dict(network.named_parameters())
    assert sum(value.numel() for value in named.values()) == about["parameters"]
    order = about["order"]
    if isinstance(order, str):
        order = [[key, list(named[key].shape)] for key, _ in settings["nets"]["resnet18"]["order"]]
    assert {key: list(value.shape) for key, value in named.items()} == dict(order)
    network.double()
    with torch.no_grad():
        for number, (key, _) in enumerate(order):
            named[key].copy_(formula_weights(number, key, named[key]))
        x = torch.arange(about["batch"] * 3 * about["input_side"] ** 2, dtype=torch.float64)
        x = x.mul(settings["input_rate"]).sin().float().reshape(about["batch"], 3, *[about["input_side"]] * 2)
        # these weights enlarge a change of the input; in resnet18, with the large stem, a million times
        near(network(x.double()), values[f"{name}.logits_f64"], 1e-8 if name == "resnet18" else 1e-9)
        if not name.startswith(
            "resnet18"
        ):  # nor does float32 say anything there: other kernels, other logits
            near(network.float()(x), values[f"{name}.logits"], 3e-3)


def formula_weights(number: int, key: str, like: Tensor) -> Tensor:
    """Weights of nets_full, float32 of a sine in float64."""
    wave = torch.sin(0.37 * torch.arange(like.numel(), dtype=torch.float64) + number).reshape(like.shape)
    if like.dim() > 1:
        wave = wave * math.sqrt(2 / like[0].numel())
    else:
        wave = 1 + 0.1 * wave if key.endswith("weight") else 0.1 * wave
    return wave.float().double()


EVALUATED = {
    "convnet4_w16_s64": lambda: ConvNet(4, 16, "instance", 3, 64, 5),
    "convnet6_w8_s128": lambda: ConvNet(6, 8, "instance", 3, 128, 5),
    "resnet_ap10_w0.125_s64": lambda: ResNet((1, 1, 1, 1), 8, "instance", 3, 64, 5, average=True),
    "resnet_ap10_w0.125_s128": lambda: ResNet((1, 1, 1, 1), 8, "instance", 3, 128, 5, average=True),
    "resnet18_s64": lambda: ResNet((2, 2, 2, 2), 64, "instance", 3, 64, 5, average=False),
    "resnet18_s128": lambda: ResNet((2, 2, 2, 2), 64, "instance", 3, 128, 5, average=False),
}


@pytest.mark.parametrize("name", EVALUATED)
def test_logits_equal_those_of_the_evaluation_networks(name):
    values, _ = read("eval_nets")
    about = json.loads((FOLDER / "eval_nets.json").read_text())[name]
    network = EVALUATED[name]().double()
    named = dict(network.named_parameters())
    assert sum(value.numel() for value in named.values()) == about["parameters"]
    with torch.no_grad():
        for number, (key, _) in enumerate(about["order"]):
            value = named[key]
            wave = 0.1 * torch.sin(
                0.37 * torch.arange(value.numel(), dtype=torch.float64) + 1.3 * number + 0.5
            )
            value.copy_(wave.reshape(value.shape) + (value.dim() == 1 and key.endswith("weight")))
        side = int(name.rsplit("_s")[-1])
        x = torch.sin(0.11 * torch.arange(2 * 3 * side**2, dtype=torch.float64)).reshape(2, 3, side, side)
        near(network(x), values[name], 2e-9)


def test_the_same_seed_gives_the_same_network_and_leaves_the_callers_stream_alone():
    before = torch.random.get_rng_state()
    first, again, other = (initialised(StudentNetwork(width=8), 32, 10, seed) for seed in (0, 0, 1))
    assert torch.equal(torch.random.get_rng_state(), before)
    first, again, other = (network.classifier.weight for network in (first, again, other))
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_residual_convolutions_start_as_he_normals_of_their_fan_out():
    network = initialised(StudentNetwork(architecture="resnet", depth=18), 32, 10, 0)
    weight = network.get_parameter("layer3.1.conv2.weight")
    assert abs(weight.std().item() / math.sqrt(2 / (9 * 256)) - 1) < 0.01


def test_torchvision_and_timm_networks_are_built_by_name():
    for chosen in (
        StudentNetwork(architecture="torchvision", model="mobilenet_v2", options={"width_mult": 0.25}),
        StudentNetwork(architecture="timm", model="test_resnet"),
    ):
        network = initialised(chosen, 64, 7, 0).eval()
        assert network(torch.zeros(2, 3, 64, 64)).shape == (2, 7)


def test_a_weights_file_fills_all_but_a_head_of_other_classes(tmp_path):
    chosen = StudentNetwork(architecture="timm", model="test_resnet")
    given = initialised(chosen, 64, 1000, seed=5)
    save_file(given.state_dict(), tmp_path / "weights.safetensors")
    chosen = StudentNetwork(
        architecture="timm", model="test_resnet", weights=str(tmp_path / "weights.safetensors")
    )
    network = initialised(chosen, 64, 7, seed=0)
    head = network.get_classifier()
    assert isinstance(head, nn.Linear) and head.out_features == 7
    for name, value in network.state_dict().items():
        assert value.shape[:1] == (7,) or torch.equal(value, given.state_dict()[name]), name


FAULTS = {
    "an unknown timm model": ({"architecture": "timm", "model": "resnut"}, "timm knows no model 'resnut'"),
    "an unknown torchvision model": (
        {"architecture": "torchvision", "model": "raft_small"},
        "torchvision knows no classifier 'raft_small'",
    ),
    "an option that the model does not have": (
        {"architecture": "timm", "model": "test_resnet", "options": {"colour": 1}},
        "timm's test_resnet does not take these options",
    ),
    "weights that are not there": (
        {"architecture": "timm", "model": "test_resnet", "weights": "nowhere.safetensors"},
        "nowhere.safetensors of test_resnet do not exist",
    ),
    "more halvings than pixels": ({"depth": 6}, "depth 6 halves 32 pixels to none"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_network_that_cannot_be_built_is_one_sentence(fault):
    settings, sentence = FAULTS[fault]
    with pytest.raises(InputError, match=sentence) as raised:
        initialised(StudentNetwork(**settings), 32, 10, 0)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("architecture", ["resnet", "resnet-ap"])
def test_residual_networks_that_would_learn_nothing_are_refused_and_others_tell_images_apart(architecture):
    """At 8 pixels the last maps are single ones: each less its own mean is zero, whatever the image."""
    chosen = StudentNetwork(architecture=architecture, depth=10, width=8)
    with pytest.raises(InputError, match=r"of 8 pixels ends in maps of one.*set it to batch"):
        initialised(chosen, 8, 10, 0)
    images = torch.randn(2, 3, 9, 9, generator=torch.Generator().manual_seed(0))
    for network in (
        initialised(chosen, 9, 10, 0)(images),
        initialised(replace(chosen, norm="batch"), 8, 10, 0)(images[..., :8, :8]),
    ):
        assert not torch.equal(*network)


def test_weights_of_another_network_are_one_sentence(tmp_path):
    path = tmp_path / "weights.safetensors"
    save_file({"conv1.weight": torch.zeros(1)}, path)
    chosen = StudentNetwork(architecture="timm", model="test_resnet", weights=str(path))
    with pytest.raises(InputError, match=r"weights\.safetensors holds no .* of test_resnet"):
        initialised(chosen, 32, 10, 0)

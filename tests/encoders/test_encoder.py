import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from commands import call
from condense.base.artefacts import read_artefact, write_artefact
from condense.base.errors import InputError
from condense.config.encoders import Encoder as Settings
from condense.config.settings import Images
from condense.config.students import StudentNetwork
from condense.encoders.encoder import FrozenEncoder, encoder, make_encoder
from condense.encoders.fitted import fit
from condense.encoders.pretrained import RELEASED
from condense.images.index import index
from condense.images.sources import load, source
from condense.students.networks import initialised

DIGITS = Images(source="digits")
NAME = "test_vit"  # timm's network for tests: 0.4 million parameters


@pytest.fixture(scope="module")
def digits_index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("index") / "1-of-1.csv"
    call(index, "--source", "digits", "--output", path)
    return path


@pytest.fixture(scope="module")
def fitted(digits_index: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("fitted") / "cnn.safetensors"
    call(encoder, "--kind", "fit", "--source", "digits", "--output", path, digits_index)
    return path


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    """Pixels and labels of all digits, class by class."""
    opened = source(DIGITS)
    paths = [path for name in opened.classes() for path, _ in opened.images(name)]
    return np.stack([load(opened, path) for path in paths]), np.array([int(path[0]) for path in paths])


def timm_weights(path: Path, classes: int = 1000) -> torch.nn.Module:
    """Write seeded weights of timm's test network, and return it."""
    import timm

    torch.manual_seed(0)
    model = timm.create_model(NAME, num_classes=classes).eval()
    save_file(model.state_dict(), path)
    return model


def import_to(path: Path, **settings: object) -> FrozenEncoder:
    write_artefact(path, *make_encoder(Settings(**settings), DIGITS, []))
    return FrozenEncoder(path)


def test_a_fitted_encoder_knows_its_images(fitted: Path, digits: tuple) -> None:
    net = FrozenEncoder(fitted)
    features = net.features(digits[0])
    assert features.shape == (1797, 64)
    assert features.dtype == torch.float32
    guesses = net.logits(features).argmax(1).numpy()
    assert (guesses == digits[1]).mean() >= 0.98
    assert net.classes == [str(digit) for digit in range(10)]


def test_fitted_features_have_unit_deviation(fitted: Path, digits: tuple) -> None:
    features = FrozenEncoder(fitted).features(digits[0]).double()
    torch.testing.assert_close(features.mean(0), torch.zeros(64).double(), atol=1e-3, rtol=0)
    torch.testing.assert_close(features.std(0), torch.ones(64).double(), atol=1e-3, rtol=0)


def test_fitting_tells_the_accuracy_on_held_out_images(digits_index: Path, tmp_path: Path) -> None:
    options = ["--kind", "fit", "--source", "digits", "--epochs", "4"]
    words = call(encoder, *options, "--output", tmp_path / "a", digits_index).split()
    held_out = float(words[words.index("held-out") - 2])
    assert 0.9 < held_out < 1


def test_fitting_again_gives_the_same_bytes_but_not_for_another_seed(
    digits_index: Path, tmp_path: Path
) -> None:
    words = ["--kind", "fit", "--source", "digits", "--per-class", "40", "--epochs", "2", digits_index]
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        torch.rand(3)  # the random state outside is of no influence
        call(encoder, *words, "--seed", seed, "--output", tmp_path / name)
    a, b, c = ((tmp_path / name).read_bytes() for name in "abc")
    assert a == b
    assert a != c


def test_fitting_needs_an_index() -> None:
    with pytest.raises(InputError, match="kind fit needs the index"):
        make_encoder(Settings(kind="fit"), DIGITS, [])


def test_a_timm_encoder_gives_timms_features_and_logits(tmp_path: Path) -> None:
    model = timm_weights(tmp_path / "net.safetensors")
    net = import_to(tmp_path / "e", kind="timm", model=NAME, weights=str(tmp_path / "net.safetensors"))
    side = net.preprocess.side
    images = np.random.default_rng(0).integers(0, 256, (3, side, side, 3), dtype=np.uint8)
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (net.preprocess.mean, net.preprocess.std))
    batch = (torch.from_numpy(images).permute(0, 3, 1, 2) / 255 - mean) / std
    with torch.inference_mode():
        pooled = model.forward_head(model.forward_features(batch), pre_logits=True)
        logits = model(batch)
    features = net.encode(images)
    torch.testing.assert_close(features, pooled, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(net.logits(features), logits, rtol=1e-4, atol=1e-4)


def test_preprocessing_comes_from_the_models_data_config_unless_changed(tmp_path: Path) -> None:
    import timm
    from timm.data import resolve_model_data_config

    timm_weights(tmp_path / "w.safetensors")
    own = {"kind": "timm", "model": NAME, "weights": str(tmp_path / "w.safetensors")}
    config = resolve_model_data_config(timm.create_model(NAME))
    plain = import_to(tmp_path / "a", **own).preprocess
    assert (plain.side, plain.mean) == (config["input_size"][1], config["mean"])
    assert plain.resize == int(plain.side / config["crop_pct"])
    changed = import_to(tmp_path / "b", **own, preprocess={"mean": [0.5, 0.5, 0.5]}).preprocess
    assert (changed.mean, changed.std) == ((0.5, 0.5, 0.5), plain.std)
    released = import_to(tmp_path / "c", **own, normalisation="release").preprocess
    assert (released.mean, released.std) == ((0, 0, 0), (1, 1, 1))
    with pytest.raises(ValueError, match="has no key average; known are side"):
        import_to(tmp_path / "d", **own, preprocess={"average": 1})


def test_the_outputs_of_an_imagenet_head_are_wordnet_ids(tmp_path: Path) -> None:
    timm_weights(tmp_path / "w.safetensors")
    net = import_to(tmp_path / "a", kind="timm", model=NAME, weights=str(tmp_path / "w.safetensors"))
    assert (net.classes[0], net.classes[217], len(net.classes)) == ("n01440764", "n02102040", 1000)


def test_a_head_of_another_size_is_read_but_its_outputs_have_no_names(tmp_path: Path) -> None:
    timm_weights(tmp_path / "w.safetensors", classes=7)
    net = import_to(tmp_path / "a", kind="timm", model=NAME, weights=str(tmp_path / "w.safetensors"))
    assert net.classes is None
    assert net.logits(net.features(np.zeros((1, 32, 32, 3), np.uint8))).shape == (1, 7)


def test_pytorch_weights_load_without_executing_code(tmp_path: Path) -> None:
    model = timm_weights(tmp_path / "w.safetensors")
    torch.save({"state_dict": model.state_dict()}, tmp_path / "w.pth")
    plain, pickled = (
        make_encoder(Settings(kind="timm", model=NAME, weights=str(tmp_path / name)), DIGITS, [])[1]
        for name in ("w.safetensors", "w.pth")
    )
    assert all(torch.equal(plain[key], pickled[key]) for key in plain)

    class Harmful:
        def __reduce__(self) -> tuple:
            return Path.touch, (tmp_path / "executed",)

    (tmp_path / "bad.pth").write_bytes(pickle.dumps({"state_dict": Harmful()}))
    with pytest.raises(InputError, match=r"bad\.pth cannot be read as weights"):
        import_to(tmp_path / "e", kind="timm", model=NAME, weights=str(tmp_path / "bad.pth"))
    assert not (tmp_path / "executed").exists()


def test_faults_of_weights_are_one_sentence(tmp_path: Path) -> None:
    timm_weights(tmp_path / "w.safetensors")
    own = {"kind": "timm", "model": NAME, "weights": str(tmp_path / "w.safetensors")}
    with pytest.raises(InputError, match=r"none\.pth of test_vit do not exist"):
        import_to(tmp_path / "e", **own | {"weights": str(tmp_path / "none.pth")})
    with pytest.raises(InputError, match=r"has SHA-256 .*, not beef: download it again"):
        import_to(tmp_path / "e", **own, sha256="beef")
    with pytest.raises(InputError, match=r"The weights do not fit: .*w\.safetensors for timm's resnet18"):
        import_to(tmp_path / "e", **own | {"model": "resnet18"})
    with pytest.raises(InputError, match="timm knows no model 'nothing'"):
        import_to(tmp_path / "e", **own | {"model": "nothing"})
    with pytest.raises(InputError, match="does not take these options"):
        import_to(tmp_path / "e", **own, options={"wrong": 1})


def test_a_download_that_fails_names_the_file_and_the_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    def offline(*_: object, **__: object) -> None:
        raise ConnectionError

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", offline)
    with pytest.raises(
        InputError, match=r"fetch https://\S+/timm/resnet18\S+/model\.safetensors .* in `weights`"
    ):
        import_to(tmp_path / "e", kind="timm", model="resnet18")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    with pytest.raises(InputError, match=r"fetch https://\S+/resnet34-b627a593\.pth .* in `weights`"):
        import_to(tmp_path / "e", kind="torchvision", model="resnet34")


@pytest.mark.parametrize("name", RELEASED)
def test_the_releases_encoders_give_torchvisions_features(name: str, tmp_path: Path) -> None:
    from torchvision import models

    torch.manual_seed(0)
    model = models.get_model(name, **({} if name.startswith("resnet") else {"init_weights": False})).eval()
    if not name.startswith("resnet"):
        model.transform_input = True  # as its ImageNet weights set it
    torch.save(model.state_dict(), tmp_path / "w.pth")
    settings = {"kind": "torchvision", "model": name, "weights": str(tmp_path / "w.pth")}
    net = import_to(tmp_path / "e", **settings)
    image = np.random.default_rng(0).integers(0, 256, (1, 299, 299, 3), dtype=np.uint8)
    prepared = np.stack([net.prepare(picture) for picture in image])
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    unit = torch.from_numpy(prepared).permute(0, 3, 1, 2) / 255
    with torch.inference_mode():
        correct, raw = model((unit - mean) / std), model(unit)
    torch.testing.assert_close(net.logits(net.encode(prepared)), correct, rtol=1e-3, atol=1e-3)
    released = import_to(tmp_path / "r", **settings, normalisation="release")
    torch.testing.assert_close(released.logits(released.encode(prepared)), raw, rtol=1e-3, atol=1e-3)
    assert net.preprocess.side == (299 if name == "inception_v3" else 224)


def test_lower_precision_changes_features_a_little(tmp_path: Path) -> None:
    timm_weights(tmp_path / "w.safetensors")
    own = {"kind": "timm", "model": NAME, "weights": str(tmp_path / "w.safetensors")}
    images = np.random.default_rng(0).integers(0, 256, (4, 160, 160, 3), dtype=np.uint8)
    full = import_to(tmp_path / "a", **own).features(images)
    half = import_to(tmp_path / "b", **own, precision="bfloat16").features(images)
    assert half.dtype == torch.float32
    assert 0 < (half - full).norm() / full.norm() < 0.05


def test_features_are_the_same_one_by_one_and_together(fitted: Path, digits: tuple) -> None:
    net = FrozenEncoder(fitted)
    together = net.features(digits[0][:40])
    alone = torch.cat([net.features([image]) for image in digits[0][:40]])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-4)


def test_a_file_that_is_no_artefact_is_named(tmp_path: Path) -> None:
    (tmp_path / "e.safetensors").write_bytes(b"\0" * 100)
    with pytest.raises(InputError, match=r"e\.safetensors is not an encoder artefact"):
        FrozenEncoder(tmp_path / "e.safetensors")


def test_an_artefact_says_what_it_is(fitted: Path) -> None:
    about, head = read_artefact(fitted, "an encoder", "head.")
    assert set(head) == {"head.weight", "head.bias"}
    assert about["kind"] == "fit"
    assert json.loads(json.dumps(about)) == about


def test_an_untrained_encoder_is_the_start_of_a_student(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(256, size=(5, 32, 32, 3), dtype=np.uint8)
    ours = import_to(tmp_path / "untrained", kind="untrained", side=32, depth=2, seed=3)
    student = initialised(StudentNetwork(depth=2), 32, 10, seed=3)
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2) / 255
    expected = student.features(pixels)[-1].flatten(1).detach()
    assert ours.features(images).shape == (5, 128 * 8 * 8)
    torch.testing.assert_close(ours.features(images), expected, rtol=1e-5, atol=1e-5)
    other = import_to(tmp_path / "other", kind="untrained", side=32, depth=2, seed=4)
    assert not torch.allclose(other.features(images), expected, atol=0.1)
    with pytest.raises(InputError, match="has no classifier: set its `classifier: linear`"):
        ours.logits(expected)


def test_a_setting_of_another_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="kind timm needs `model`"):
        Settings(kind="timm")
    with pytest.raises(ValueError, match=r"kind fit .* takes no model, options"):
        Settings(kind="fit", model="resnet18", options={})


def test_real_weights_classify_real_photographs(real_data: Path, tmp_path: Path) -> None:
    net = import_to(
        tmp_path / "mobilenet",
        kind="timm",
        model="mobilenetv2_100",
        weights=str(real_data / "weights" / "mobilenetv2_100.safetensors"),
        options={"pad_type": "same"},
        preprocess={"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]},
    )
    opened = source(Images(root=str(real_data / "imagenette_train"), per_class=6))
    paths = [path for name in opened.classes() for path, _ in opened.images(name)]
    guesses = net.logits(net.features([load(opened, path) for path in paths])).argmax(1)
    right = [net.classes[guess] == path.split("/")[0] for guess, path in zip(guesses, paths, strict=True)]
    assert np.mean(right) >= 0.6


@pytest.mark.parametrize("count", [162, 129, 2049])  # a batch of one image is left over
def test_an_encoder_is_fitted_on_any_number_of_images(count: int) -> None:
    draw = np.random.default_rng(0)
    images = draw.integers(256, size=(count, 8, 8, 3), dtype=np.uint8)
    network, _ = fit(images, np.arange(count) % 3, Settings(kind="fit", side=8, epochs=1))
    assert all(value.isfinite().all() for value in network.state_dict().values())


def test_too_few_images_to_fit_an_encoder_on_are_one_sentence() -> None:
    with pytest.raises(InputError, match="cannot be fitted on 2 images"):
        fit(np.zeros((2, 8, 8, 3), np.uint8), np.arange(2), Settings(kind="fit", side=8))

"""The FID Inception is loaded and fed as clean-fid and torch-fidelity do; an encoder is a detector too."""

import hashlib
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from commands import call
from condense.base.errors import InputError
from condense.encoders.detectors import Inception, as_tensorflow, open_detector
from condense.scoring.detect import fetch_inception
from inceptions import write_script, write_weights


def pixels(count: int = 3, height: int = 40, width: int = 56) -> np.ndarray:
    """Smooth random images uint8 [n, h, w, 3]."""
    coarse = torch.rand(count, 3, 5, 7, generator=torch.Generator().manual_seed(0)) * 255
    fine = torch.nn.functional.interpolate(coarse, size=(height, width), mode="bicubic").clamp(0, 255)
    return fine.byte().permute(0, 2, 3, 1).contiguous().numpy()


def nchw(images: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(images).permute(0, 3, 1, 2)


@pytest.fixture(scope="module")
def script(tmp_path_factory) -> Path:
    return write_script(tmp_path_factory.mktemp("script") / "inception-2015-12-05.pt")


@pytest.fixture
def weights(tmp_path, monkeypatch) -> Path:
    return write_weights(tmp_path / "weights-inception-2015-12-05-6726825d.pth", monkeypatch)


@pytest.mark.parametrize("resize", ["clean", "tensorflow"])
def test_features_equal_clean_fid(script, resize) -> None:
    from cleanfid.inception_torchscript import InceptionV3W
    from cleanfid.resize import build_resizer

    network = InceptionV3W(str(script.parent), download=False, resize_inside=resize == "tensorflow")
    resizer = build_resizer({"clean": "clean", "tensorflow": "legacy_tensorflow"}[resize])
    batch = np.stack([resizer(image) for image in pixels()]).transpose(0, 3, 1, 2)
    with torch.inference_mode():
        expected = network(torch.from_numpy(batch).float())
    seen = Inception(script, resize)(nchw(pixels()))
    assert seen.features.shape == (3, 2048)
    assert seen.features.std(0).mean() > 0.05 * seen.features.mean()  # images do differ
    assert torch.allclose(seen.features, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shape", [(256, 256), (64, 48), (32, 32), (299, 299), (512, 512), (17, 1)])
def test_resizing_is_torch_fidelitys_to_the_bit(shape) -> None:
    from torch_fidelity.interpolate_compat_tensorflow import interpolate_bilinear_2d_like_tensorflow1x

    images = torch.randint(
        0, 256, (2, *shape, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(3)
    )
    theirs = interpolate_bilinear_2d_like_tensorflow1x(
        images.permute(0, 3, 1, 2).float(), size=(299, 299), align_corners=False
    )
    assert torch.equal(as_tensorflow(images).permute(0, 3, 1, 2), theirs)


def test_the_two_ways_of_resizing_differ(script) -> None:
    noise = torch.randint(0, 256, (2, 3, 700, 700), generator=torch.Generator().manual_seed(1)).byte()
    seen = [Inception(script, resize)(noise).features for resize in ("clean", "tensorflow")]
    assert not torch.allclose(*seen, rtol=1e-2)


def test_logits_are_the_scripts_without_bias(script) -> None:
    module = torch.jit.load(script)
    with torch.inference_mode():
        expected, biased = module(nchw(pixels()), no_output_bias=True), module(nchw(pixels()))
    probabilities = Inception(script)(nchw(pixels())).logits.softmax(1)
    assert torch.allclose(probabilities, expected, rtol=1e-3, atol=1e-5)
    assert not torch.allclose(probabilities, biased, rtol=1e-3, atol=1e-5)


def test_spatial_features_are_seven_channels_of_mixed_6_in_the_order_of_adm(script) -> None:
    module, kept = torch.jit.load(script), []
    images = torch.zeros(1, 3, 299, 299) + torch.arange(299.0) / 299
    x = images
    with torch.inference_mode():
        for name, stage in module.layers.named_children():
            if name == "mixed_6":
                kept.append(stage.conv(x)[0, :7])
            x = stage(x)
    detector = Inception(script)
    with torch.inference_mode():
        spatial = detector._network.detect(images * 128 + 128).spatial
    height, width = kept[0].shape[1:]
    assert torch.allclose(spatial.view(height, width, 7), kept[0].permute(1, 2, 0), atol=1e-5)


def test_features_logits_and_spatial_features_equal_torch_fidelity(weights) -> None:
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    network = FeatureExtractorInceptionV3("inception", ["2048", "logits_unbiased"], str(weights))
    kept = []
    network.Mixed_6d.branch1x1.register_forward_hook(lambda module, given, out: kept.append(out))
    images = nchw(pixels(2))
    with torch.inference_mode():
        features, logits = network(images)
    assert features.std(0).mean() > 0.01 * features.mean()  # images do differ
    seen = Inception(weights)(images)
    assert torch.allclose(seen.features, features, rtol=1e-5, atol=1e-7)
    assert torch.allclose(seen.logits, logits, rtol=1e-5, atol=1e-6)
    assert seen.spatial.shape == (2, 17 * 17 * 7)
    assert torch.allclose(seen.spatial.view(2, 17, 17, 7), kept[0][:, :7].permute(0, 2, 3, 1), atol=3e-6)


def test_a_detector_embeds_images_as_an_encoder_does(script, tmp_path) -> None:
    from commands import call
    from condense.config.settings import Images
    from condense.encoders.embed import embed_shard
    from condense.images.index import index
    from condense.images.sources import load, source

    images, detector = Images(source="digits", per_class=3, classes=2), Inception(script)
    call(index, "--source", "digits", "--per-class", 3, "--classes", 2, "--output", tmp_path / "i.csv")
    groups = embed_shard(tmp_path / "i.csv", detector, images, tmp_path / "state", size=8)
    opened = source(images)
    pixels = np.stack([load(opened, path) for path, _ in opened.images("1")])
    assert np.allclose(groups[1][2]["features"], detector(nchw(pixels)).features, rtol=1e-5, atol=1e-6)


def test_batches_change_no_feature(script) -> None:
    detector, images = Inception(script), nchw(pixels(5))
    alone = torch.cat([detector(image[None]).features for image in images])
    assert torch.allclose(detector(images).features, alone, rtol=1e-5, atol=1e-6)


def test_the_digest_names_weights_and_resizing(script, tmp_path) -> None:
    other = write_script(tmp_path / "other.pt", classes=30)
    detectors = [Inception(script), Inception(script, "clean"), Inception(other)]
    assert len({detector.digest for detector in detectors}) == 3
    assert Inception(script).digest == detectors[0].digest


def test_an_encoder_is_a_detector(tmp_path) -> None:
    from commands import call
    from condense.encoders.encoder import FrozenEncoder, encoder
    from condense.images.index import index

    call(index, "--source", "digits", "--per-class", "20", "--output", tmp_path / "index.csv")
    words = ("--kind", "fit", "--epochs", "1", "--source", "digits", "--per-class", "20")
    call(encoder, *words, "--output", tmp_path / "cnn.safetensors", tmp_path / "index.csv")
    net, detector = (
        FrozenEncoder(tmp_path / "cnn.safetensors"),
        open_detector(tmp_path / "cnn.safetensors", device="cpu"),
    )
    seen = detector(nchw(pixels()))
    expected = net.features(list(pixels()))
    assert torch.allclose(seen.features, expected, rtol=1e-5)
    assert torch.allclose(seen.logits, net.logits(expected), rtol=1e-4, atol=1e-5)
    assert seen.spatial is None
    assert (detector.digest, detector.name) == (net.digest, "cnn")


def test_another_network_is_refused_by_name(tmp_path) -> None:
    class Other(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x

    torch.jit.script(Other()).save(tmp_path / "other.pt")
    with pytest.raises(InputError, match=r"other\.pt is not clean-fid's Inception"):
        Inception(tmp_path / "other.pt")
    torch.save({"fc.weight": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(InputError, match=r"other\.pth is not torch-fidelity's Inception"):
        Inception(tmp_path / "other.pth")
    (tmp_path / "cut.pt").write_bytes(b"PK")
    with pytest.raises(InputError, match=r"cut\.pt is not clean-fid's Inception"):
        Inception(tmp_path / "cut.pt")


def test_stages_that_do_not_add_up_are_noticed(tmp_path, monkeypatch) -> None:
    import inceptions

    class Twisted(inceptions.Script):
        def forward(
            self,
            img: torch.Tensor,
            return_features: bool = False,
            use_fp16: bool = False,
            no_output_bias: bool = False,
        ) -> torch.Tensor:
            x = img.to(torch.float32)  # neither resized nor normalised
            features = self.layers(x).reshape(-1, 2048)
            return features if return_features else self.output(features).softmax(dim=1)

    monkeypatch.setattr(inceptions, "Script", Twisted)
    path = inceptions.write_script(tmp_path / "twisted.pt")
    with pytest.raises(InputError, match="do not add up"):
        Inception(path)


def test_another_way_of_resizing_is_refused(script) -> None:
    with pytest.raises(InputError, match="resize is 'bicubic'; it must be tensorflow or clean"):
        Inception(script, "bicubic")


def test_a_missing_file_says_what_to_download(tmp_path) -> None:
    with pytest.raises(InputError, match=r"missing\.pt is not the FID Inception: download https://"):
        open_detector(tmp_path / "missing.pt", device="cpu")


def test_nothing_in_a_weights_file_is_executed(tmp_path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple:
            return (Path.touch, (tmp_path / "exploded",))

    (tmp_path / "bomb.pth").write_bytes(pickle.dumps(Bomb(), protocol=2))
    with pytest.raises(InputError, match=r"bomb\.pth is not torch-fidelity's"):
        Inception(tmp_path / "bomb.pth")
    torch.save({"fc.weight": Bomb()}, tmp_path / "zipped.pth")
    with pytest.raises(InputError, match=r"zipped\.pth is not torch-fidelity's"):
        Inception(tmp_path / "zipped.pth")
    assert not (tmp_path / "exploded").exists()


def test_scores_of_images_equal_torch_fidelity_from_pixels_to_numbers(weights) -> None:
    import sys

    from torch.utils.data import TensorDataset
    from torch_fidelity import calculate_metrics

    sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
    from inception_check import detect, scores

    class Images(TensorDataset):
        def __getitem__(self, index: int) -> torch.Tensor:
            return super().__getitem__(index)[0]

    noise = torch.randint(0, 256, (2, 10, 3, 32, 32), generator=torch.Generator().manual_seed(2)).byte()
    samples, reference = noise[0], noise[1] // 2
    expected = calculate_metrics(
        input1=Images(samples),
        input2=Images(reference),
        isc=True,
        kid=True,
        kid_subset_size=10,
        kid_subsets=100,
        feature_extractor_weights_path=str(weights),
        cuda=False,
        save_cpu_ram=True,
        verbose=False,
    )
    detector = Inception(weights)
    found = scores(detect(samples, detector), detect(reference, detector))
    assert found["isc_mean"] == pytest.approx(expected["inception_score_mean"], rel=1e-6)
    assert found["kid_mean"] == pytest.approx(expected["kernel_inception_distance_mean"], rel=1e-4)


def test_the_fid_inception_is_fetched_and_checked(tmp_path) -> None:
    content = b"weights"
    start = hashlib.sha256(content).hexdigest()[:8]
    (tmp_path / f"net-{start}.pth").write_bytes(content)
    (tmp_path / "net-00000000.pth").write_bytes(content)
    target = tmp_path / "fetched.pth"
    call(fetch_inception, "--output", target, "--url", (tmp_path / f"net-{start}.pth").as_uri())
    assert target.read_bytes() == content
    target.unlink()
    for name in ("net-00000000.pth", "absent-12345678.pth"):
        with pytest.raises(InputError, match="could not be downloaded"):
            call(fetch_inception, "--output", target, "--url", (tmp_path / name).as_uri())
    assert not target.exists()

from pathlib import Path

import numpy as np
import pytest
import torch

from commands import call
from condense.base.errors import InputError
from condense.base.shards import open_shard, read_text, write_shard
from condense.encoders.classify import classify, fold_of, head, log_probabilities
from condense.encoders.embed import embed
from condense.encoders.encoder import FrozenEncoder, encoder
from condense.images.index import index


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Embeddings of some digits by a fitted encoder, in two shards."""
    folder = tmp_path_factory.mktemp("classify")
    words = ["--source", "digits", "--per-class", "30", "--classes", "5"]
    listed = [folder / "1.csv", folder / "2.csv"]
    for number, path in enumerate(listed, 1):
        call(index, *words, "--shard", f"{number}-of-2", "--output", path)
    call(encoder, "--kind", "fit", "--epochs", 5, *words, "--output", folder / "cnn.safetensors", *listed)
    for number, path in enumerate(listed, 1):
        given = ["--index", path, "--encoder", folder / "cnn.safetensors", "--state", folder / "state"]
        call(embed, *words, *given, "--output", folder / f"{number}.h5")
    return folder


def probabilities(folder: Path, classifier: str, output: Path) -> dict[str, dict]:
    call(classify, "--embeddings", folder / "2.h5", "--classifier", folder / classifier, "--output", output)
    with open_shard(output) as file:
        return {
            name: {
                "own": group["log_probability"][()],
                "rival": group["log_runner_up"][()],
                "paths": read_text(group["paths"]),
                "class_index": group.attrs["class_index"],
            }
            for name, group in file.items()
        }


def test_probabilities_are_the_own_class_and_its_strongest_rival() -> None:
    p = torch.tensor([[0.5, 0.2, 0.3], [0.1, 0.7, 0.2], [0.25, 0.25, 0.5]])
    own, rival = log_probabilities(p.log() + 3, 2)
    torch.testing.assert_close(own.exp(), torch.tensor([0.3, 0.2, 0.5]))
    torch.testing.assert_close(rival.exp(), torch.tensor([0.5, 0.7, 0.25]))


def test_a_confident_image_keeps_a_finite_runner_up() -> None:
    own, rival = log_probabilities(torch.tensor([[200.0, 0.0, -50.0]]), 0)
    assert own.item() == 0
    assert rival.item() == -200


def test_probabilities_come_from_cached_features_by_the_networks_head(folder: Path, tmp_path: Path) -> None:
    found = probabilities(folder, "cnn.safetensors", tmp_path / "p.h5")
    assert list(found) == ["2", "3", "4"]
    net = FrozenEncoder(folder / "cnn.safetensors")
    with open_shard(folder / "2.h5") as file:
        logits = net.logits(torch.from_numpy(file["3"]["features"][()]))
        assert found["3"]["paths"] == read_text(file["3"]["paths"])
    expected = torch.log_softmax(logits, 1)
    np.testing.assert_allclose(found["3"]["own"], expected[:, 3], atol=1e-5)
    np.testing.assert_allclose(found["3"]["rival"], expected[:, [0, 1, 2, 4]].amax(1), atol=1e-5)
    assert found["3"]["class_index"] == 3


def test_a_linear_classifier_is_fitted_without_the_image_that_it_judges(folder: Path, tmp_path: Path) -> None:
    call(head, folder / "1.h5", folder / "2.h5", "--output", folder / "head.safetensors")
    found = probabilities(folder, "head.safetensors", tmp_path / "p.h5")
    right = np.concatenate([part["own"] > part["rival"] for part in found.values()])
    assert right.mean() > 0.9


def test_out_of_fold_probabilities_of_noise_are_not_confident(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    paths = [f"{number}.png" for number in range(40)]
    groups = [
        (name, number, {"features": rng.normal(size=(40, 100)).astype(np.float32), "paths": paths})
        for number, name in enumerate(("a", "b"))
    ]
    write_shard(tmp_path / "2.h5", {"encoder": "e", "digest": "d"}, groups)
    call(head, tmp_path / "2.h5", "--output", tmp_path / "head")
    found = probabilities(tmp_path, "head", tmp_path / "p.h5")
    right = np.concatenate([part["own"] > part["rival"] for part in found.values()])
    assert 0.3 < right.mean() < 0.7
    for part in found.values():
        np.testing.assert_allclose(np.exp(part["own"]) + np.exp(part["rival"]), 1, atol=1e-5)


def test_folds_are_even_and_belong_to_the_path() -> None:
    paths = [f"a/{number}.png" for number in range(23)]
    fold = fold_of(paths)
    assert set(np.bincount(fold)) == {4, 5}
    order = np.random.default_rng(0).permutation(23)
    np.testing.assert_array_equal(fold_of([paths[i] for i in order]), fold[order])


def test_an_unknown_class_names_the_setting_that_helps(folder: Path, tmp_path: Path) -> None:
    digest = FrozenEncoder(folder / "cnn.safetensors").digest
    features = np.zeros((2, 64), np.float32)
    groups = [("cat", 0, {"features": features, "paths": ["a", "b"]})]
    write_shard(tmp_path / "e.h5", {"encoder": "cnn", "digest": digest}, groups)
    words = ["--embeddings", tmp_path / "e.h5", "--classifier", folder / "cnn.safetensors"]
    with pytest.raises(InputError, match="does not know class 'cat': set its `classifier: linear`"):
        call(classify, *words, "--output", tmp_path / "p.h5")


def test_features_of_another_encoder_are_refused(folder: Path, tmp_path: Path) -> None:
    groups = [("1", 1, {"features": np.zeros((2, 64), np.float32), "paths": ["a", "b"]})]
    write_shard(tmp_path / "e.h5", {"encoder": "cnn", "digest": "other"}, groups)
    words = ["--embeddings", tmp_path / "e.h5", "--classifier", folder / "cnn.safetensors"]
    with pytest.raises(InputError, match="is the classifier of other features"):
        call(classify, *words, "--output", tmp_path / "p.h5")


def test_a_linear_classifier_needs_two_classes(tmp_path: Path) -> None:
    groups = [("1", 0, {"features": np.zeros((2, 4), np.float32), "paths": ["a", "b"]})]
    write_shard(tmp_path / "e.h5", {"encoder": "e", "digest": "d"}, groups)
    with pytest.raises(InputError, match="two or more classes of two or more images"):
        call(head, tmp_path / "e.h5", "--output", tmp_path / "head")

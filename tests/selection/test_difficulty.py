"""The scores by which d2c and ccs rank, against computations by hand."""

import h5py
import numpy as np
import pytest
import torch
from torch.testing import assert_close

from commands import call
from condense.base.artefacts import read_artefact, write_artefact
from condense.base.errors import InputError
from condense.base.seeds import stream
from condense.base.shards import write_shard
from condense.base.storage import locked
from condense.config.settings import Network
from condense.diffusion import adm
from condense.diffusion.transformer import build
from condense.images.index import index as stage_index
from condense.selection import difficulty as measuring
from condense.selection.candidates import add_scores, list_classes
from condense.selection.difficulty import TIMES, denoising_losses, difficulty
from condense.selection.margins import _perceptron, accumulate_margins, margin
from condense.selection.select import select


def test_the_denoising_loss_is_the_mean_over_times_of_the_error_of_the_noise():
    clean = torch.randn(3, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    names = ("a", "b", "c")

    def predict(x, t):
        return torch.cat([0.5 * x, torch.zeros_like(x)], 1)

    found = denoising_losses(predict, clean, "adm", names)
    noise = torch.stack([torch.randn(2, 4, 4, generator=stream("difficulty", name)) for name in names])
    errors = []
    for time in range(50, 1000, 100):
        t = torch.full((3,), time)
        errors.append((0.5 * adm.diffuse(clean, t, noise) - noise).square().mean((1, 2, 3)))
    assert len(errors) == TIMES
    assert_close(found, torch.stack(errors).mean(0))


@pytest.mark.parametrize("objective", ["adm", "flow"])
def test_the_loss_of_an_image_depends_on_its_name_and_not_on_its_batch(objective):
    clean = torch.randn(5, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    channels = 2 if objective == "adm" else 1

    def predict(x, t):
        return torch.sin(x).repeat(1, channels, 1, 1)

    names = tuple("abcde")
    together = denoising_losses(predict, clean, objective, names)
    alone = torch.cat([denoising_losses(predict, clean[i : i + 1], objective, (names[i],)) for i in range(5)])
    assert_close(together, alone)
    assert len(set(together.tolist())) == 5


def test_a_flow_that_knows_its_one_image_has_no_loss_on_it():
    clean = torch.randn(1, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    loss = denoising_losses(lambda x, t: (x - clean) / t[:, None, None, None], clean, "flow", ("a",))
    assert loss.item() < 1e-9


@pytest.fixture
def words(tmp_path) -> list:
    """Command line for a shard of two classes of three images, and a generator that knows them."""
    from PIL import Image

    for name in ("n01440764", "n02102040"):
        (tmp_path / "images" / name).mkdir(parents=True)
        for i in range(3):
            pixels = np.random.default_rng(i).integers(0, 255, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "images" / name / f"{i}.png")
    network = Network(depth=1, width=16, heads=2, patch=4)
    torch.manual_seed(0)
    built = build(network, (3, 8, 8), 2, True)
    about = {"objective": "adm", "network": vars(network), "classes": 2, "shape": [3, 8, 8]}
    write_artefact(tmp_path / "w.safetensors", about, built.state_dict())
    images = ["--root", str(tmp_path / "images")]
    call(stage_index, *images, "--output", tmp_path / "index.csv")
    words = ["--index", tmp_path / "index.csv", "--weights", tmp_path / "w.safetensors", "--resolution", 8]
    return [*images, *words, "--state", tmp_path / "state"]


def test_images_of_a_shard_are_scored_through_the_command(tmp_path, words):
    index, output = tmp_path / "index.csv", tmp_path / "scores.h5"
    call(difficulty, *words, "--output", output)
    with h5py.File(output) as file:
        rows = [len(file[name]["score"]) for name in file]
        assert np.isfinite(file["n01440764"]["score"][()]).all()
    assert rows == [3, 3]
    subset = tmp_path / "subset.csv"
    call(select, "--kind", "d2c", "--index", index, "--scores", output, "--budget", 2, "--output", subset)
    assert len(subset.read_text().splitlines()) == 5


def test_interrupted_it_goes_on_with_the_missing_class_to_the_same_bytes(tmp_path, words, monkeypatch):
    call(difficulty, *words, "--output", tmp_path / "whole.h5")
    seen, measure = [], measuring.denoising_losses

    def stop(predict, clean, objective, names):
        if seen and not (tmp_path / "once").exists():
            (tmp_path / "once").touch()
            raise ZeroDivisionError
        seen.append(names[0].split("/")[0])
        return measure(predict, clean, objective, names)

    monkeypatch.setattr(measuring, "denoising_losses", stop)
    with pytest.raises(ZeroDivisionError):
        call(difficulty, *words, "--output", tmp_path / "scores.h5")
    said = call(difficulty, *words, "--output", tmp_path / "scores.h5")
    assert "1 of 2 classes are there already" in said
    assert seen == ["n01440764", "n02102040"]
    assert (tmp_path / "scores.h5").read_bytes() == (tmp_path / "whole.h5").read_bytes()
    assert not (tmp_path / "state").exists()


def test_classes_measured_by_other_weights_are_not_taken(tmp_path, words, monkeypatch):
    call(difficulty, *words, "--output", tmp_path / "first.h5")
    monkeypatch.setattr(measuring, "write_shard", lambda *given: 1 / 0)  # leaves its state
    with pytest.raises(ZeroDivisionError):
        call(difficulty, *words, "--output", tmp_path / "lost.h5")
    monkeypatch.undo()
    weights = tmp_path / "w.safetensors"
    about, tensors = read_artefact(weights, "a generator")
    write_artefact(weights, about, {name: value + 0.1 for name, value in tensors.items()})
    assert "already" not in call(difficulty, *words, "--output", tmp_path / "second.h5")
    assert (tmp_path / "first.h5").read_bytes() != (tmp_path / "second.h5").read_bytes()


def test_a_shard_that_another_process_measures_is_refused(tmp_path, words):
    with locked(tmp_path / "state"), pytest.raises(InputError, match="state is in use by process"):
        call(difficulty, *words, "--output", tmp_path / "scores.h5")


def test_the_margin_is_the_own_entry_minus_the_largest_other():
    logits = torch.tensor([[3.0, 1.0, 2.0], [0.0, 5.0, 4.0]])
    assert margin(logits, torch.tensor([0, 0])).tolist() == [1.0, -5.0]


def test_margins_are_those_of_probabilities_as_the_release_accumulates_them():
    features = torch.randn(40, 6, generator=torch.Generator().manual_seed(0)) * 9
    labels = torch.arange(40) % 4
    with torch.no_grad():  # all images are in one batch, which the first step of the training comes after
        logits = _perceptron(6, 4, seed=3)((features - features.mean(0)) / features.std(0))
    weights = logits.double().exp()
    probabilities = weights / weights.sum(1, keepdim=True)
    expected = [
        float(row[label] - max(p for c, p in enumerate(row) if c != label))
        for row, label in zip(probabilities, labels, strict=True)
    ]
    found = accumulate_margins(features, labels, seed=3, epochs=1)
    np.testing.assert_allclose(found.numpy(), expected, atol=3e-7, rtol=0)
    assert accumulate_margins(features, labels, seed=3, epochs=30).abs().max() <= 1


def test_mislabelled_images_have_the_lowest_accumulated_margins():
    random = torch.Generator().manual_seed(0)
    labels = torch.arange(120) % 3
    features = torch.eye(3)[labels] * 4 + torch.randn(120, 3, generator=random)
    wrong = torch.tensor([5, 50, 77])
    given = labels.clone()
    given[wrong] = (given[wrong] + 1) % 3
    area = accumulate_margins(features, given, seed=0, epochs=10)
    assert set(area.argsort()[:3].tolist()) == set(wrong.tolist())
    assert torch.equal(area, accumulate_margins(features, given, seed=0, epochs=10))


def test_scores_of_other_images_are_refused(tmp_path):
    (tmp_path / "index.csv").write_text("path,class,class_index,bytes\na/1.png,a,0,1\na/2.png,a,0,1\n")
    classes = list_classes(tmp_path / "index.csv")

    def scored(**group):
        write_shard(tmp_path / "s.h5", {}, [("a", 0, group)])
        return add_scores(classes, tmp_path / "s.h5")

    order = scored(score=np.array([2.0, 1.0]), paths=["a/2.png", "a/1.png"])
    assert order[0].score.tolist() == [1.0, 2.0]
    with pytest.raises(InputError, match=r"no score of a/2\.png"):
        scored(score=np.array([1.0]), paths=["a/1.png"])
    with pytest.raises(InputError, match=r"score of a/1\.png that is not finite"):
        scored(score=np.array([np.nan, 1.0]), paths=["a/1.png", "a/2.png"])

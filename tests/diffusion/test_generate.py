"""Every image owns its label and its noise: batch size, shards and order change none of them."""

import numpy as np
import pytest
import torch
from PIL import Image

from commands import call
from condense.base.artefacts import write_artefact
from condense.base.errors import InputError
from condense.base.seeds import stream
from condense.config.settings import Autoencoder, Network, Sampling
from condense.diffusion import generate as stage
from condense.diffusion.transformer import build
from condense.images.adm_files import ImageBatch
from condense.reporting.grids import plot_samples
from condense.scoring.inception_score import inception_score

NETWORK = Network(depth=2, width=16, heads=2, patch=2)


@pytest.fixture(params=["flow", "adm"])
def weights(request, tmp_path):
    """A generator with seeded random weights, so that class and noise show in its images."""
    torch.manual_seed(0)
    network = build(NETWORK, (3, 8, 8), 4, request.param == "adm")
    for value in network.parameters():
        torch.nn.init.normal_(value, std=0.2)
    about = {"objective": request.param, "network": vars(NETWORK), "classes": 4, "shape": [3, 8, 8]}
    write_artefact(tmp_path / "w.safetensors", about, network.state_dict())
    return tmp_path / "w.safetensors", "euler" if request.param == "flow" else "ddpm"


def images_of(weights, folder, parts=1, batch=64, images=20):
    path, sampler = weights
    sampling = Sampling(images=images, sampler=sampler, steps=4, batch=batch)
    drawn = []
    for part in range(1, parts + 1):
        out = folder / f"{part}.npz"
        words = {"weights": path, "output": out, "shard": f"{part}-of-{parts}"}
        given = dict.fromkeys([*vars(sampling), *vars(Autoencoder())]) | vars(sampling)
        stage.generate(**given | words)
        drawn.append(np.load(out))
    return [np.concatenate([part[key] for part in drawn]) for key in ("images", "labels", "ids")]


def test_batch_size_and_shards_change_no_pixel_by_more_than_a_level(weights, tmp_path):
    images, labels, ids = images_of(weights, tmp_path)
    assert images.shape == (20, 8, 8, 3) and images.dtype == np.uint8
    assert images.std() > 10
    for parts, batch in ((1, 1), (1, 3), (4, 64)):
        again, labels2, ids2 = images_of(weights, tmp_path, parts, batch)
        assert (labels2 == labels).all() and (ids2 == ids).all()
        assert np.abs(again.astype(int) - images).max() <= 1


def test_there_may_be_more_parts_than_images(weights, tmp_path):
    whole, _, _ = images_of(weights, tmp_path, images=4)
    images, labels, ids = images_of(weights, tmp_path, parts=6, images=4)
    assert np.abs(images.astype(int) - whole).max() <= 1
    assert sorted(labels) == ids.tolist() == [0, 1, 2, 3]


def test_labels_are_exactly_balanced_and_in_an_order_of_the_seed(weights, tmp_path):
    _, labels, ids = images_of(weights, tmp_path)
    assert np.bincount(labels).tolist() == [5] * 4
    assert ids.tolist() == list(range(20))
    assert labels.tolist() == stage.labels_of(4, Sampling(images=20)).tolist()


@pytest.mark.parametrize("kind", ["balanced", "random"])
def test_labels_are_a_function_of_the_seed_in_no_regular_order(kind):
    labels = stage.labels_of(10, Sampling(images=1000, labels=kind))
    assert torch.equal(labels, stage.labels_of(10, Sampling(images=1000, labels=kind, steps=7, batch=3)))
    other = stage.labels_of(10, Sampling(images=1000, labels=kind, noise_seed=1))
    assert 50 < (labels == other).sum() < 150  # 100 by chance
    shares = torch.stack([piece.bincount(minlength=10) for piece in labels.split(100)]).double()
    assert 5 < shares.var(0).mean() < 15  # pieces are not balanced: each share varies by 9 or 10
    assert (shares.sum(0) == 100).all() == (kind == "balanced")


def test_splits_of_the_inception_score_are_as_unbalanced_as_those_of_independent_labels():
    """As many images of a class in a split as with 50,000 of 1,000 classes in splits of 5,000."""

    seeds = range(20)

    def score(labels: list[torch.Tensor]) -> float:
        scores = []
        for seed in seeds:
            logits = torch.randn(5000, 100, generator=stream("test logits", seed))
            logits[torch.arange(5000), labels[seed]] += 6
            scores.append(inception_score(logits, 500).mean)
        return float(np.mean(scores))

    independent = score([torch.randint(100, (5000,), generator=stream("test labels", i)) for i in seeds])
    shuffled = score([stage.labels_of(100, Sampling(images=5000, noise_seed=i)) for i in seeds])
    in_turn = score([torch.arange(5000) % 100 for _ in seeds])
    assert shuffled == pytest.approx(independent, rel=0.01)
    assert in_turn > 1.03 * independent


def test_a_compiled_network_sees_batches_of_one_size(weights, tmp_path, monkeypatch):
    images, labels, ids = images_of(weights, tmp_path, batch=8)
    sizes, draw = [], stage.draw
    monkeypatch.setattr(stage, "compile_network", lambda network, device: True)
    monkeypatch.setattr(stage, "draw", lambda *given: sizes.append(len(given[2])) or draw(*given))
    again, labels2, ids2 = images_of(weights, tmp_path, batch=8)
    assert sizes == [8, 8, 8]  # 20 images
    assert np.abs(again.astype(int) - images).max() <= 1
    assert (labels2 == labels).all() and (ids2 == ids).all()
    images_of(weights, tmp_path, parts=4, batch=64)
    assert sizes[3:] == [5, 5, 5, 5]


def test_unequal_shares_of_the_classes_are_refused(weights, tmp_path):
    with pytest.raises(InputError, match=r"sampling\.images is 22"):
        images_of(weights, tmp_path, images=22)


def test_images_that_are_not_finite_are_refused(weights, tmp_path):
    with pytest.raises(InputError, match="not finite"):
        stage.to_pixels(torch.full((2, 3, 8, 8), float("nan")), [3, 4], weights[0])


def test_parts_are_merged_into_one_file_of_the_adm_evaluator(weights, tmp_path):
    images, labels, _ = images_of(weights, tmp_path, parts=3)
    parts = [tmp_path / f"{part}.npz" for part in (1, 2, 3)]
    call(stage.merge_samples, *parts, "--output", tmp_path / "all.npz")
    batch = ImageBatch(tmp_path / "all.npz")
    assert np.array_equal(np.concatenate(list(batch.images())), images)
    assert np.array_equal(batch.labels(), labels)
    assert labels.tolist() == stage.labels_of(4, Sampling(images=20)).tolist()
    parts[1].write_bytes(parts[1].read_bytes()[:-100])
    with pytest.raises(InputError, match=r"2\.npz is not a whole file of samples"):
        call(stage.merge_samples, *parts, "--output", tmp_path / "all.npz")


def test_samples_are_shown_in_a_row_per_class(tmp_path):
    """Each image has its class as its colour; the classes come in the order of the labels' shuffle."""
    labels = stage.labels_of(4, Sampling(images=40)).numpy()
    images = np.broadcast_to(60 * labels[:, None, None, None], (40, 8, 8, 3)).astype(np.uint8)
    for part, chosen in ((1, slice(0, 20)), (2, slice(20, 40))):
        np.savez(tmp_path / f"{part}.npz", images=images[chosen], labels=labels[chosen])
    words = [tmp_path / "1.npz", tmp_path / "2.npz", "--columns", 8, "--least", 1]
    call(plot_samples, *words, "--output", tmp_path / "grid.png", "--few", tmp_path / "few.npz")
    grid = np.asarray(Image.open(tmp_path / "grid.png"))
    for row in range(4):
        assert (grid[9 * row + 4, 4::9] == 60 * row).all()
    assert (np.load(tmp_path / "few.npz")["images"] == 60 * np.arange(4)[:, None, None, None, None]).all()

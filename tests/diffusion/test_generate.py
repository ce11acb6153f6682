"""Every image owns its label and its noise: batch size, shards and order change none of them."""

import numpy as np
import pytest
import torch

from commands import call
from condense.base.artefacts import write_artefact
from condense.base.errors import InputError
from condense.config.settings import Autoencoder, Network, Sampling
from condense.diffusion import generate as stage
from condense.diffusion.transformer import build
from condense.images.adm_files import ImageBatch

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


def test_labels_are_exactly_balanced(weights, tmp_path):
    _, labels, ids = images_of(weights, tmp_path)
    assert np.bincount(labels).tolist() == [5] * 4
    assert ids.tolist() == list(range(20))


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
    parts[1].write_bytes(parts[1].read_bytes()[:-100])
    with pytest.raises(InputError, match=r"2\.npz is not a whole file of samples"):
        call(stage.merge_samples, *parts, "--output", tmp_path / "all.npz")

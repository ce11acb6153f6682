"""The file of a generator says what it is to all that read it, whoever wrote it and when."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file

from commands import call
from condense.base import artefacts
from condense.base.artefacts import write_artefact
from condense.base.errors import InputError
from condense.config.settings import Network, Recipe
from condense.diffusion.checkpoints import import_checkpoint
from condense.diffusion.embedders import Captions
from condense.diffusion.generate import generate
from condense.diffusion.generator import Description, read_description, read_generator, write_generator
from condense.diffusion.transformer import Size
from condense.encoders.encoder import encoder
from condense.images.index import index
from condense.scoring.detect import detect, reference
from condense.scoring.score import score
from golden_networks import small

CPU = torch.device("cpu")
DESCRIPTION = Description(
    objective="flow",
    network=Network(depth=2, width=32, heads=4),
    classes=5,
    shape=(4, 8, 8),
    names=("a", "b", "c", "d", "e"),
    recipe=Recipe(text_encoder="t5", dropout="joint"),
    steps=40,
    ema=0.99,
    device="cpu",
    workers=1,
)
OLD = {
    "objective": "flow",
    "network": {"size": None, "depth": 2, "width": 32, "heads": 4, "patch": 2},
    "classes": 5,
    "shape": [4, 8, 8],
}


def test_a_generator_is_read_as_it_was_written(tmp_path):
    network, captions = small(captions=Captions(3, 6)), torch.randn(6, 3, 6).half()
    write_generator(tmp_path / "g.safetensors", DESCRIPTION, network.state_dict(), captions)
    found, table, description = read_generator(tmp_path / "g.safetensors", CPU)
    assert description == DESCRIPTION == read_description(tmp_path / "g.safetensors")
    assert torch.equal(table, captions.float())
    inputs = torch.randn(2, 4, 8, 8), torch.rand(2), torch.tensor([0, 5]), table[[0, 5]]
    assert torch.equal(found(*inputs), network(*inputs))


def test_files_of_the_former_name_that_say_less_still_open(tmp_path, monkeypatch):
    monkeypatch.setattr(artefacts, "KEY", "gadc")
    write_artefact(tmp_path / "g.safetensors", OLD, small().state_dict())
    monkeypatch.undo()
    network, captions, description = read_generator(tmp_path / "g.safetensors", CPU)
    assert captions is None and len(network.blocks) == 2
    assert (description.steps, description.device, description.names) == (None, None, None)
    assert description.recipe == Recipe()


def test_what_later_files_say_besides_is_passed_over(tmp_path):
    more = OLD | {"colour": "red", "recipe": {"dropout": "joint", "scent": 2}}
    write_artefact(tmp_path / "g.safetensors", more, small().state_dict())
    assert read_description(tmp_path / "g.safetensors").recipe == Recipe(dropout="joint")


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"objective": None}, "its objective is None"),
        ({"network": {"size": "S", "depth": 2}}, "give either size, or depth"),
        ({"network": {"mixers": 2}}, "mixers"),
        ({"network": {"depth": 3, "width": 32, "heads": 4}}, r"has no blocks\.2\."),
        ({"classes": 6}, r"embedding_table\.weight of shape \(6, 32\), the network's is \(7, 32\)"),
    ],
)
def test_what_does_not_describe_its_weights_is_one_sentence(tmp_path, change, part):
    write_artefact(tmp_path / "g.safetensors", OLD | change, small().state_dict())
    with pytest.raises(InputError, match=part) as raised:
        read_generator(tmp_path / "g.safetensors", CPU)
    assert "g.safetensors" in str(raised.value) and "\n" not in str(raised.value)


@pytest.mark.parametrize("key", OLD)
def test_an_artefact_of_another_stage_is_no_generator(tmp_path, key):
    write_artefact(tmp_path / "g.safetensors", {k: OLD[k] for k in OLD if k != key}, {"w": torch.zeros(2)})
    with pytest.raises(InputError, match=rf"is not a generator of .+ \(it does not say its {key}\)"):
        read_description(tmp_path / "g.safetensors")


def test_a_sampler_that_does_not_fit_the_generator_is_refused(tmp_path):
    description = replace(DESCRIPTION, names=None)
    write_generator(tmp_path / "g.safetensors", description, small().state_dict())
    words = ["--weights", tmp_path / "g.safetensors", "--output", tmp_path / "x.npz", "--shard", "1-of-1"]
    with pytest.raises(
        InputError, match=r"g\.safetensors: ddpm does not fit objective flow; use one of euler"
    ):
        call(generate, *words, "--images", 5)


def test_an_imported_checkpoint_is_drawn_from_and_scored(tmp_path):
    """From somebody else's weights to a row of scores, which leaves out what nobody knows."""
    network = small(channels=3, classes=2, size=Size(2, 32, 4), learn_sigma=True)
    save_file(network.state_dict(), tmp_path / "theirs.safetensors")
    words = ["--checkpoint", tmp_path / "theirs.safetensors", "--heads", 4]
    call(import_checkpoint, *words, "--output", tmp_path / "g.safetensors")
    drawing = ["--images", 16, "--sampler", "ddim", "--steps", 3, "--guidance", 1]
    words = ["--weights", tmp_path / "g.safetensors", "--shard", "1-of-1", *drawing]
    call(generate, *words, "--output", tmp_path / "1.npz")
    look_at_photographs(tmp_path)
    words = ["--index", tmp_path / "index.csv", "--encoder", tmp_path / "net.safetensors"]
    call(detect, tmp_path / "1.npz", *words, "--output", tmp_path / "samples.h5")
    words = ["--features", tmp_path / "samples.h5", "--weights", tmp_path / "g.safetensors", *drawing]
    call(score, tmp_path / "reference.h5", *words, "--output", tmp_path / "row.csv")
    row = pd.read_csv(tmp_path / "row.csv").iloc[0]
    assert row["fid"] > 0 and row["objective"] == "adm" and row["sampler"] == "ddim"
    assert row[["device", "gpus", "training_steps", "ema"]].isna().all()


def look_at_photographs(folder):
    """An index of 20 photographs of two classes, a network, and its features of them."""
    random = np.random.default_rng(0)
    for name in ("a", "b"):
        (folder / "images" / name).mkdir(parents=True)
        for i in range(10):
            pixels = random.integers(0, 255, (16, 16, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / "images" / name / f"{i}.png")
    images = ["--root", folder / "images"]
    call(index, *images, "--output", folder / "index.csv")
    torch.manual_seed(0)
    save_file(timm.create_model("test_resnet", pretrained=False).state_dict(), folder / "resnet.safetensors")
    words = ["--kind", "timm", "--model", "test_resnet", "--weights", folder / "resnet.safetensors"]
    call(encoder, *words, "--output", folder / "net.safetensors")
    words = [
        "--index",
        folder / "index.csv",
        "--encoder",
        folder / "net.safetensors",
        "--state",
        folder / "state",
    ]
    call(reference, *images, *words, "--resolution", 8, "--output", folder / "reference.h5")

"""What a recipe attaches reaches the loss: captions by class, features flipped with their image."""

import csv
import json
import math
import os
import threading

import h5py
import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from commands import call
from condense.base.artefacts import read_artefact, write_artefact
from condense.base.errors import InputError
from condense.base.shards import create_around
from condense.config.settings import Recipe, Training
from condense.diffusion.generate import generate
from condense.encoders.encoder import FrozenEncoder, encoder
from condense.images.subset import Chosen, write_subset
from condense.training.captions import captions, captions_of
from condense.training.data import Latents, Sources, read_captions, read_patches
from condense.training.examples import Examples
from condense.training.losses import aligned
from condense.training.patches import features, input_side, patches
from condense.training.train import train
from condense.training.workers import Workers
from texts import write_text_encoder

CLASSES = ["n01440764", "n02102040", "cup"]
ALONE = Workers(0, 1, torch.device("cpu"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Index, subset, pictures, a text encoder and a small vision transformer of timm."""
    folder = tmp_path_factory.mktemp("recipes")
    random = np.random.default_rng(0)
    with (folder / "index.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["path", "class", "class_index", "bytes"])
        for number, name in enumerate(CLASSES):
            (folder / name).mkdir()
            for i in range(2):
                Image.fromarray(random.integers(0, 256, (32, 40, 3), np.uint8)).save(
                    folder / name / f"{i}.png"
                )
                table.writerow([f"{name}/{i}.png", name, number, 1])
    write_text_encoder(folder / "t5", ["tench", "Tinca", "tinca", "cup", "English"])
    torch.manual_seed(0)
    save_file(timm.create_model("test_vit", pretrained=False).state_dict(), folder / "vit.safetensors")
    call(
        captions, "--index", folder / "index.csv", "--output", folder / "captions.h5", "--path", folder / "t5"
    )
    options = ["--kind", "timm", "--model", "test_vit", "--options", '{"dynamic_img_size": true}']
    call(encoder, *options, "--weights", folder / "vit.safetensors", "--output", folder / "vit.encoder")
    align(folder, "vit.encoder", "patches.h5")
    return folder


def align(folder, network, output):
    words = ["--subset", folder / "index.csv", "--root", folder, "--resolution", 32]
    call(patches, *words, "--encoder", folder / network, "--output", folder / output)


def test_captions_are_wordnets_names_and_else_the_folders():
    assert captions_of(CLASSES, None) == [
        "tench, Tinca tinca",
        "English springer, English springer spaniel",
        "cup",
    ]


def test_a_table_of_captions_must_name_every_class(tmp_path):
    table = tmp_path / "captions.csv"
    table.write_text("class,caption\ncup,a cup\n")
    assert captions_of(["cup"], str(table)) == ["a cup"]
    with pytest.raises(InputError, match="no caption of class 'n01440764'"):
        captions_of(CLASSES, str(table))
    table.write_text("class,caption\ncup,a cu")
    with pytest.raises(InputError, match=r"captions\.csv is not a whole table \(its last line has no end"):
        captions_of(["cup"], str(table))


def test_caption_states_are_the_encoders_and_zero_where_padded(folder):
    from transformers import T5EncoderModel

    table = read_captions(folder / "captions.h5")
    assert table.shape == (4, 16, 16) and not table[3].any()
    ids = torch.tensor([[6, 1]])  # cup, end
    with torch.inference_mode():
        expected = T5EncoderModel.from_pretrained(folder / "t5")(input_ids=ids).last_hidden_state
    torch.testing.assert_close(table[2, :2].float(), expected[0], atol=2e-3, rtol=1e-3)
    assert not table[2, 2:].any() and table[0, 4].any()


def test_a_missing_text_encoder_is_one_sentence(folder, tmp_path):
    with pytest.raises(InputError, match=r"text encoder path 'nowhere' is not a folder"):
        call(captions, "--index", folder / "index.csv", "--output", tmp_path / "x.h5", "--path", "nowhere")


def test_the_encoder_sees_one_patch_for_each_token_of_the_generator(folder):
    model = FrozenEncoder(folder / "vit.encoder")
    assert input_side(model, 256) == 256  # patches of 16: 16 x 16, as of a latent of 32 with patch 2
    assert features(model, np.zeros((1, 512, 512, 3), np.uint8), 512).shape == (1, 64, 32, 32)


def test_dinov2_sees_224_pixels_of_256_and_448_of_512():
    with torch.device("meta"):
        network = timm.create_model("vit_small_patch14_dinov2", pretrained=False, dynamic_img_size=True)
    found = Found(network)
    assert [input_side(found, side) for side in (256, 512)] == [224, 448]


class Found:
    """An encoder of which only the network matters."""

    def __init__(self, network):
        self.network = network


def test_features_are_the_patch_tokens_of_the_image_and_of_its_mirror_image(folder):
    stored = read_patches(folder / "patches.h5", paths(folder))
    model = FrozenEncoder(folder / "vit.encoder")
    pixels = np.asarray(Image.open(folder / "cup/0.png"))[:, 4:36]  # the centre
    batch = model.preprocess.normalise(torch.from_numpy(np.stack([pixels, pixels[:, ::-1]])))
    with torch.inference_mode():
        tokens = model.network.forward_features(batch)[:, 1:].unflatten(1, (2, 2))
    torch.testing.assert_close(stored[4].float(), tokens, atol=2e-3, rtol=2e-3)
    assert not torch.allclose(stored[4, 0].float(), stored[4, 1].float(), atol=1e-2)


def test_features_of_made_images_stand_beside_those_of_real_ones(folder, tmp_path):
    (tmp_path / "made/x").mkdir(parents=True)
    (tmp_path / "made/x/0.png").write_bytes((folder / "cup/1.png").read_bytes())
    rows = [Chosen("cup/0.png", "cup", 2, 0), Chosen("x/0.png", "cup", 2, 1, made=True)]
    write_subset(rows, tmp_path / "subset.csv")
    words = ["--subset", tmp_path / "subset.csv", "--root", folder, "--made", tmp_path / "made"]
    words += ["--resolution", 32, "--encoder", folder / "vit.encoder"]
    call(patches, *words, "--output", tmp_path / "patches.h5")
    stored = read_patches(folder / "patches.h5", paths(folder))
    found = read_patches(tmp_path / "patches.h5", [row.path for row in rows])
    torch.testing.assert_close(found.float(), stored[4:].float(), atol=2e-3, rtol=2e-3)


def test_an_empty_subset_has_features_of_no_image(folder, tmp_path):
    (tmp_path / "none.csv").write_text("path,class,class_index,rank\n")
    words = ["--subset", tmp_path / "none.csv", "--root", folder, "--encoder", folder / "vit.encoder"]
    call(patches, *words, "--resolution", 32, "--output", tmp_path / "patches.h5")
    assert read_patches(tmp_path / "patches.h5", []).shape == (0, 2, 2, 2, 64)


def test_hdf5_finds_the_features_where_they_are_mapped(folder):
    with h5py.File(folder / "patches.h5") as file:
        stored = file["features"][()]
        assert file["features"].id.get_offset() % 64 == 0
    assert np.array_equal(stored, read_patches(folder / "patches.h5", paths(folder)).numpy())
    assert stored.any((2, 3, 4)).all()


def test_features_that_are_cut_off_are_named(folder, tmp_path):
    whole = (folder / "patches.h5").read_bytes()
    for kept in (0, 100, len(whole) // 2, len(whole) - 1):
        (tmp_path / "cut.h5").write_bytes(whole[:kept])
        with pytest.raises(InputError, match=r"cut\.h5 is not a whole file of features"):
            read_patches(tmp_path / "cut.h5", paths(folder))


def test_more_features_than_memory_can_be_mapped(tmp_path):
    """In a file with a hole: ImageNet's would take a terabyte."""
    image = (2, 16, 16, 768)
    count = 2 * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // (2 * math.prod(image)) + 1
    names = [f"{i}.png" for i in range(count)]
    with create_around(tmp_path / "p.h5", "features", (count, *image), np.float16, {"path": names}) as file:
        file.truncate(file.tell() + count * 2 * math.prod(image))
    found = read_patches(tmp_path / "p.h5", names)
    assert found.shape == (count, *image) and not found[-1].any()
    (tmp_path / "p.h5").unlink()


def test_features_written_by_hdf5_itself_are_read(folder, tmp_path):
    """As files of earlier versions are."""
    stored = read_patches(folder / "patches.h5", paths(folder)).numpy()
    with h5py.File(tmp_path / "patches.h5", "w") as file:
        file["path"] = np.array(paths(folder), dtype=h5py.string_dtype())
        file["features"] = stored
    assert np.array_equal(read_patches(tmp_path / "patches.h5", paths(folder)).numpy(), stored)


def test_features_that_are_not_finite_leave_no_file(folder, tmp_path):
    about, weights = read_artefact(folder / "vit.encoder", "an encoder")
    weights["network.norm.bias"][0] = float("inf")
    write_artefact(tmp_path / "broken", about, weights)
    words = ["--subset", folder / "index.csv", "--root", folder, "--resolution", 32]
    with pytest.raises(InputError, match=r"n01440764/0\.png.*not finite"):
        call(patches, *words, "--encoder", tmp_path / "broken", "--output", tmp_path / "patches.h5")
    assert [path.name for path in tmp_path.iterdir()] == ["broken"]


def test_features_of_other_images_are_refused(folder):
    with pytest.raises(InputError, match="holds features of other images"):
        read_patches(folder / "patches.h5", paths(folder)[::-1])


def paths(folder):
    with (folder / "index.csv").open() as file:
        return [row["path"] for row in csv.DictReader(file)]


def examples(recipe=None, **training):
    """Latents, features and captions whose values tell image, orientation and class."""
    number, mirror = torch.arange(10.0)[:, None], torch.tensor([0.0, 0.5])
    value = (number + mirror)[:, :, None, None, None]
    latents = Latents(
        mean=value.expand(10, 2, 4, 8, 8).half(),
        deviation=None,
        labels=torch.arange(10) % 5,
        paths=[str(i) for i in range(10)],
        classes=5,
        shape=(4, 8, 8),
    )
    table = torch.cat([torch.arange(1.0, 6), torch.zeros(1)])[:, None, None].expand(6, 2, 3)
    sources = Sources(latents, table, value.expand(10, 2, 4, 4, 6).half())
    return Examples(sources, "flow", Training(batch=400, **training), recipe or Recipe(), 0, ALONE)


def test_image_and_target_are_flipped_together():
    batch = examples().batch(3)
    image, target = batch.clean[:, 0, 0, 0], batch.features[:, 0, 0, 0].float()
    assert torch.equal(image, target)
    assert 0.4 < (image % 1 == 0.5).float().mean() < 0.6


class Reads:
    """Features that tell who reads them, and let a reader wait until the step before is being computed."""

    def __init__(self, features):
        self.features, self.readers, self.started = features, [], threading.Event()

    def __getitem__(self, index):
        self.readers.append(threading.current_thread())
        if len(self.readers) > 1:
            self.started.set()
        return self.features[index]


def test_the_features_of_the_next_step_are_read_while_this_one_is_computed():
    plain, ahead = examples(steps=3), examples(steps=3)
    ahead.patches = reads = Reads(ahead.patches)
    first = ahead.batch(0)
    assert reads.started.wait(20), "nothing is read before the next step asks for it"
    found = [first, ahead.batch(1), ahead.batch(2)]
    assert len(reads.readers) == 3 and threading.main_thread() not in reads.readers
    for step, batch in enumerate(found):
        for value, expected in zip(vars(batch).values(), vars(plain.batch(step)).values(), strict=True):
            assert torch.equal(value, expected)
    elsewhere = examples(steps=9)
    elsewhere.batch(0)
    assert torch.equal(elsewhere.batch(7).features, examples(steps=9).batch(7).features)


@pytest.mark.parametrize(("dropout", "both"), [("independent", 0.09), ("joint", 0.3)])
def test_classes_and_captions_are_dropped_apart_or_together(dropout, both):
    batches = [examples(Recipe(dropout=dropout), class_dropout=0.3).batch(step) for step in range(10)]
    labels = torch.cat([batch.labels for batch in batches])
    text = torch.cat([batch.text[:, 0, 0] for batch in batches])
    dropped, silent = labels == 5, text == 0
    assert abs(dropped.float().mean() - 0.3) < 0.03 and abs(silent.float().mean() - 0.3) < 0.03
    assert abs((dropped & silent).float().mean() - both) < 0.02
    kept = ~dropped & ~silent
    assert torch.equal(text[kept], labels[kept] + 1.0)


def test_a_feature_map_is_brought_to_the_grid_of_the_tokens():
    tokens, features = torch.randn(2, 16, 6), torch.randn(2, 6)
    coarse = features[:, None, None].expand(2, 2, 2, 6)
    expected = -torch.cosine_similarity(tokens, features[:, None], dim=-1).mean(1)
    torch.testing.assert_close(aligned(tokens, coarse), expected)


@pytest.mark.parametrize("objective", ["flow", "adm"])
def test_a_generator_of_the_attach_recipe_learns_its_captions_and_features(folder, tmp_path, objective):
    with h5py.File(tmp_path / "latents.h5", "w") as file:
        file.attrs["classes"] = 3
        file["path"] = np.array(paths(folder), dtype=h5py.string_dtype())
        file["label"] = np.arange(6) // 2
        file["mean"] = np.random.default_rng(0).normal(size=(6, 2, 3, 8, 8)).astype(np.float16)
    words = ["--latents", tmp_path / "latents.h5", "--captions", folder / "captions.h5"]
    words += ["--patches", folder / "patches.h5", "--alignment-block", 1, "--alignment-hidden", 24]
    words += [
        "--depth",
        2,
        "--width",
        16,
        "--heads",
        2,
        "--steps",
        60,
        "--batch",
        8,
        "--learning-rate",
        0.003,
    ]
    words += [
        "--state-folder",
        tmp_path / "state",
        "--history",
        tmp_path / "history.jsonl",
        "--milestone-every",
        60,
    ]
    weights = tmp_path / "seed0.safetensors"
    call(train, *words, "--objective", objective, "--output", weights)
    losses = [json.loads(line)["loss"] for line in (tmp_path / "history.jsonl").read_text().splitlines()]
    assert np.mean(losses[-10:]) < np.mean(losses[:10]) - 0.1
    state = load_file(next((tmp_path / "state").glob("*/*")))
    for part in ("y_embedder.conv.weight", "projectors.0.0.weight", "projectors.0.4.weight"):
        assert state[f"exp_avg.{part}"].abs().sum() > 0, part
    assert not any(name.startswith("projectors.") for name in load_file(weights))
    sampler = {"flow": "euler", "adm": "ddim"}[objective]
    drawing = ["--images", 6, "--sampler", sampler, "--steps", 3, "--shard", "1-of-1"]
    call(generate, "--weights", weights, "--output", tmp_path / "images.npz", *drawing)
    assert np.load(tmp_path / "images.npz")["images"].shape == (6, 8, 8, 3)

"""A finetuning starts at another generator's weights, obeys its settings, and is resumed to the byte."""

import json
import signal
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from commands import call
from condense.base.errors import InputError, Unfinished
from condense.config.finetuning import Finetuning
from condense.config.settings import Network
from condense.diffusion.difffit import is_trained
from condense.diffusion.generator import Description, read_description, write_generator
from condense.diffusion.transformer import build
from condense.images.subset import Chosen, write_subset
from condense.training.finetune import finetune, training_of
from trainings import Training, write_latents

NETWORK = Network(depth=2, width=16, heads=2, patch=4)
NAMES = ("n01440764", "n02102040", "n02979186")
SHORT = ["--epochs", "10", "--batch", "3", "--ema", "0.9", "--memory", "2", "--checkpoint-every", "20"]
AFTER_A_SAVE = """
def save(*given, save=state.save):
    save(*given)
    os.kill(os.getpid(), signal.SIGKILL)
state.save = save"""


class Tuned(Training):
    """One finetuning of twelve images of three classes in a folder of its own."""

    command = staticmethod(finetune)

    def __init__(self, folder: Path, start: Path, *options: str) -> None:
        super().__init__(folder, start / "latents.h5")
        files = {"start": start / "start.safetensors", "latents": start / "latents.h5"}
        files |= {"subset": start / "subset.csv", "output": self.weights}
        files |= {"history": self.history, "state-folder": self.states}
        self.words = [word for name, path in files.items() for word in (f"--{name}", str(path))]
        self.words += [*SHORT, *options]

    def rows(self) -> list[dict]:
        """The history."""
        return [json.loads(line) for line in self.history.read_text().splitlines()]


def write_start(path: Path, **changed) -> dict[str, torch.Tensor]:
    """A generator whose weights are all random; its weights."""
    about = {"objective": "adm", "network": NETWORK, "classes": 3, "shape": (4, 8, 8)} | changed
    torch.manual_seed(0)
    network = build(NETWORK, about["shape"], about["classes"], about["objective"] == "adm")
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    write_generator(path, Description(**about), network.state_dict())
    return network.state_dict()


@pytest.fixture(scope="module")
def start(tmp_path_factory) -> Path:
    """Folder of a generator, and of latents and the subset that they are of."""
    folder = tmp_path_factory.mktemp("start")
    write_start(folder / "start.safetensors")
    write_latents(folder / "latents.h5")
    rows = [Chosen(f"c/{i:02}.png", NAMES[i % 3], i % 3, i // 3) for i in range(12)]
    write_subset(rows, folder / "subset.csv")
    return folder


@pytest.fixture(scope="module")
def undisturbed(start, tmp_path_factory) -> Tuned:
    made = Tuned(tmp_path_factory.mktemp("undisturbed"), start, "--inversion", "code")
    made.run()
    return made


@pytest.mark.parametrize("inversion", ["code", "paired", "ddim"])
def test_a_killed_finetuning_ends_with_the_bytes_of_an_undisturbed_one(start, tmp_path, inversion):
    options = ["--inversion", inversion, "--inversion-steps", "4"]
    whole = Tuned(tmp_path / "whole", start, *options)
    whole.run()
    killed = Tuned(tmp_path / "killed", start, *options)
    process = killed.spawn(AFTER_A_SAVE)
    process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL
    assert killed.saved() == [20] and not killed.weights.exists()
    state = load_file(killed.newest())
    assert state["ledger.count"].sum() == 60 and state["ledger.estimated"].abs().sum() > 0
    assert "going on from step 20 of 40" in killed.run()
    assert killed.bytes() == whole.bytes() and killed.saved() == []


def test_a_finetuning_out_of_time_goes_on_to_the_same_bytes(start, tmp_path, undisturbed):
    made = Tuned(tmp_path, start, "--inversion", "code")
    with pytest.raises(Unfinished, match="stopped after step 1 of 40"):
        call(finetune, *made.words, "--minutes", "0")
    assert "going on from step 1 of 40" in made.run()
    assert made.bytes() == undisturbed.bytes()


def test_difffit_changes_nothing_else(start, undisturbed):
    before, after = load_file(start / "start.safetensors"), load_file(undisturbed.weights)
    added = after.keys() - before.keys()
    assert added and all("gamma" in name and is_trained(name) for name in added)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {name for name in before if is_trained(name)}
    described = read_description(undisturbed.weights)
    assert (described.steps, described.ema, described.workers) == (40, 0.9, 1)


def test_all_parameters_are_trained_where_that_is_asked(start, tmp_path):
    made = Tuned(tmp_path, start, "--parameters", "all")
    made.run()
    before, after = load_file(start / "start.safetensors"), load_file(made.weights)
    assert before.keys() == after.keys()
    assert {name for name in before if torch.equal(before[name], after[name])} == {"pos_embed"}


def test_last_weights_are_kept_where_that_is_asked(start, tmp_path, undisturbed):
    raw = Tuned(tmp_path, start, "--inversion", "code", "--weights", "raw")
    raw.run()
    average, last = load_file(undisturbed.weights), load_file(raw.weights)
    before = load_file(start / "start.safetensors")
    name = "final_layer.linear.bias"
    assert (last[name] - before[name]).norm() > 1.1 * (average[name] - before[name]).norm()
    assert raw.rows() == undisturbed.rows() and read_description(raw.weights).ema is None


def test_the_history_tells_what_acted(start, tmp_path, undisturbed):
    first, *later = undisturbed.rows()
    assert first["representativeness"] == first["diversity"] == 0  # the memories are empty
    assert all(row["representativeness"] > 0 for row in later)
    assert all(0 < row["inversion_share"] < 0.01 for row in later)
    # the one step of the release hardly moves a latent
    assert np.mean([row["target_cosine"] for row in later]) > 0.9
    plain = Tuned(tmp_path, start)
    plain.run()
    assert plain.rows()[0].keys() == {
        *("step", "loss", "gradient_norm", "learning_rate", "representativeness", "diversity")
    }


def test_settings_change_the_run(start, tmp_path, undisturbed):
    for number, options in enumerate((["--inversion", "paired"], ["--diversity", "0"], ["--seed", "1"])):
        other = Tuned(tmp_path / str(number), start, "--inversion", "code", *options)
        other.run()
        assert other.weights.read_bytes() != undisturbed.weights.read_bytes()


def test_a_finetuned_generator_can_be_finetuned_again(start, tmp_path, undisturbed):
    again = Tuned(tmp_path, start)
    again.words[1] = str(undisturbed.weights)
    again.run()
    assert load_file(again.weights).keys() == load_file(undisturbed.weights).keys()


def test_no_image_leaves_the_network_as_it_is(start, tmp_path):
    with h5py.File(tmp_path / "none.h5", "w") as file:
        file.attrs["classes"] = 3
        file["path"] = np.array([], dtype=h5py.string_dtype())
        file["label"], file["mean"] = np.zeros(0, np.int64), np.zeros((0, 2, 4, 8, 8), np.float16)
    write_subset([], tmp_path / "none.csv")
    made = Tuned(tmp_path, start)
    made.words[3], made.words[5] = str(tmp_path / "none.h5"), str(tmp_path / "none.csv")
    made.run()
    before, after = load_file(start / "start.safetensors"), load_file(made.weights)
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert all((after[name] == 1).all() for name in after.keys() - before.keys())


@pytest.mark.parametrize("inversion", ["none", "code", "paired", "ddim"])
def test_fewer_images_than_a_batch_are_finetuned_on(start, tmp_path, inversion):
    """One image of one class and none of the others: a batch of one, in every reading."""
    write_latents(tmp_path / "one.h5", 1)
    write_subset([Chosen("c/00.png", NAMES[0], 0, 0)], tmp_path / "one.csv")
    made = Tuned(tmp_path, start, "--inversion", inversion, "--inversion-steps", "4")
    made.words[3], made.words[5] = str(tmp_path / "one.h5"), str(tmp_path / "one.csv")
    made.run()
    assert len(made.rows()) == 10
    assert all(np.isfinite(value) for row in made.rows() for value in row.values())
    assert all(value.isfinite().all() for value in load_file(made.weights).values())


def test_a_start_that_is_missing_or_not_finite_is_one_sentence(start, tmp_path):
    made = Tuned(tmp_path, start)
    made.words[1] = str(tmp_path / "absent.safetensors")
    with pytest.raises(InputError, match=r"absent\.safetensors"):
        made.run()
    weights = load_file(start / "start.safetensors")
    weights["final_layer.linear.bias"][0] = np.nan
    write_generator(tmp_path / "spoilt.safetensors", read_description(start / "start.safetensors"), weights)
    made.words[1] = str(tmp_path / "spoilt.safetensors")
    with pytest.raises(InputError, match="not finite"):
        made.run()
    assert made.saved() == [] and not made.weights.exists()


def test_classes_are_a_generators_own_by_their_names(start, tmp_path):
    """A generator that lists the classes in another order learns the same of each of them."""
    order = [2, 0, 1]  # of the study's classes, in the generator
    weights = write_start(tmp_path / "plain.safetensors", names=NAMES)
    table = weights["y_embedder.embedding_table.weight"]
    weights["y_embedder.embedding_table.weight"] = table[[*order, 3]]
    about = read_description(tmp_path / "plain.safetensors")
    names = tuple(NAMES[index] for index in order)
    write_generator(tmp_path / "other.safetensors", Description(**vars(about) | {"names": names}), weights)
    made = []
    for name in ("plain", "other"):
        tuned = Tuned(tmp_path / name, start)
        tuned.words[1] = str(tmp_path / f"{name}.safetensors")
        tuned.run()
        assert read_description(tuned.weights).names == (NAMES if name == "plain" else names)
        made.append(load_file(tuned.weights))
    plain, other = made
    tables = [found.pop("y_embedder.embedding_table.weight") for found in made]
    torch.testing.assert_close(tables[1], tables[0][[*order, 3]])
    assert plain.keys() == other.keys()
    torch.testing.assert_close(plain, other)


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"objective": "flow"}, "has the objective flow"),
        ({"shape": (3, 8, 8)}, r"takes latents of \(3, 8, 8\), those of the images are \(4, 8, 8\)"),
        ({"classes": 2}, "knows 2 classes; 'n02979186' is number 2"),
        ({"names": ("a", "b", "c")}, "does not know class 'n01440764'"),
    ],
)
def test_what_does_not_fit_is_one_sentence(start, tmp_path, changed, sentence):
    write_start(tmp_path / "odd.safetensors", **changed)
    made = Tuned(tmp_path, start)
    made.words[1] = str(tmp_path / "odd.safetensors")
    with pytest.raises(InputError, match=sentence):
        made.run()


def test_a_latent_that_is_not_finite_is_one_sentence_and_saves_nothing(start, tmp_path):
    with h5py.File(tmp_path / "bad.h5", "w") as bad, h5py.File(start / "latents.h5") as good:
        for name in good:
            good.copy(name, bad)
        bad.attrs["classes"] = 3
        bad["mean"][7] = np.nan
    made = Tuned(tmp_path, start)
    made.words[3] = str(tmp_path / "bad.h5")
    with pytest.raises(InputError, match=r"step \d+ \(seed 0\).*is not finite.*c/\d\d\.png"):
        made.run()
    assert made.saved() == [] and not made.weights.exists()


@pytest.mark.parametrize(("images", "steps"), [(9025, 9024), (16, 16), (5, 8), (0, 0)])
def test_epochs_leave_out_the_rest_of_a_batch_as_released(images, steps):
    training = training_of(Finetuning(), images)
    assert training.steps == steps
    assert (training.batch, training.learning_rate, training.ema) == (8, 1e-3, 0.9999)

"""The commands learn, relabel and examine on a folder of pictures: interruptions, soft labels, faults."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from commands import call
from condense.base.artefacts import read_artefact, write_artefact
from condense.base.errors import InputError, Unfinished
from condense.base.storage import locked
from condense.config.settings import Images
from condense.config.students import StudentNetwork
from condense.encoders.encoder import encoder
from condense.images.index import index, list_images, list_validation, validation_index
from condense.students.data import prepared
from condense.students.examine import examine
from condense.students.learn import learn
from condense.students.networks import initialised
from condense.students.relabel import mean_logits, read_teacher, relabel
from condense.students.student import TrainedStudent, read_student
from golden_students import near, read
from studies import CLASSES, draw_encoder, draw_pictures

ROOT = Path(__file__).parents[2]
SHARE = 0.3
SMALL = ["--depth", 2, "--width", 8, "--resolution", 16, "--batch", 8]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Pictures of three classes, some held out by name, their indices and a subset of ten of each class."""
    folder = tmp_path_factory.mktemp("students")
    draw_pictures(folder / "images")
    call(index, *pictures(folder), "--output", folder / "index.csv")
    call(validation_index, *pictures(folder), "--output", folder / "validation.csv")
    rows = pd.read_csv(folder / "index.csv").groupby("class").head(10)
    rows = rows.assign(rank=rows.groupby("class").cumcount())
    rows[["path", "class", "class_index", "rank"]].to_csv(folder / "subset.csv", index=False)
    return folder


def pictures(folder: Path) -> list[object]:
    return ["--root", folder / "images", "--validation", SHARE]


def words(folder: Path, output: Path, *more: object) -> list[object]:
    """Words of a small training on the subset."""
    files = ["--subset", folder / "subset.csv", "--index", folder / "index.csv"]
    files += ["--validation-index", folder / "validation.csv", "--history", output.with_suffix(".jsonl")]
    return [*pictures(folder), *SMALL, *files, "--output", output, *more]


def minimal(folder: Path, output: Path, *more: object) -> list[object]:
    """Words for a folder of images and nothing else."""
    return [*pictures(folder), *SMALL, "--epochs", 2, "--output", output, *more]


def test_a_student_is_trained_and_examined_alike_and_the_same_twice(folder, tmp_path):
    outputs = [tmp_path / f"{name}.safetensors" for name in "ab"]
    for output in outputs:
        said = call(
            learn, *words(folder, output, "--epochs", 30, "--evaluate-every", 10, "--evaluate-from", 0)
        )
        assert "30 epochs of 30 images in batches of 8" in said
    assert outputs[0].read_bytes() == outputs[1].read_bytes()
    rows = [json.loads(line) for line in outputs[0].with_suffix(".jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows if "accuracy" in row] == [10, 20, 30] and len(rows) == 30
    names = ["--method", "gadc", "--student", "small", "--budget", "30"]
    files = ["--output", tmp_path / "row.csv", "--confusion", tmp_path / "confusion.csv"]
    call(examine, "--weights", outputs[0], *pictures(folder), *names, *files)
    row = pd.read_csv(tmp_path / "row.csv").iloc[0]
    about = read_student(outputs[0]).about
    assert row["accuracy"] == pytest.approx(about["accuracy"][0]) == max(r.get("accuracy", 0) for r in rows)
    assert row["last_accuracy"] == pytest.approx(about["last_accuracy"][0]) == rows[-1]["accuracy"]
    assert row["accuracy"] > 60 and row["subset_images"] == 30 and row["labels"] == "hard"
    assert row["recipe"] == "dc with other batch, epochs, evaluate_every, evaluate_from"
    assert row["network"] == "convnet-2-w8" and row["student"] == "small" and row["budget"] == 30
    counts = pd.read_csv(tmp_path / "confusion.csv").set_index("class")
    held = list_validation(Images(root=str(folder / "images"), validation=SHARE))
    assert list(counts.index) == list(counts.columns) == list(CLASSES)
    assert counts.to_numpy().sum() == len(held)
    assert counts.sum(1).to_dict() == {name: sum(row.cls == name for row in held) for name in CLASSES}
    assert 100 * counts.to_numpy().trace() / len(held) == pytest.approx(row["accuracy"])


def same_weights(one: TrainedStudent, other: TrainedStudent) -> bool:
    pairs = zip(one.network.state_dict().values(), other.network.state_dict().values(), strict=True)
    return all(torch.equal(*pair) for pair in pairs)


def test_several_trainings_share_a_job_and_are_told_apart(folder, tmp_path):
    output, alone = tmp_path / "three.safetensors", tmp_path / "alone.safetensors"
    course = ["--epochs", 4, "--evaluate-every", 2, "--evaluate-from", 0]
    call(learn, *words(folder, output, *course, "--trainings", 3))
    call(learn, *words(folder, alone, *course))
    about, single = read_student(output).about, read_student(alone).about
    assert about["accuracy"][:1] == single["accuracy"] and len({*about["last_accuracy"]}) > 1
    for which in ("best", "last"):
        assert same_weights(read_student(output, which), read_student(alone, which))
    assert not same_weights(read_student(output, "last-1"), read_student(output, "last-2"))
    rows = [json.loads(line) for line in output.with_suffix(".jsonl").read_text().splitlines()]
    assert [(row["training"], row["epoch"]) for row in rows] == [*product(range(3), range(1, 5))]
    call(examine, "--weights", output, *pictures(folder), "--output", tmp_path / "row.csv")
    row = pd.read_csv(tmp_path / "row.csv").iloc[0]
    assert row["trainings"] == 3 and row["accuracy"] == pytest.approx(np.mean(about["accuracy"]))
    spread = np.std(about["last_accuracy"], ddof=1)
    assert row["last_accuracy_trainings_std"] == pytest.approx(spread)


def test_a_folder_of_images_is_enough(folder, tmp_path):
    output = tmp_path / "student.safetensors"
    said = call(learn, *minimal(folder, output))
    kept = list_images(Images(root=str(folder / "images"), validation=SHARE))
    assert f"2 epochs of {len(kept)} images" in said
    call(learn, *minimal(folder, tmp_path / "chosen.safetensors", "--subset", folder / "subset.csv"))
    assert read_student(tmp_path / "chosen.safetensors").about["images"] == 30
    left = {path.name for path in tmp_path.iterdir() if path.suffix != ".lock"}
    assert left == {"chosen.safetensors", "student.safetensors"}


def test_a_second_training_on_the_same_states_is_refused(folder, tmp_path):
    output, states = tmp_path / "student.safetensors", tmp_path / "states"
    with locked(states), pytest.raises(InputError, match=r"states is in use by process \d+ on .+ wait"):
        call(learn, *minimal(folder, output, "--state-folder", states))
    assert not output.exists()
    call(learn, *minimal(folder, output, "--state-folder", states))


def test_colours_are_standardised_by_the_images_to_choose_from_or_as_told(folder, tmp_path):
    call(learn, *words(folder, tmp_path / "a.safetensors", "--epochs", 1))
    found = read_student(tmp_path / "a.safetensors").preprocess
    from PIL import Image

    rows = list_images(Images(root=str(folder / "images"), validation=SHARE))
    opened = [Image.open(folder / "images" / row.path) for row in rows]
    colours = torch.cat([torch.tensor(list(image.getdata())) for image in opened]).double() / 255
    assert torch.tensor(found.mean).double().sub(colours.mean(0)).abs().max() < 1e-6
    assert torch.tensor(found.std).double().sub(colours.std(0, correction=0)).abs().max() < 1e-6
    told = ["--mean", "[0.1, 0.2, 0.3]", "--std", "[0.4, 0.5, 0.6]"]
    call(learn, *words(folder, tmp_path / "b.safetensors", "--epochs", 1, *told))
    assert read_student(tmp_path / "b.safetensors").preprocess.std == (0.4, 0.5, 0.6)


@pytest.mark.parametrize("trainings", [1, 2])
def test_an_interrupted_training_ends_with_the_same_bytes(folder, tmp_path, trainings):
    course = ["--recipe", "minimax", "--epochs", 3, "--trainings", trainings]
    call(learn, *words(folder, tmp_path / "whole.safetensors", *course))
    output, stops = tmp_path / "parts.safetensors", 0
    while not output.exists():
        try:
            call(learn, *words(folder, output, *course, "--minutes", 0))
        except Unfinished as stop:
            stops += 1
            step = (stops - 1) % 11 + 1
            assert f"stopped after step {step} of 12; the state is in {tmp_path}" in str(stop)
    assert stops == 11 * trainings and not output.with_suffix(".state").exists()
    assert output.read_bytes() == (tmp_path / "whole.safetensors").read_bytes()
    assert output.with_suffix(".jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


def test_weights_of_every_epoch_are_kept_and_survive_interruptions(folder, tmp_path):
    course = ["--recipe", "igd-surrogate", "--epochs", 2]
    call(learn, *words(folder, tmp_path / "whole.safetensors", *course))
    output = tmp_path / "parts.safetensors"
    while not output.exists():
        with suppress(Unfinished):
            call(learn, *words(folder, output, *course, "--minutes", 0))
    assert output.read_bytes() == (tmp_path / "whole.safetensors").read_bytes()
    start, first, last, end = (
        read_student(output, which).network.state_dict() for which in ("epoch0", "epoch1", "epoch2", "last")
    )
    chosen = StudentNetwork(**read_student(output).about["network"])
    for name, value in initialised(chosen, 16, 3, 0).state_dict().items():
        assert torch.equal(start[name], value) and torch.equal(last[name], end[name])
    assert not any(
        torch.equal(start[name], first[name]) or torch.equal(first[name], last[name]) for name in end
    )


def spawn(*given: object) -> subprocess.Popen:
    path = {"PYTHONPATH": str(ROOT / "workflow"), "OMP_NUM_THREADS": "1"}
    line = [sys.executable, "-m", "condense", "learn", *map(str, given)]
    return subprocess.Popen(line, stderr=subprocess.PIPE, text=True, env=os.environ | path)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_killed_training_goes_on_to_the_same_bytes(folder, tmp_path, number):
    course = ["--epochs", 100, "--checkpoint-minutes", 0.001]
    output, states = tmp_path / "killed.safetensors", tmp_path / "states"
    running = spawn(*words(folder, output, *course, "--state-folder", states))
    while not [*states.glob("*/step_*")] and running.poll() is None:
        time.sleep(0.05)
    running.send_signal(number)
    said = running.communicate()[1]
    assert running.returncode == (75 if number == signal.SIGTERM else -number) and not output.exists(), said
    assert ("run again to go on" in said) == (number == signal.SIGTERM)
    assert "going on from epoch" in call(learn, *words(folder, output, *course, "--state-folder", states))
    call(learn, *words(folder, tmp_path / "whole.safetensors", *course))
    # how often states were saved changes no number, but stands in the file
    assert output.read_bytes() == (tmp_path / "whole.safetensors").read_bytes()


def test_the_state_of_another_recipe_is_told_and_not_taken_up(folder, tmp_path):
    output, states = tmp_path / "a.safetensors", ["--state-folder", tmp_path / "states"]
    with pytest.raises(Unfinished):
        call(learn, *words(folder, output, "--epochs", 5, "--minutes", 0, *states))
    said = call(learn, *words(folder, output, "--epochs", 4, *states))
    assert "holds states of another run (other training.epochs), which are not taken up" in said
    assert "going on" not in said and len([*tmp_path.glob("states/*/step_*")]) == 1


def test_a_damaged_state_is_told_and_the_training_begins_anew(folder, tmp_path):
    output, states = tmp_path / "a.safetensors", tmp_path / "states"
    with pytest.raises(Unfinished):
        call(learn, *words(folder, output, "--epochs", 2, "--minutes", 0, "--state-folder", states))
    state = next(states.glob("*/step_*"))
    state.write_bytes(state.read_bytes()[:-1])
    assert "is not a whole state" in call(
        learn, *words(folder, output, "--epochs", 2, "--state-folder", states)
    )
    assert output.exists()


@pytest.fixture(scope="module")
def teachers(folder) -> list[Path]:
    """A student trained on all images, and an encoder with its own head."""
    student, network = folder / "teacher.safetensors", folder / "net.safetensors"
    call(learn, *minimal(folder, student, "--epochs", 10))
    draw_encoder(network)
    imported = folder / "encoder.safetensors"
    call(encoder, "--kind", "timm", "--model", "test_resnet", "--weights", network, "--output", imported)
    return [student, imported]


@pytest.mark.parametrize("resolution", [16, 20])  # resized to 18 and to 23 pixels
def test_images_with_a_margin_have_a_side_that_the_tiles_divide(folder, teachers, tmp_path, resolution):
    output = tmp_path / "edc.safetensors"
    course = ["--recipe", "edc", "--resolution", resolution, "--epochs", 2, "--teacher", teachers[0]]
    call(learn, *words(folder, output, *course))
    assert output.exists()


@pytest.mark.parametrize(
    ("resolution", "tiles", "side"), [(16, 2, 18), (20, 2, 22), (64, 2, 72), (224, 2, 256), (64, 1, 73)]
)
def test_a_margin_is_kept_but_for_what_the_tiles_leave_over(resolution, tiles, side):
    held = prepared(resolution, 256 / 224, keep_margin=True, tiles=tiles)
    assert held.side == side and held.resize == round(resolution * 256 / 224)
    assert prepared(resolution, 256 / 224, tiles=tiles).side == resolution


@pytest.mark.parametrize("tiles", [7, 30])  # 18 pixels: four left over, or all
def test_images_are_never_cut_below_the_resolution_for_the_tiles(folder, teachers, tmp_path, tiles):
    course = ["--recipe", "edc", "--patch-shuffle", tiles, "--epochs", 1, "--teacher", teachers[0]]
    with pytest.raises(InputError, match=f"patch_shuffle {tiles} does not divide images of 16 pixels"):
        call(learn, *words(folder, tmp_path / "edc.safetensors", *course))


def test_stored_labels_are_the_mean_of_what_teachers_say_of_each_image(folder, teachers, tmp_path):
    files = ["--subset", folder / "subset.csv", "--index", folder / "index.csv"]

    def labels(*given: Path) -> tuple[dict, torch.Tensor]:
        named = [word for path in given for word in ("--teacher", path)]
        said = call(relabel, *pictures(folder), *files, *named, "--output", tmp_path / "labels.safetensors")
        assert f"30 images labelled by {len(given)} teachers" in said
        about, tensors = read_artefact(tmp_path / "labels.safetensors", "labels")
        return about, tensors["logits"]

    about, both = labels(*teachers)
    near(both, (labels(teachers[0])[1] + labels(teachers[1])[1]) / 2, 1e-6)
    assert about["classes"] == list(CLASSES) and both.shape == (30, 3)
    output = tmp_path / "soft.safetensors"
    soft = ["--soft-labels", tmp_path / "labels.safetensors", "--loss", "kl"]
    call(learn, *words(folder, output, "--epochs", 3, "--recipe", "dsco-soft", *soft))
    assert read_student(output).about["labels"] == "soft"


def test_teachers_that_see_each_view_label_a_training(folder, teachers, tmp_path):
    named = [word for path in teachers for word in ("--teacher", path)]
    said = call(learn, *words(folder, tmp_path / "a.safetensors", "--epochs", 2, "--recipe", "edc", *named))
    assert "accuracy" in said
    said = call(
        learn, *words(folder, tmp_path / "b.safetensors", "--epochs", 1, "--recipe", "edc", *named[:2])
    )
    assert (tmp_path / "a.safetensors").read_bytes() != (tmp_path / "b.safetensors").read_bytes()


def test_a_student_as_teacher_says_what_it_says_when_it_is_examined(folder, teachers):
    one = read_student(teachers[0])
    taught = read_teacher(teachers[0], CLASSES[::-1], torch.device("cpu"))
    images = torch.rand(4, 3, 16, 16)
    mean, std = (torch.tensor(value)[:, None, None] for value in (one.preprocess.mean, one.preprocess.std))
    near(taught.logits(images), one.network((images - mean) / std).flip(1), 1e-6)


def test_the_mean_of_logits_equals_edcs(folder):
    values, _ = read("edc")

    class Linear:
        def __init__(self, weights):
            self.weights = weights

        def logits(self, images):
            return images.flatten(1) @ self.weights.T

    near(mean_logits([*map(Linear, values["teacher_weights"])], values["mixed"]), values["soft_label"], 5e-7)


def cut_subset(folder: Path, output: Path, change) -> list[object]:
    """Words of a training on a changed subset."""
    rows = change(pd.read_csv(folder / "subset.csv"))
    rows.to_csv(output.with_suffix(".csv"), index=False)
    given = words(folder, output)
    given[given.index("--subset") + 1] = output.with_suffix(".csv")
    return given


def test_a_subset_that_names_a_held_out_image_is_refused(folder, tmp_path):
    held = list_validation(Images(root=str(folder / "images"), validation=SHARE))[0]

    def swap(rows):
        rows.loc[0, "path"] = held.path
        return rows

    with pytest.raises(
        InputError, match=rf"names '{held.path}' of class .* none of the images to choose from"
    ):
        call(learn, *cut_subset(folder, tmp_path / "a.safetensors", swap))


def test_an_empty_subset_is_refused(folder, tmp_path):
    with pytest.raises(InputError, match="holds no image to train on"):
        call(learn, *cut_subset(folder, tmp_path / "a.safetensors", lambda rows: rows[:0]))


def test_a_class_without_validation_images_is_named(folder, tmp_path):
    shutil.copytree(folder / "images", tmp_path / "other")
    for path in (tmp_path / "other" / CLASSES[1]).iterdir():
        path.unlink()
    shutil.rmtree(tmp_path / "other" / CLASSES[2])
    given = [
        "--root",
        folder / "images",
        "--validation",
        tmp_path / "other",
        *SMALL,
        "--output",
        tmp_path / "a",
    ]
    with pytest.raises(InputError, match=f"Class '{CLASSES[1]}' is empty"):
        call(learn, *given)
    shutil.copytree(folder / "images" / CLASSES[1], tmp_path / "other" / CLASSES[1], dirs_exist_ok=True)
    with pytest.raises(InputError, match=f"Class '{CLASSES[2]}' has no validation image"):
        call(learn, *given)


def test_no_validation_images_at_all_are_one_sentence(folder, tmp_path):
    with pytest.raises(InputError, match=r"No validation images are given: set images\.validation"):
        call(learn, "--root", folder / "images", *SMALL, "--output", tmp_path / "a.safetensors")


def test_labels_that_do_not_fit_are_one_sentence(folder, tmp_path):
    about = {"kind": "labels", "classes": list(CLASSES), "paths": ["x.png"], "teachers": []}
    faults = {
        r"has no label of 'n01440764/": about,
        "labels other classes than those of the images": about | {"classes": ["a"]},
        "holds no soft labels": about | {"kind": "student"},
    }
    path = tmp_path / "labels.safetensors"
    for sentence, content in faults.items():
        write_artefact(path, content, {"logits": torch.zeros(1, 3)})
        with pytest.raises(InputError, match=sentence) as fault:
            call(learn, *words(folder, tmp_path / "a.safetensors", "--loss", "kl", "--soft-labels", path))
        assert str(path) in str(fault.value)


def test_a_teacher_with_other_classes_is_one_sentence(folder, teachers, tmp_path):
    other = tmp_path / "images"
    shutil.copytree(folder / "images", other)
    (other / CLASSES[0]).rename(other / "zebra")
    given = [
        "--root",
        other,
        "--validation",
        SHARE,
        *SMALL,
        "--recipe",
        "dsco-soft",
        "--output",
        tmp_path / "a",
    ]
    for teacher in teachers:
        with pytest.raises(InputError, match="does not know class 'zebra': take one that was trained on it"):
            call(learn, *given, "--teacher", teacher)


def test_loss_and_labels_must_fit(folder, teachers, tmp_path):
    with pytest.raises(InputError, match="loss kl takes soft labels: choose loss ce, or give teachers"):
        call(learn, *words(folder, tmp_path / "a.safetensors", "--loss", "kl"))
    with pytest.raises(InputError, match="loss ce takes no soft labels: choose loss kl or mse"):
        call(learn, *words(folder, tmp_path / "a.safetensors", "--teacher", teachers[0]))


def test_a_student_of_other_classes_is_not_examined(folder, teachers, tmp_path):
    other = tmp_path / "images"
    shutil.copytree(folder / "images", other)
    (other / CLASSES[0]).rename(other / "zebra")
    with pytest.raises(InputError, match="was trained on other classes"):
        call(
            examine,
            "--weights",
            teachers[0],
            "--root",
            other,
            "--validation",
            SHARE,
            "--output",
            tmp_path / "r",
        )
    with pytest.raises(InputError, match="is not a student"):
        call(examine, "--weights", teachers[1], *pictures(folder), "--output", tmp_path / "r")


def test_an_image_that_cannot_be_read_stops_the_training_or_is_left_out(folder, tmp_path):
    other = tmp_path / "images"
    shutil.copytree(folder / "images", other)
    held = list_validation(Images(root=str(other), validation=SHARE))[0]
    (other / held.path).write_text("no image")
    given = [
        "--root",
        other,
        "--validation",
        SHARE,
        *SMALL,
        "--epochs",
        1,
        "--output",
        tmp_path / "a.safetensors",
    ]
    with pytest.raises(InputError, match=r"1 of \d+ images cannot be read: .*is not an image"):
        call(learn, *given)
    assert "cannot be read and are left out" in call(learn, *given, "--unreadable", "skip")

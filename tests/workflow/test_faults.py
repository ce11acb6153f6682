"""Damaged files, full and read-only disks, other people's edits: one sentence that names the file."""

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import timm
import torch
from safetensors.torch import save_file

from commands import call
from condense.base.artefacts import read_artefact, write_artefact
from condense.base.errors import InputError
from condense.base.shards import create, open_shard, put, read_text, write_shard
from condense.base.storage import replacing
from condense.base.tables import write_table
from condense.diffusion.parts import read_part
from condense.encoders.encoder import encoder
from condense.images.index import index
from condense.images.subset import read_subset
from condense.training.data import read_latents

ROOT = Path(__file__).parents[2]
RANDOM = np.random.default_rng(0)
PATHS = [f"n0144/{i:03}.png" for i in range(20)]


def write_embeddings(path: Path, count: int = 20) -> None:
    features = RANDOM.normal(size=(count, 8)).astype(np.float32)
    write_shard(path, {"digest": "00"}, [("n0144", 3, {"features": features, "paths": PATHS})])


def read_embeddings(path: Path) -> Any:
    with open_shard(path) as shard:
        groups = [shard[name] for name in shard]
        every = [(group.name, int(group.attrs["class_index"])) for group in groups]
        return every, [(group["features"][()].tobytes(), read_text(group["paths"])) for group in groups]


def write_latents(path: Path) -> None:
    with replacing(path) as beside, create(beside) as file:
        file.attrs["classes"] = 4
        put(file, "path", PATHS)
        put(file, "label", np.arange(20) % 4)
        put(file, "mean", RANDOM.normal(size=(20, 2, 4, 2, 2)).astype(np.float16))


def write_samples(path: Path, count: int = 20) -> None:
    images = RANDOM.integers(0, 255, (count, 4, 4, 3), np.uint8)
    with replacing(path) as beside, beside.open("wb") as file:
        np.savez(file, images=images, labels=np.arange(count))


def write_weights(path: Path, count: int = 20) -> None:
    write_artefact(path, {"objective": "flow"}, {"w": torch.randn(count, 8), "b": torch.zeros(8)})


def read_weights(path: Path) -> Any:
    about, tensors = read_artefact(path, "a generator")
    return about, {name: tensor.numpy().tobytes() for name, tensor in tensors.items()}


def write_subset(path: Path, count: int = 20) -> None:
    rows = {"path": (PATHS * count)[:count], "class": "n0144", "class_index": 3, "rank": range(count)}
    write_table(pd.DataFrame(rows), path)
    rows = {"path": PATHS, "class": "n0144", "class_index": 3, "bytes": 1}
    write_table(pd.DataFrame(rows), path.with_name("index.csv"))


ARRAYS = ("images", "labels")
FILES: dict[str, tuple[Callable[[Path], None], Callable[[Path], Any]]] = {
    "embeddings.h5": (write_embeddings, read_embeddings),
    "latents.h5": (write_latents, lambda path: repr(vars(read_latents(path)))),
    "samples.npz": (
        write_samples,
        lambda path: [part.tobytes() for part in read_part(path, "images", "labels")],
    ),
    "weights.safetensors": (write_weights, read_weights),
    "subset.csv": (write_subset, lambda path: read_subset(path, index=path.with_name("index.csv"))),
}


@pytest.mark.parametrize("name", FILES)
def test_a_flipped_bit_is_named_or_harmless(name, tmp_path):
    write, read = FILES[name]
    path = tmp_path / name
    write(path)
    whole, good = path.read_bytes(), read(path)
    noticed = 0
    random = np.random.default_rng(1)
    for place in random.choice(len(whole), 300):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << int(random.integers(8))
        path.write_bytes(flipped)
        try:
            assert read(path) == good, f"byte {place} was changed and nothing noticed it"
        except InputError as error:
            noticed += 1
            assert str(path) in str(error) and "delete it" in str(error)
    assert noticed > 30


@pytest.mark.parametrize("name", FILES)
def test_a_cut_file_is_named(name, tmp_path):
    write, read = FILES[name]
    path = tmp_path / name
    write(path)
    whole = path.read_bytes()
    for kept in (0, 1, whole.rindex(b",") if name.endswith("csv") else len(whole) - 1):
        path.write_bytes(whole[:kept])
        with pytest.raises(InputError, match=re.escape(str(path))):
            read(path)


@pytest.fixture
def disk(tmp_path) -> Iterator[Path]:
    """A file system of 256 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a tmpfs may not be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


WRITERS = {
    "embeddings.h5": lambda path: write_embeddings(path, 20_000),
    "subset.csv": lambda path: write_subset(path, 40_000),
    "samples.npz": lambda path: write_samples(path, 20_000),
    "weights.safetensors": lambda path: write_weights(path, 20_000),
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_full_disk_is_named_and_leaves_what_was_there(name, disk):
    path = disk / name
    path.write_bytes(b"old")
    with pytest.raises(InputError, match=rf"{name} could not be written \(No space left on device\)"):
        WRITERS[name](path)
    assert path.read_bytes() == b"old" and [file.name for file in disk.iterdir()] == [name]


@pytest.mark.parametrize("left", [0, 9, 250])
def test_a_disk_full_of_features_ends_in_one_sentence(disk, tmp_path, left):
    """In a process of its own: HDF5 ends where it cannot write, and takes the process with it."""
    network = timm.create_model("test_vit", pretrained=False)
    save_file(network.state_dict(), tmp_path / "vit.safetensors")
    words = ["--kind", "timm", "--model", "test_vit", "--options", '{"dynamic_img_size": true}']
    call(encoder, *words, "--weights", tmp_path / "vit.safetensors", "--output", tmp_path / "vit")
    call(index, "--source", "digits", "--per-class", 40, "--output", tmp_path / "subset.csv")
    (disk / "filler").write_bytes(bytes((256 - left) << 10))
    run = [sys.executable, "-m", "condense", "patches", "--source", "digits", "--resolution", "32"]
    run += ["--subset", tmp_path / "subset.csv", "--encoder", tmp_path / "vit"]
    run += ["--output", disk / "patches.h5"]
    done = subprocess.run(run, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done
    assert "patches.h5 could not be written (No space left on device)" in done.stderr.splitlines()[-1]
    assert [path.name for path in disk.iterdir()] == ["filler"]


@pytest.mark.parametrize("name", WRITERS)
def test_a_read_only_folder_is_named(name, disk):
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    with pytest.raises(InputError, match=rf"{name} could not be written \(Read-only file system\)"):
        WRITERS[name](disk / "results" / name)


def test_a_study_in_a_read_only_folder_is_named(disk):
    shutil.copy(ROOT / "tests/tiny/config.yaml", disk)
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    run = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--dry-run"]
    done = subprocess.run([*run, "--directory", str(disk)], capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    assert done.returncode == 1 and f"{disk} may not be written: give write access to it" in said
    assert "Traceback" not in said


def test_an_error_of_the_work_itself_is_not_taken_for_the_disks(tmp_path):
    with pytest.raises(FileNotFoundError), replacing(tmp_path / "out"):
        (tmp_path / "lost").read_bytes()
    with pytest.raises(PermissionError), replacing(tmp_path / "out"):
        raise PermissionError(13, "not yours", "/elsewhere/image.png")


def test_a_file_left_by_a_killed_writer_goes_when_its_place_is_filled(tmp_path):
    (tmp_path / ".out.1.part").touch()
    (tmp_path / ".other.1.part").touch()
    with replacing(tmp_path / "out") as beside:
        beside.touch()
    assert sorted(path.name for path in tmp_path.iterdir()) == [".other.1.part", "out"]


EDITS = {
    "an image that is not there": ("000.png,n0144,3", "999.png,n0144,3"),
    "another class": ("000.png,n0144,3", "000.png,n0144,2"),
    "no class": ("000.png,n0144,3", "000.png,n0144,"),
    "other columns": ("path,class,", "file,class,"),
}


@pytest.mark.parametrize("edit", EDITS)
def test_a_subset_edited_to_nonsense_is_named(tmp_path, edit):
    path = tmp_path / "subset.csv"
    write_subset(path)
    path.write_text(path.read_text().replace(*EDITS[edit]))
    with pytest.raises(InputError, match=re.escape(str(path))):
        read_subset(path, index=tmp_path / "index.csv")


@pytest.fixture
def study(built, tmp_path):
    """The tiny study with its results, to be changed."""
    return built.duplicate(tmp_path)


def test_a_subset_edited_with_sense_is_trained_on_anew(study):
    path = study.folder / "results/subsets/gadc/6.csv"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:-1]))
    planned = study.planned()
    assert planned["latents"] == planned["train"] == 1 and "select" not in planned


def test_a_class_removed_after_embedding_is_removed_from_everything(study):
    shutil.rmtree(study.folder / "images/n02979186")
    planned = study.planned()
    assert planned["index"] >= 1 and planned["embed"] >= 1 and planned["latents"] == 2


def test_a_clock_that_jumps_backwards_hides_no_new_image(study):
    tomorrow = time.time() + 86400
    for path in [
        *study.folder.rglob("*.csv"),
        *study.folder.rglob("*.h5"),
        study.folder / "images/n01440764",
    ]:
        os.utime(path, (tomorrow, tomorrow))
    shutil.copy(study.folder / "images/n01440764/003.png", study.folder / "images/n01440764/new.png")
    assert study.planned()["embed"] >= 1

"""Tar shards, folders without classes and hub data sets: the images of a folder; faults are one sentence."""

import io
import json
import os
import tarfile
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from test_parquet import NAMES, encoded, write

from condense.base.errors import InputError
from condense.config.settings import Images
from condense.images import packed
from condense.images.decoding import Unreadable
from condense.images.index import fingerprint, list_images
from condense.images.sources import load, source


def shard(path: Path, members: dict[str, bytes | str]) -> Path:
    """A tar file of these members, in this order."""
    with tarfile.open(path, "w") as archive:
        for name, content in members.items():
            content = content.encode() if isinstance(content, str) else content
            described = tarfile.TarInfo(name)
            described.size = len(content)
            archive.addfile(described, io.BytesIO(content))
    return path


def tar(root: Path, **changes: object) -> Images:
    return Images(source="tar", root=str(root), **changes)


def samples(labels: list[str], start: int = 0) -> dict[str, bytes | str]:
    """One-coloured images, as WebDataset lays them out."""
    found: dict[str, bytes | str] = {}
    for number, label in enumerate(labels, start):
        found |= {f"train/{number:04}.png": encoded(number), f"train/{number:04}.cls": label}
    return found


def test_images_of_shards_are_named_by_class_and_key(tmp_path):
    shard(tmp_path / "train-0.tar", samples(["dog", "cat"]))
    shard(tmp_path / "train-1.tar", samples(["dog"], 2))
    opened = source(tar(tmp_path / "train-*.tar"))
    assert opened.classes() == ["cat", "dog"]
    assert opened.images("dog") == [(f"dog/000{i}.png", len(encoded(i))) for i in (0, 2)]
    assert (load(opened, "dog/0002.png") == 2).all() and (load(opened, "cat/0001.png") == 1).all()
    assert opened.holds("dog/0002.png", "dog") and not opened.holds("dog/0001.png", "dog")
    assert source(tar(tmp_path)).classes() == ["cat", "dog"]


def test_numbers_are_lines_of_a_file_of_names(tmp_path):
    (tmp_path / "classes.txt").write_text("cat\ndog\n")
    opened = source(tar(shard(tmp_path / "a.tar", samples(["1", "0", "1"]))))
    assert opened.classes() == ["cat", "dog"] and len(opened.images("dog")) == 2


def test_a_label_may_be_a_field_of_json(tmp_path):
    members = {"7.json": json.dumps({"label": "x", "width": 6}), "7.png": encoded(7)}
    opened = source(tar(shard(tmp_path / "a.tar", members)))
    assert (load(opened, "x/7.png") == 7).all()


TAR_FAULTS = {
    "missing": r"No tar shard is at .*missing\.tar",
    "no label": r"has no label of 'train/0001\.png': put train/0001\.cls beside it",
    "a label outside": r"has the label '5' of 'train/0000', which is none of the 2 classes",
    "a path as label": r"has the label 'a/b' of 'train/0000', which names no class",
    "twice": r"names two images 'cat/a\.png'",
    "compressed": r"cannot be read as an uncompressed tar",
    "cut in an image": r"cannot be read as (an uncompressed )?tar",
    "cut after an image": r"cannot be read as a tar \(it ends too early\)",
    "json": r"cannot be read as an uncompressed tar",
}


def broken(path: Path, fault: str) -> Images:
    members = samples(["cat", "dog"])
    if fault == "missing":
        return tar(path)
    if fault == "no label":
        del members["train/0001.cls"]
    elif fault == "a label outside":
        (path.parent / "classes.txt").write_text("cat\ndog\n")
        members["train/0000.cls"] = "5"
    elif fault == "a path as label":
        members["train/0000.cls"] = "a/b"
    elif fault == "twice":
        members = {"x/a.png": encoded(1), "x/a.cls": "cat", "y/a.png": encoded(2), "y/a.cls": "cat"}
    elif fault == "json":
        members = {"x.json": "{", "x.png": encoded(1)}
    shard(path, members)
    if fault == "compressed":
        with tarfile.open(path, "w:gz") as archive:
            archive.addfile(tarfile.TarInfo("x"))
    if fault.startswith("cut"):
        with tarfile.open(path) as archive:
            last = archive.getmembers()[-2]
        end = last.offset_data + (last.size // 2 if fault == "cut in an image" else 512)
        path.write_bytes(path.read_bytes()[:end])
    return tar(path)


@pytest.mark.parametrize("fault", TAR_FAULTS)
def test_a_faulty_shard_is_one_sentence_that_names_it(tmp_path, fault):
    images = broken(tmp_path / f"{fault}.tar", fault)
    with pytest.raises(InputError, match=TAR_FAULTS[fault]) as raised:
        list_images(images)
    assert f"{fault}.tar" in str(raised.value) and "\n" not in str(raised.value)


def test_an_image_of_a_shard_that_cannot_be_decoded_is_named(tmp_path):
    opened = source(tar(shard(tmp_path / "a.tar", {"1.png": b"none", "1.cls": "x"})))
    with pytest.raises(Unreadable, match=r"x/1\.png is not an image"):
        load(opened, "x/1.png")


@pytest.mark.parametrize("kind", ["parquet", "tar"])
def test_a_study_in_files_has_the_images_of_the_folder(tmp_path, kind):
    names = ["b.png", "a.png", "c.png", "d.png"]
    for number, name in enumerate(names):
        (tmp_path / "folder" / NAMES[number % 2]).mkdir(parents=True, exist_ok=True)
        (tmp_path / "folder" / NAMES[number % 2] / name).write_bytes(encoded(number))
    if kind == "parquet":
        images = Images(source=kind, root=str(write(tmp_path / "a.parquet", [0, 1, 0, 1], NAMES[:2], names)))
    else:
        members = {}
        for number, name in enumerate(names):
            members |= {name: encoded(number), name.replace("png", "cls"): NAMES[number % 2]}
        images = tar(shard(tmp_path / "a.tar", members))
    folder = Images(root=str(tmp_path / "folder"))
    assert list_images(images) == list_images(folder)
    for row in list_images(folder):
        assert (load(source(images), row.path) == load(source(folder), row.path)).all()


def test_rows_of_parquet_that_are_read_again_are_those_of_their_group(tmp_path, monkeypatch):
    from condense.images import parquet

    monkeypatch.setattr(parquet, "KEPT", 1)
    opened = source(Images(source="parquet", root=str(write(tmp_path / "a.parquet", [0] * 7))))
    for number in (6, 0, 3, 6, 1):
        assert (load(opened, f"cat/{number:08}.png") == number).all()
    assert len(parquet._GROUPS.kept) == 1


def test_a_folder_with_several_splits_needs_a_pattern(tmp_path):
    for name in ("train-0", "test-0"):
        write(tmp_path / f"{name}.parquet", [0], NAMES[:1])
    with pytest.raises(
        InputError, match=r"has files of test, train: choose by a pattern, as train-\*\.parquet"
    ):
        list_images(Images(source="parquet", root=str(tmp_path)))
    (tmp_path / "test-0.parquet").unlink()
    assert len(list_images(Images(source="parquet", root=str(tmp_path)))) == 1


def test_a_data_set_on_the_hub_is_had_at_its_commit(tmp_path, monkeypatch):
    import huggingface_hub

    asked = []

    def download(name: str, **given: str) -> str:
        asked.append((name, given))
        if name.startswith("no/"):
            raise OSError("404 Client Error.\nRepository Not Found")
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    (tmp_path / "data").mkdir()
    write(tmp_path / "data" / "train-0.parquet", [0, 1], NAMES[:2])
    commit = "a" * 40
    images = Images(source="parquet", root="owner/name/data/train-*.parquet", revision=commit)
    assert len(list_images(images)) == 2
    wanted = {"repo_type": "dataset", "revision": commit, "allow_patterns": "data/train-*.parquet"}
    assert asked[0] == ("owner/name", wanted)
    packed._downloaded.cache_clear()
    with pytest.raises(InputError, match="give owner/name, and the 40 digits of a commit"):
        list_images(replace(images, revision="main"))
    with pytest.raises(InputError, match=r"no/name cannot be had from the hub \(404 Client Error\.\)"):
        list_images(replace(images, root="no/name"))


@pytest.fixture
def faces(tmp_path) -> Path:
    """Images in folders that are no classes, beside what is none."""
    for name in ("b.png", "00/a.png", "01/deep/c.png", ".hidden/d.png"):
        (tmp_path / "faces" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "faces" / name).write_bytes(encoded(ord(Path(name).stem)))
    (tmp_path / "faces" / "notes.txt").touch()
    return tmp_path / "faces"


def test_an_unlabelled_folder_is_one_class_of_its_name(faces, monkeypatch):
    images = Images(root=str(faces), unlabelled=True)
    opened = source(images)
    assert opened.classes() == ["faces"]
    paths = [row.path for row in list_images(images)]
    assert paths == ["faces/00/a.png", "faces/01/deep/c.png", "faces/b.png"]
    assert (load(opened, "faces/01/deep/c.png") == ord("c")).all()
    assert opened.holds("faces/b.png", "faces") and not opened.holds("faces/.hidden/d.png", "faces")
    monkeypatch.chdir(faces)
    assert [row.path for row in list_images(Images(root=".", unlabelled=True))] == paths
    before = fingerprint(images, "1-of-1")
    (faces / "01" / "e.png").write_bytes(encoded(1))
    os.utime(faces / "01", ns=(1, 1))  # clocks of file systems are coarse, and copies keep old times
    assert fingerprint(images, "1-of-1") != before


def test_an_unlabelled_folder_without_images_or_with_two_of_a_name_is_refused(faces, tmp_path):
    (faces / "01" / "b.png").write_bytes(encoded(1))
    with pytest.raises(InputError, match=r"holds two files 'b\.png': rename one"):
        list_images(Images(root=str(faces), unlabelled=True))
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no file with an image's extension"):
        list_images(Images(root=str(tmp_path / "empty"), unlabelled=True))
    with pytest.raises(InputError, match=r"but .*nowhere is none"):
        list_images(Images(root=str(tmp_path / "nowhere"), unlabelled=True))


def test_unlabelled_files_need_no_labels(tmp_path):
    shard(tmp_path / "a.tar", {"1.png": encoded(1), "2.png": encoded(2)})
    assert len(source(tar(tmp_path / "a.tar", unlabelled=True)).images("images")) == 2
    pq.write_table(pa.table({"image": [encoded(7)]}), tmp_path / "a.parquet")
    images = Images(source="parquet", root=str(tmp_path / "a.parquet"), unlabelled=True)
    assert (load(source(images), "images/00000000.png") == 7).all()

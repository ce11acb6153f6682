import csv
import os
import shutil
from pathlib import Path

import pytest
from PIL import Image

from commands import call
from condense.base.errors import InputError
from condense.config.options import arguments, build
from condense.config.settings import Images
from condense.images.index import (
    class_names,
    fingerprint,
    index,
    list_images,
    list_validation,
    members,
    merge_index,
    read_index,
    validation_index,
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Seven classes of one to seven images."""
    for number, name in enumerate("gfedcba", 1):
        (tmp_path / "images" / name).mkdir(parents=True)
        for image in range(number):
            Image.new("RGB", (4, 4)).save(tmp_path / "images" / name / f"{image}.png")
    return tmp_path / "images"


def test_shards_are_consecutive_even_and_complete() -> None:
    for classes in (0, 1, 5, 7, 1000):
        names = [str(n) for n in range(classes)]
        for shards in (1, 2, 3, 16):
            parts = [members(names, f"{n}-of-{shards}") for n in range(1, shards + 1)]
            assert [pair for part in parts for pair in part] == list(enumerate(names))
            assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize("shard", ["0-of-2", "3-of-2", "1", "1-of-0", "a-of-b"])
def test_a_shard_that_is_none_is_refused(shard: str) -> None:
    with pytest.raises(InputError, match="must read like 1-of-4"):
        members(["a"], shard)


def test_rows_are_sorted_and_their_index_counts_all_classes(root: Path) -> None:
    rows = list_images(Images(root=str(root)), "2-of-2")
    assert [(row.path, row.class_index) for row in rows[:5]] == [
        ("d/0.png", 3),
        ("d/1.png", 3),
        ("d/2.png", 3),
        ("d/3.png", 3),
        ("e/0.png", 4),
    ]
    assert all(row.bytes == (root / row.path).stat().st_size for row in rows)


def test_the_command_writes_names_that_read_back(root: Path, tmp_path: Path) -> None:
    odd = 'a "quoted", naïve\nname.png'
    Image.new("RGB", (4, 4)).save(root / "a" / odd)
    output = tmp_path / "out" / "1-of-1.csv"
    call(index, "--root", root, "--output", output)
    with output.open(newline="", encoding="utf-8") as file:
        lines = list(csv.reader(file))
    assert lines[0] == ["path", "class", "class_index", "bytes"]
    assert f"a/{odd}" in {line[0] for line in lines}
    assert read_index(output) == {
        name: [row for row in list_images(Images(root=str(root))) if row.cls == name] for name in "abcdefg"
    }


def test_a_shard_without_classes_is_an_empty_index(root: Path, tmp_path: Path) -> None:
    output = tmp_path / "empty.csv"
    call(index, "--root", root, "--output", output, "--shard", "1-of-9")
    assert output.read_text() == "path,class,class_index,bytes\n"
    assert read_index(output) == {}


def test_a_file_name_that_is_not_text_is_named(root: Path) -> None:
    with open(os.fsencode(root) + b"/a/\xff.png", "wb"):  # noqa: PTH123 - bytes, not text
        pass
    with pytest.raises(InputError, match=r"a/\\udcff.png.*is not UTF-8 text: rename"):
        list_images(Images(root=str(root)))


def test_a_file_that_is_not_an_index_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match=r"x\.csv is not an index"):
        read_index(tmp_path / "x.csv")


@pytest.mark.parametrize(
    "line",
    [
        "a/0.png,a,0",
        "../x.png,a,0,1",
        "a/x.png,../a,0,1",
        "a/x.png,..,0,1",
        "/x.png,a,0,1",
        "a/../../x.png,a,0,1",
        "a/0.png,a,x,1",
        "a/0.png,a,0,-1",
    ],
)
def test_a_line_that_is_none_of_an_index_is_named(tmp_path: Path, line: str) -> None:
    (tmp_path / "x.csv").write_text(f"path,class,class_index,bytes\na/1.png,a,0,9\n{line}\n")
    with pytest.raises(InputError, match=r"x\.csv is not an index \(.*line.*\)"):
        read_index(tmp_path / "x.csv")


def test_an_index_cut_within_a_line_is_named(root: Path, tmp_path: Path) -> None:
    output = tmp_path / "i.csv"
    call(index, "--root", root, "--output", output)
    whole = output.read_bytes()
    for kept in (0, 5, whole.index(b"d/1") + 1, len(whole) - 1):
        output.write_bytes(whole[:kept])
        for read in (read_index, class_names, lambda path: merge_index([path], tmp_path / "out.csv")):
            with pytest.raises(InputError, match=r"i\.csv is not an index"):
                read(output)
    assert not (tmp_path / "out.csv").exists()


def test_shards_are_merged_by_class_and_a_class_that_got_lost_is_named(root: Path, tmp_path: Path) -> None:
    shards = [tmp_path / f"{number}.csv" for number in (1, 2, 3)]
    for number, shard in enumerate(shards, 1):
        call(index, "--root", root, "--output", shard, "--shard", f"{number}-of-3")
    call(index, "--root", root, "--output", tmp_path / "whole.csv")
    merge_index(shards[::-1], tmp_path / "merged.csv")
    assert (tmp_path / "merged.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()
    assert class_names(tmp_path / "merged.csv") == [*"abcdefg"]
    lines = shards[1].read_text().splitlines(keepends=True)
    shards[1].write_text("".join(line for line in lines if not line.startswith("d/")))
    with pytest.raises(InputError, match=r"2\.csv.* list no image of class index 3"):
        merge_index(shards, tmp_path / "merged.csv")


def test_a_name_with_a_backslash_is_refused_before_it_becomes_a_path_elsewhere(root: Path) -> None:
    Image.new("RGB", (4, 4)).save(root / "a" / "a\\..\\x.png")
    with pytest.raises(InputError, match="has a backslash: rename"):
        list_images(Images(root=str(root)))


def test_the_fingerprint_changes_for_the_shard_of_an_added_image_alone(root: Path) -> None:
    images = Images(root=str(root))
    before = [fingerprint(images, f"{n}-of-2") for n in (1, 2)]
    assert before == [fingerprint(images, f"{n}-of-2") for n in (1, 2)]
    Image.new("RGB", (4, 4)).save(root / "b" / "new.png")
    os.utime(root / "b", ns=(1, 1))
    after = [fingerprint(images, f"{n}-of-2") for n in (1, 2)]
    assert before[0] != after[0]
    assert before[1] == after[1]


def test_the_fingerprint_needs_no_images(tmp_path: Path) -> None:
    assert fingerprint(Images(root=str(tmp_path / "none")), "1-of-2") == "missing"
    assert fingerprint(Images(), "1-of-2") == "missing"
    assert fingerprint(Images(source="digits"), "1-of-2") != fingerprint(Images(source="digits"), "2-of-2")


def halves(root: Path, tmp_path: Path) -> Images:
    """The seven classes, and a second root with one image of each."""
    for name in "abcdefg":
        (tmp_path / "other" / name).mkdir(parents=True)
        Image.new("RGB", (4, 4)).save(tmp_path / "other" / name / "x.png")
    return Images(root=str(root), validation=str(tmp_path / "other"))


def test_a_second_root_is_listed_for_validation_and_changes_no_index(root: Path, tmp_path: Path) -> None:
    images = halves(root, tmp_path)
    assert list_images(images) == list_images(Images(root=str(root)))
    assert [(row.path, row.class_index) for row in list_validation(images)][:2] == [
        ("a/x.png", 0),
        ("b/x.png", 1),
    ]
    call(validation_index, "--root", root, "--validation", tmp_path / "other", "--output", tmp_path / "v.csv")
    assert [len(rows) for rows in read_index(tmp_path / "v.csv").values()] == [1] * 7


def test_a_share_is_held_out_by_name_and_parts_the_images(root: Path) -> None:
    for name in "abcdefg":
        for image in range(200):
            (root / name / f"{image:03}.png").touch()
    images = Images(root=str(root), validation=0.25)
    kept, held = list_images(images), list_validation(images)
    assert sorted(kept + held) == list_images(Images(root=str(root)))
    assert 0.2 < len(held) / (len(kept) + len(held)) < 0.3
    before = {row.path for row in held}
    (root / "a" / "another.png").touch()
    assert {row.path for row in list_validation(images)} - {"a/another.png"} == before
    assert {row.path for row in list_validation(Images(root=str(root), validation=0.4))} > before


def test_a_share_survives_the_command_line() -> None:
    for validation in (0.25, "data/val"):
        images = Images(root="x", validation=validation)
        words = [word for word in arguments(images) if word != "--no-unlabelled"]  # a flag has no value
        pairs = zip(words[::2], words[1::2], strict=True)
        values = {option[2:]: value for option, value in pairs if value != "none"}
        assert build(Images, {key.replace("-", "_"): value for key, value in values.items()}) == images


@pytest.mark.parametrize("share", ["0", "1.5", "-0.1"])
def test_a_share_out_of_bounds_is_refused(share: str) -> None:
    with pytest.raises(InputError, match="a share of `validation` lies between 0 and 1"):
        build(Images, {"root": "x", "validation": share})


def test_faults_of_validation_are_one_sentence(root: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"No validation images are given: set images\.validation"):
        list_validation(Images(root=str(root)))
    with pytest.raises(InputError, match="Class 'a' has no validation image in 1e-09: raise"):
        list_validation(Images(root=str(root), validation=1e-9))
    with pytest.raises(InputError, match="All images of class 'a' are held out"):
        list_images(Images(root=str(root), validation=1 - 1e-9))
    images = halves(root, tmp_path)
    (tmp_path / "other" / "z").mkdir()
    with pytest.raises(InputError, match="has a class 'z', which"):
        list_validation(images)
    shutil.rmtree(tmp_path / "other" / "z")
    shutil.rmtree(tmp_path / "other" / "c")
    with pytest.raises(InputError, match="Class 'c' has no validation image in"):
        list_validation(images)
    with pytest.raises(InputError, match="Source digits has no other root"):
        list_validation(Images(source="digits", validation="elsewhere"))


def test_new_validation_images_change_their_fingerprint_alone(root: Path, tmp_path: Path) -> None:
    images = halves(root, tmp_path)
    before = fingerprint(images, "1-of-1"), fingerprint(images, "1-of-1", validation=True)
    os.utime(tmp_path / "other" / "a", (1, 1))
    assert fingerprint(images, "1-of-1") == before[0]
    assert fingerprint(images, "1-of-1", validation=True) != before[1]

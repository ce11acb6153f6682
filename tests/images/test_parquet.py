"""Images in Parquet files are those of a folder with the same classes and names; faults are one sentence."""

import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from condense.base.errors import InputError
from condense.config.settings import Images
from condense.images.index import fingerprint, list_images, list_validation
from condense.images.sources import load, source

NAMES = ["cat", "dog", "ant"]


def encoded(value: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.full((4, 6, 3), value, np.uint8)).save(file, "png")
    return file.getvalue()


def write(path: Path, labels: list, names: list[str] | None = NAMES, paths: list | None = None) -> Path:
    """A file of one-coloured images 0, 1, 2, ..., as Hugging Face stores them."""
    paths = paths or [None] * len(labels)
    images = [{"bytes": encoded(i), "path": name} for i, name in enumerate(paths)]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    table = pa.table({"image": pa.array(images, kind), "label": pa.array(labels)})
    if names is not None:
        info = {"info": {"features": {"label": {"names": names, "_type": "ClassLabel"}}}}
        table = table.replace_schema_metadata({"huggingface": json.dumps(info)})
    pq.write_table(table, path, row_group_size=2)
    return path


def parquet(root: Path, **changes: object) -> Images:
    return Images(source="parquet", root=str(root), **changes)


def test_classes_are_named_by_the_metadata_and_images_by_their_row(tmp_path):
    images = parquet(write(tmp_path / "a.parquet", [0, 1, 1, 2]))
    opened = source(images)
    assert opened.classes() == ["ant", "cat", "dog"]
    assert opened.images("dog") == [(f"dog/0000000{i}.png", len(encoded(i))) for i in (1, 2)]
    assert (load(opened, "dog/00000002.png") == 2).all() and load(opened, "ant/00000003.png").shape == (
        4,
        6,
        3,
    )


def test_stored_paths_name_the_images_where_each_has_one(tmp_path):
    images = parquet(write(tmp_path / "a.parquet", [0, 0], paths=["x/b.png", "a.png"]))
    assert [path for path, _ in source(images).images("cat")] == ["cat/a.png", "cat/b.png"]
    assert (load(source(images), "cat/a.png") == 1).all()


def test_several_files_are_one_source_and_rows_count_through_them(tmp_path):
    write(tmp_path / "train-0.parquet", [0, 1])
    write(tmp_path / "train-1.parquet", [2, 0])
    write(tmp_path / "test-0.parquet", [0, 1, 2])
    images = parquet(tmp_path / "train-*.parquet", validation=str(tmp_path / "test-*.parquet"))
    assert [path for path, _ in source(images).images("cat")] == ["cat/00000000.png", "cat/00000003.png"]
    assert (load(source(images), "cat/00000003.png") == 1).all()
    assert len(list_images(images)) == 4 and len(list_validation(images)) == 3


def test_labels_of_text_name_the_classes_themselves(tmp_path):
    opened = source(parquet(write(tmp_path / "a.parquet", ["b", "a", "b"], None)))
    assert opened.classes() == ["a", "b"] and len(opened.images("b")) == 2


def test_images_that_are_no_struct_are_read_too(tmp_path):
    pq.write_table(pa.table({"img": [encoded(7)], "kind": ["x"]}), tmp_path / "a.parquet")
    images = parquet(tmp_path / "a.parquet", image_column="img", label_column="kind")
    assert (load(source(images), "x/00000000.png") == 7).all()


def test_a_file_written_anew_has_another_fingerprint(tmp_path):
    images = parquet(write(tmp_path / "a.parquet", [0, 1]))
    before = fingerprint(images, "1-of-1")
    (tmp_path / "a.parquet").touch()
    assert fingerprint(images, "1-of-1") != before
    assert fingerprint(parquet(tmp_path / "no.parquet"), "1-of-1") == "missing"


def broken(path: Path, fault: str) -> Images:
    if fault == "missing":
        return parquet(path)
    write(
        path,
        [0, 5] if fault == "a label outside" else [0, 1],
        paths=["a.png"] * 2 if fault == "twice" else None,
    )
    if fault == "cut":
        path.write_bytes(path.read_bytes()[:-20])
    columns = {"no column": {"label_column": "class"}, "no images": {"image_column": "label"}}
    return parquet(path, **columns.get(fault, {}))


FAULTS = {
    "missing": "No Parquet file is at",
    "cut": "cannot be read as Parquet",
    "a label outside": r"has the label 5 in row 1, which is not one of its 3 classes",
    "no column": r"has no column 'class' but image, label",
    "no images": r"has no encoded images in column 'label'",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_file_is_one_sentence_that_names_it(tmp_path, fault):
    images = broken(tmp_path / f"{fault}.parquet", fault)
    with pytest.raises(InputError, match=FAULTS[fault]) as raised:
        list_images(images)
    assert fault in str(raised.value) and "\n" not in str(raised.value)


def test_two_images_of_one_name_are_refused(tmp_path):
    images = parquet(write(tmp_path / "a.parquet", [0, 0], paths=["x/a.png", "y/a.png"]))
    with pytest.raises(InputError, match=r"names two images 'cat/a\.png'"):
        list_images(images)


def test_an_image_that_cannot_be_decoded_is_named(tmp_path):
    pq.write_table(pa.table({"image": [b"no image", b""], "label": ["x", "x"]}), tmp_path / "a.parquet")
    opened = source(parquet(tmp_path / "a.parquet"))
    with pytest.raises(InputError, match=r"00000000\.png is not an image"):
        load(opened, "x/00000000.png")
    with pytest.raises(InputError, match=r"00000001\.png is empty"):
        load(opened, "x/00000001.png")


def test_cifar_10_is_read_as_stored(real_data):
    folder = real_data / "cifar10"
    images = parquet(
        folder / "train-*.parquet", validation=str(folder / "test-*.parquet"), image_column="img"
    )
    rows, held = list_images(images), list_validation(images)
    assert (len(rows), len(held)) == (20_000, 10_000) and rows[0].cls == "airplane"
    assert load(source(images), rows[0].path).shape == (32, 32, 3)


def test_it_holds_the_images_that_it_lists_and_no_others(tmp_path):
    opened = source(parquet(write(tmp_path / "a.parquet", [0, 1, 2])))
    name = opened.classes()[-1]
    path = opened.images(name)[0][0]
    assert opened.holds(path, name)
    assert not opened.holds(path, "no class") and not opened.holds("../secret.png", name)

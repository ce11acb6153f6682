import csv
import gc
import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from commands import call
from condense.base.errors import InputError
from condense.config.settings import Images
from condense.images.index import each_row, index
from condense.images.lists import choose_listed, ordering, read_list
from condense.images.sources import load, source
from condense.images.subset import Chosen, write_subset
from condense.selection.export import export

CLASSES = ("ant", "bee 'n co", "öwl")


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """Six pictures in each of three classes, with equal file names; a subset of three each, ranked."""
    rng, rows = np.random.default_rng(0), []
    for number, name in enumerate(CLASSES):
        (tmp_path / "images" / name).mkdir(parents=True)
        for file in ("0.png", "1.png", "naïve, 2.png", "3.jpg", "4.png", "5.png"):
            pixels = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "images" / name / file)
        chosen = [f"{name}/{file}" for file in ("4.png", "naïve, 2.png", "0.png")]
        rows += [(path, name, number, rank) for rank, path in enumerate(chosen)]
    (tmp_path / "subsets" / "gadc").mkdir(parents=True)
    with (tmp_path / "subsets" / "gadc" / "tiny.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("path", "class", "class_index", "rank"))
        writer.writerows(rows)
    call(index, "--root", tmp_path / "images", "--output", tmp_path / "index.csv")
    return tmp_path


def chosen_paths(study: Path) -> list[str]:
    with (study / "subsets" / "gadc" / "tiny.csv").open(newline="", encoding="utf-8") as file:
        return [row["path"] for row in csv.DictReader(file)]


def run(study: Path, form: str, name: str, *words: object) -> Path:
    """Export the study's subset and return where to."""
    given = [study / "subsets" / "gadc" / "tiny.csv", "--root", study / "images", "--form", form]
    call(export, *given, "--output", study / name, *words)
    return study / name


@pytest.mark.parametrize(
    ("form", "name", "words"),
    [
        ("list", "a.txt", ()),
        ("list", "a.txt", ("--prefix", "../imagenet/train")),
        ("json", "a.json", ("--prefix", "C:\\images\\train/")),
        ("indices", "a.npz", ("--index",)),
    ],
)
def test_what_was_exported_comes_back_as_the_same_ranked_subset(
    study: Path, form: str, name: str, words: tuple
) -> None:
    extra = (*words, study / "index.csv") if words == ("--index",) else words
    output = run(study, form, name, *extra)
    opened = source(Images(root=str(study / "images")))
    found = []
    for kind in opened.classes():
        paths = [path for path, _ in opened.images(kind)]
        found += [paths[position] for position in choose_listed(kind, paths, 3, str(output))]
    assert found == chosen_paths(study)


def test_the_subset_table_itself_is_a_list(study: Path) -> None:
    listed = read_list(study / "subsets" / "gadc" / "tiny.csv")
    assert [f"{name}/{file}" for name, files in listed.items() for file in files] == chosen_paths(study)


def test_json_is_the_releases_array_of_paths_below_the_root(study: Path) -> None:
    content = json.loads(run(study, "json", "a.json", "--prefix", "../imagenet/train").read_text("utf-8"))
    assert content == [f"../imagenet/train/{path}" for path in chosen_paths(study)]


def test_indices_count_as_torchvisions_imagefolder_does(study: Path) -> None:
    from torchvision.datasets import ImageFolder

    with np.load(run(study, "indices", "a.npz", "--index", study / "index.csv")) as content:
        indices, digest = content["indices"], str(content["ordering"])
    samples = [
        str(Path(path).relative_to(study / "images")) for path, _ in ImageFolder(study / "images").samples
    ]
    assert [samples[number] for number in indices] == chosen_paths(study)
    assert digest == ordering(samples)
    assert digest != ordering(sorted(samples, reverse=True))


def add(study: Path, name: str) -> None:
    """Another image of the first class, whatever its name says."""
    file = study / "images" / CLASSES[0] / name
    file.parent.mkdir(exist_ok=True)
    Image.new("L", (8, 8), 99).save(file, format={".gif": "gif", ".pbm": "ppm"}.get(file.suffix, "png"))
    call(index, "--root", study / "images", "--output", study / "index.csv")


OTHERWISE = {  # how the image stands with torchvision's ImageFolder
    "1.gif": "passes over",
    "1.jpe": "passes over",
    "1.pbm": "passes over",
    ".hidden.png": "has",
    "inner/1.png": "has",
}


@pytest.mark.parametrize("name", OTHERWISE)
def test_indices_are_refused_where_torchvision_counts_otherwise(study: Path, name: str) -> None:
    from torchvision.datasets import ImageFolder

    add(study, name)
    path = f"{CLASSES[0]}/{name}"
    theirs = {
        str(Path(file).relative_to(study / "images")) for file, _ in ImageFolder(study / "images").samples
    }
    ours = {row.path for row in each_row(study / "index.csv")}
    assert (path in theirs, path in ours) == (OTHERWISE[name] == "has", OTHERWISE[name] != "has")
    with pytest.raises(
        InputError, match=f"torchvision's ImageFolder {OTHERWISE[name]} '{path}', and the index"
    ):
        run(study, "indices", "a.npz", "--index", study / "index.csv")
    assert not (study / "a.npz").exists()


def test_indices_of_a_part_of_the_images_are_refused(study: Path) -> None:
    add(study, "z.png")
    call(index, "--root", study / "images", "--per-class", 6, "--output", study / "index.csv")
    with pytest.raises(InputError, match=r"ImageFolder has 'ant/z\.png', and the index does not"):
        run(study, "indices", "a.npz", "--index", study / "index.csv")


def test_indices_need_the_images_that_are_counted(study: Path) -> None:
    words = [study / "subsets" / "gadc" / "tiny.csv", "--form", "indices", "--index", study / "index.csv"]
    with pytest.raises(InputError, match="--form indices needs --root"):
        call(export, *words, "--output", study / "a.npz")
    with pytest.raises(InputError, match=r"nowhere cannot be listed .*: give the image root"):
        call(export, *words, "--root", study / "nowhere", "--output", study / "a.npz")


def test_images_that_torchvision_passes_over_are_exported_as_png(study: Path) -> None:
    from torchvision.datasets import ImageFolder

    with (study / "subsets" / "gadc" / "tiny.csv").open("a", encoding="utf-8") as file:
        for rank, name in enumerate(("1.gif", "1.jpe", "1.pbm"), 3):
            add(study, name)
            file.write(f"{CLASSES[0]}/{name},{CLASSES[0]},0,{rank}\n")
    words = [study / "subsets" / "gadc" / "tiny.csv", "--root", study / "images", "--form", "imagefolder"]
    said = call(export, *words, "--output", study / "out")
    assert "note: 3 images, such as 'ant/1.gif', become PNG" in said
    opened, original = ImageFolder(study / "out"), source(Images(root=str(study / "images")))
    found = {
        str(Path(path).relative_to(study / "out")): image
        for (path, _), (image, _) in zip(opened.samples, opened, strict=True)
    }
    for path in chosen_paths(study):
        name = f"{path}.png" if Path(path).suffix in (".gif", ".jpe", ".pbm") else path
        np.testing.assert_array_equal(np.asarray(found.pop(name)), load(original, path))
    assert not found
    with pytest.raises(InputError, match=r"passes over 'ant/1\.gif': export without --link"):
        call(export, *words, "--link", "--output", study / "links")
    assert not (study / "links").exists()


@pytest.mark.parametrize("words", [(), ("--link",)])
def test_torchvision_opens_the_exported_folder(study: Path, words: tuple) -> None:
    from torchvision.datasets import ImageFolder

    folder = run(study, "imagefolder", "out", *words)
    opened = ImageFolder(folder)
    assert opened.classes == list(CLASSES)
    assert sorted(str(Path(path).relative_to(folder)) for path, _ in opened.samples) == sorted(
        chosen_paths(study)
    )
    original = source(Images(root=str(study / "images")))
    for path in chosen_paths(study):
        assert (folder / path).is_symlink() == bool(words)
        np.testing.assert_array_equal(np.asarray(Image.open(folder / path)), load(original, path))


def test_linked_folders_can_be_moved_together_with_the_images(study: Path) -> None:
    folder = run(study, "imagefolder", "out", "--link")
    moved = study.rename(study.with_name("moved"))
    assert all((moved / folder.name / path).read_bytes() for path in chosen_paths(moved))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_hugging_face_opens_the_exported_folder(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_OFFLINE", True)
    datasets.disable_progress_bars()
    folder = run(study, "huggingface", "hub", "--method", "gadc")
    opened = datasets.load_dataset(
        "imagefolder", data_dir=str(folder), split="train", cache_dir=study / "cache"
    )
    assert set(opened.column_names) == {"image", "label", "class_index", "rank"}
    original = source(Images(root=str(study / "images")))
    expected = {
        (name, rank): load(original, path)
        for path, name, rank in zip(chosen_paths(study), np.repeat(CLASSES, 3), [0, 1, 2] * 3, strict=True)
    }
    assert len(opened) == len(expected)
    for row in opened:
        pixels = np.asarray(row["image"].convert("RGB"))
        np.testing.assert_array_equal(pixels, expected[row["label"], row["rank"]])
    gc.collect()  # the library leaves files open; their warnings belong here


def test_the_card_tells_source_licence_method_settings_and_numbers(study: Path) -> None:
    (study / "subsets.csv").write_text("method,budget,fid\ngadc,tiny,1.23456\nrandom,tiny,9\ngadc,big,8\n")
    words = ["--method", "gadc", "--settings", '{"epsilon": 12}', "--numbers", study / "subsets.csv"]
    text = (run(study, "huggingface", "hub", *words, "--origin", "Three animals") / "README.md").read_text()
    assert text.startswith("---\nlicense: other\n")
    assert "# 9 images of Three animals, chosen by gadc" in text
    assert "9 real images in 3 classes (budget tiny)" in text
    assert "ImageNet's do not" in text
    assert '"epsilon": 12' in text
    assert "| gadc | tiny | 1.235 |" in text
    assert "random" not in text


def test_an_image_of_a_tar_shard_is_exported_as_it_lies_there(tmp_path: Path) -> None:
    content = io.BytesIO()
    Image.effect_noise((9, 7), 50).save(content, "jpeg")
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for name, data in (("1.jpg", content.getvalue()), ("1.cls", b"x")):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    write_subset([Chosen("x/1.jpg", "x", 0, 0)], tmp_path / "s.csv")
    words = ["--source", "tar", "--root", tmp_path / "a.tar", "--output", tmp_path / "out"]
    call(export, tmp_path / "s.csv", *words, "--form", "imagefolder")
    assert (tmp_path / "out" / "x" / "1.jpg").read_bytes() == content.getvalue()


def test_digits_are_exported_as_images(tmp_path: Path) -> None:
    (tmp_path / "10.csv").write_text("path,class,class_index,rank\n3/0003.png,3,3,0\n")
    words = [tmp_path / "10.csv", "--source", "digits", "--form", "imagefolder"]
    call(export, *words, "--output", tmp_path / "out")
    digit = load(source(Images(source="digits")), "3/0003.png")
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "out" / "3" / "0003.png")), digit)


def test_a_folder_appears_whole_or_not_at_all(study: Path) -> None:
    (study / "images" / "öwl" / "0.png").unlink()
    with pytest.raises(InputError, match=r"0\.png is not there: give the image root"):
        run(study, "imagefolder", "out")
    assert not (study / "out").exists()
    assert not [path for path in study.iterdir() if path.name.endswith(".part")]


def test_a_folder_that_is_there_is_not_overwritten(study: Path) -> None:
    run(study, "imagefolder", "out")
    with pytest.raises(InputError, match="out is there already"):
        run(study, "imagefolder", "out")


def test_a_file_or_a_link_in_the_place_of_the_folder_is_not_replaced(study: Path) -> None:
    (study / "mine").mkdir()
    (study / "link").symlink_to(study / "mine")
    (study / "file").write_text("mine")
    for name in ("link", "file"):
        with pytest.raises(InputError, match=f"{name} is there already"):
            run(study, "imagefolder", name)
    assert not any((study / "mine").iterdir()) and (study / "file").read_text() == "mine"


PATHS = ["a/1.png", "a/2.png", "a/3.png"]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("a/1.png\n", "lists 1 images of class 'a', fewer than the budget 2"),
        ("a/1.png\na/9.png\n", "lists a/9.png, which is not among the study's images"),
        ("a/1.png\na/1.png\n", "lists an image of class 'a' twice"),
        ("1.png\n", "names '1.png' without its class"),
    ],
)
def test_a_list_that_does_not_fit_is_named_with_its_fault(tmp_path: Path, text: str, fault: str) -> None:
    (tmp_path / "l.txt").write_text(text)
    with pytest.raises(InputError, match=fault):
        choose_listed("a", PATHS, 2, str(tmp_path / "l.txt"))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("l.txt", "\ufeff../train/a/3.png\r\n\r\nC:\\train\\a\\1.png\r\nb/1.png"),
        ("l.json", '["/data/train/a/3.png", "a/1.png"]'),
        ("l.json", '{"a": ["3.png", "x/a/1.png"]}'),
        ("l.csv", "rank,path\n0,a/3.png\n1,a/1.png\n"),
    ],
)
def test_lists_of_other_people_are_read(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8", newline="")
    assert choose_listed("a", PATHS, 2, str(tmp_path / name)) == [2, 0]
    assert choose_listed("a", PATHS, 1, str(tmp_path / name)) == [2]


@pytest.mark.parametrize(
    ("name", "text"), [("l.json", "{"), ("l.json", "3"), ("l.csv", "a,b\n1,2\n"), ("l.npz", "PK")]
)
def test_a_file_that_is_no_list_is_named(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=rf"{name} cannot be read as a list of images"):
        read_list(tmp_path / name)

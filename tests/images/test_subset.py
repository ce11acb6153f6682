"""A subset is read by one rule: whole, below its folders, and of images that there are."""

import csv
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from commands import call
from condense.base.errors import InputError
from condense.base.shards import write_shard
from condense.config.settings import Images
from condense.encoders.embed import embed_shard
from condense.images.index import index
from condense.images.preprocess import Preprocess
from condense.images.sources import source
from condense.images.subset import Chosen, by_class, merge_subset, open_chosen, read_subset, write_subset
from condense.reporting.portraits import plot_chosen, plot_map
from condense.scoring.score import score
from condense.selection.export import export
from condense.selection.measure import measure
from condense.training.data import read_latents
from condense.training.latents import latents
from condense.training.patches import patches

REAL = [
    Chosen(f"{name}/{rank}.png", name, number, rank) for number, name in enumerate("ab") for rank in (0, 1)
]
MADE = [
    Chosen("igd/10/1-of-1/a/000.png", "a", 0, 0, made=True),
    Chosen("igd/10/1-of-1/b/001.png", "b", 1, 0, made=True),
]
PLACE = "results/synthesised"
SECRET = b"precious, and nobody's business"


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A study of two classes with its index, two made images, and files beside it that nobody asked for."""
    random, study = np.random.default_rng(0), tmp_path / "study"
    groups: list = []
    files = [f"images/{name}/{i}.png" for name in "ab" for i in range(4)]
    files += [f"{PLACE}/{row.path}" for row in MADE]
    for file in files:
        (study / file).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (8, 8, 3), np.uint8)).save(study / file)
    call(index, "--root", study / "images", "--output", study / "index.csv")
    for number, name in enumerate("ab"):
        arrays = {"features": random.normal(size=(4, 3)), "log_probability": -random.random(4)}
        arrays |= {"log_runner_up": -random.random(4), "paths": [f"{name}/{i}.png" for i in range(4)]}
        groups.append((name, number, arrays))
    write_shard(study / "features.h5", {}, groups)
    for file in ("precious.txt", "secret.txt", "images/notes.txt", f"{PLACE}/notes.txt"):
        (study / file).write_bytes(SECRET)
    (tmp_path / "secret.txt").write_bytes(SECRET)
    (study / f"{PLACE}/link.png").symlink_to(tmp_path / "secret.txt")
    return study


def write_lines(study: Path, *lines: str, made: bool = False) -> Path:
    """A subset as somebody else may have written it."""
    head = "path,class,class_index,rank" + ",made" * made
    (study / "subset.csv").write_text("".join(f"{line}\n" for line in (head, *lines)), encoding="utf-8")
    return study / "subset.csv"


def tree(folder: Path) -> dict[str, bytes | None]:
    """Every file below a folder with its bytes."""
    return {str(path): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def give(function: Callable, *words: object) -> Callable[[Path], None]:
    """A reader of a study's `subset.csv` that would write its `out`; a word with @ is a file of the study."""

    def read(study: Path) -> None:
        named = [study / word[1:] if str(word).startswith("@") else word for word in words]
        call(function, *named)

    return read


IMAGES, MADE_FOLDER = ("--root", "@images"), ("--made", f"@{PLACE}")
SUBSET, OUT = ("--subset", "@subset.csv"), ("--output", "@out")
EXPORT = (export, "@subset.csv", *IMAGES, *MADE_FOLDER, *OUT, "--form")
READERS = {
    "latents": give(
        latents, *SUBSET, "--index", "@index.csv", *IMAGES, *MADE_FOLDER, *OUT, "--resolution", 8
    ),
    "patches": give(patches, *SUBSET, *IMAGES, *MADE_FOLDER, *OUT, "--resolution", 8, "--encoder", "none"),
    "plot_chosen": give(
        plot_chosen, *SUBSET, "--index", "@index.csv", *IMAGES, *MADE_FOLDER, "--output", "@out.png"
    ),
    "plot_map": give(plot_map, "@features.h5", *SUBSET, "--output", "@out.png"),
    "score": give(score, "--samples", "@samples.h5", "--reference", "@features.h5", *SUBSET, *OUT),
    "measure": give(
        measure,
        *("--features", "@features.h5", "--probabilities", "@features.h5", "--everything", "@features.h5"),
        *(*SUBSET, "--diagnostics", "@told.csv", *OUT, "--method", "x", "--budget", "x", "--objective", "x"),
        *("--encoder", "x"),
    ),
    "merge-subset": give(merge_subset, "@subset.csv", "@told.csv", *OUT, "--diagnostics", "@told-out"),
    **{
        f"export --form {form}": give(*EXPORT, form, *more)
        for form, more in {
            "list": (),
            "json": (),
            "indices": ("--index", "@index.csv"),
            "imagefolder": (),
            "huggingface": (),
        }.items()
    },
    "export --link": give(*EXPORT, "imagefolder", "--link"),
}
KNOW = [
    name
    for name in READERS
    if name not in ("merge-subset", "score", "export --form list", "export --form json")
]
ESCAPES = [
    "a/../../precious.txt",
    "../secret.txt",
    "../../secret.txt",
    "/etc/hostname",
    "a/./0.png",
    "a//0.png",
    "a/0.png/",
    "..",
    "a\\..\\..\\precious.txt",
    "",
]


def require_refusal(study: Path, reader: str, sentence: str) -> None:
    """The reader refuses the subset by that sentence, and nothing anywhere is written, changed or removed."""
    before = tree(study.parent)
    with pytest.raises(InputError, match=sentence):
        READERS[reader](study)
    assert tree(study.parent) == before


@pytest.mark.parametrize("reader", READERS)
def test_a_path_that_leads_out_of_its_folder_is_refused_before_anything_is_written(
    study: Path, reader: str
) -> None:
    for path in ESCAPES:
        for real, made in (("", ""), (",0", ",1")):
            write_lines(study, f"a/0.png,a,0,0{real}", f"{path},b,1,0{made}", made=bool(made))
            require_refusal(study, reader, r"subset\.csv is not a whole subset \(.* leads out of the folder")


@pytest.mark.parametrize("reader", KNOW)
def test_an_image_that_there_is_not_is_refused_before_anything_is_written(study: Path, reader: str) -> None:
    (study / "images/b/.0.png").write_bytes((study / "images/b/0.png").read_bytes())
    for path in ("b/9.png", "notes.txt", "a/1.png", "b/.0.png"):
        write_lines(study, "a/0.png,a,0,0", f"{path},b,1,0")
        require_refusal(study, reader, r"subset\.csv")


@pytest.mark.parametrize("reader", ["latents", "patches", "plot_chosen", "export --form imagefolder"])
def test_a_made_image_that_there_is_not_is_refused_before_anything_is_written(
    study: Path, reader: str
) -> None:
    for path in ("igd/10/1-of-1/a/9.png", "notes.txt", "link.png", "igd/10/1-of-1/a"):
        write_lines(study, "a/0.png,a,0,0,0", f"{path},a,0,1,1", made=True)
        require_refusal(study, reader, r"subset\.csv names .*, which is no made image below")


def test_a_made_images_class_must_be_one_of_the_study_and_no_path(study: Path) -> None:
    for name, number in (("c", 2), ("a", 1)):
        subset = write_lines(study, f"{MADE[0].path},{name},{number},0,1", "a/0.png,a,0,1,0", made=True)
        with pytest.raises(InputError, match=r"which .*index\.csv does not list"):
            read_subset(subset, index=study / "index.csv")
    for name in ("..", "../out", "/tmp"):
        subset = write_lines(study, f"{MADE[0].path},{name},0,0,1", made=True)
        with pytest.raises(InputError, match="leads out of the folder"):
            read_subset(subset)


def test_what_is_written_is_read_again(study: Path) -> None:
    for rows in (REAL, MADE, [*REAL[:2], MADE[1]], []):
        write_subset(rows, study / "subset.csv")
        assert read_subset(study / "subset.csv") == rows
    write_subset(REAL[:1], study / "subset.csv")
    assert (study / "subset.csv").read_bytes() == b"path,class,class_index,rank\na/0.png,a,0,0\n"
    write_subset([REAL[0], MADE[1]], study / "subset.csv")
    assert (study / "subset.csv").read_bytes() == (
        b"path,class,class_index,rank,made\na/0.png,a,0,0,0\nigd/10/1-of-1/b/001.png,b,1,0,1\n"
    )


def test_ranks_are_the_order_of_a_classs_rows(study: Path) -> None:
    rows = read_subset(write_lines(study, "b/2.png,b,1,1", "a/3.png,a,0,4", "b/0.png,b,1,7", "a/0.png,a,0,5"))
    assert {name: [(row.path, row.rank) for row in own] for name, own in by_class(rows).items()} == {
        "b": [("b/2.png", 0), ("b/0.png", 1)],
        "a": [("a/3.png", 0), ("a/0.png", 1)],
    }
    assert [row.rank for row in read_subset(study / "index.csv")] == [
        0,
        1,
        2,
        3,
    ] * 2  # without a column of ranks


@pytest.mark.parametrize(
    ("lines", "fault"),
    [
        (["a/0.png,a,0,0", "a/0.png,a,0,1"], "a/0.png is chosen twice"),
        (["a/0.png,a,0,1", "a/1.png,a,0,0"], "the rank of 'a/1.png' is not above"),
        (["a/0.png,a,0,1", "a/1.png,a,0,1"], "the rank of 'a/1.png' is not above"),
        (["a/0.png,a,0,-1"], "class_index, rank or made of 'a/0.png' is no number"),
        (["a/0.png,a,x,0"], "class_index, rank or made of 'a/0.png' is no number"),
        (["a/0.png,a,0"], "line 2 has 3 of 4 cells"),
        (['a/0.png,a,0,"0'], "line 2: unexpected end of data"),
    ],
)
def test_a_row_that_cannot_be_is_named(study: Path, lines: list[str], fault: str) -> None:
    with pytest.raises(
        InputError, match=rf"subset\.csv is not a whole subset \({fault}.*\): if the pipeline"
    ):
        read_subset(write_lines(study, *lines))


@pytest.mark.parametrize("reader", READERS)
def test_a_subset_cut_within_a_line_is_refused_by_every_reader(study: Path, reader: str) -> None:
    whole = write_lines(study, "a/0.png,a,0,0", "b/1.png,b,1,0").read_bytes()
    for kept in (0, 1, 10, whole.index(b"\n"), whole.index(b"b/1") + 1, len(whole) - 3, len(whole) - 1):
        (study / "subset.csv").write_bytes(whole[:kept])
        require_refusal(study, reader, r"subset\.csv is not a whole subset")


def test_shards_cut_anywhere_are_not_merged(study: Path) -> None:
    subset = write_lines(study, *(f"{row.path},{row.cls},{row.class_index},{row.rank}" for row in REAL))
    (study / "told.csv").write_text("class,chosen,seconds\na,2,0.5\nb,2,0.5\n")
    words = [study / "subset.csv", study / "told.csv", "--output", study / "out"]
    whole = {file: file.read_bytes() for file in (subset, study / "told.csv")}
    for file, content in whole.items():
        for kept in range(len(content)):
            file.write_bytes(content[:kept])
            with pytest.raises(InputError, match=file.name):
                call(merge_subset, *words, "--diagnostics", study / "told-out")
            assert not (study / "out").exists() and not (study / "told-out").exists()
        file.write_bytes(content)
    call(merge_subset, *words, "--diagnostics", study / "told-out")
    assert (study / "out").read_bytes() == whole[subset]


def test_cut_tables_end_a_command_with_one_sentence_and_status_1(study: Path) -> None:
    lines = [f"{row.path},{row.cls},{row.class_index},{row.rank}" for row in REAL]
    content = write_lines(study, *lines).read_bytes()
    (study / "subset.csv").write_bytes(content[: len(content) * 2 // 3 - 3])
    (study / "told.csv").write_text("class,chosen,seconds\na,2,0.5\nb,2,0.5\n")
    (study / "score.csv").write_text("method,generator,fid\ngadc,sit,12.3")
    commands = {
        "merge-subset": ("subset.csv", "told.csv", "--output", "out", "--diagnostics", "told-out"),
        "export": ("subset.csv", "--form", "imagefolder", "--root", "images", "--output", "out"),
        "table": ("score.csv", "--output", "out", "--every", "every", "--budget", "6"),
    }
    before = tree(study)
    for name, words in commands.items():
        run = [sys.executable, "-m", "condense", name, *words]
        done = subprocess.run(run, cwd=study, capture_output=True, text=True, check=False)
        assert done.returncode == 1 and done.stderr.count("\n") == 1, done.stderr
        assert done.stderr.startswith(f"condense {name}: {words[0]} is not a whole ")
    assert tree(study) == before


class Mean:
    """An encoder whose features are an image's mean colour."""

    name, digest, batch, preprocess = "mean", "0", 2, Preprocess(side=8, resize=8)
    prepare, encode = staticmethod(np.asarray), staticmethod(lambda pixels: torch.tensor(pixels.mean((1, 2))))


def mixed(study: Path) -> list[Chosen]:
    """A subset with real images of one class and made ones of both."""
    rows = [REAL[0], MADE[0]._replace(rank=1), MADE[1]]
    write_subset(rows, study / "subset.csv")
    return rows


def pixels(study: Path, row: Chosen) -> np.ndarray:
    return np.asarray(Image.open(study / (PLACE if row.made else "images") / row.path))


def test_made_images_are_opened_beside_real_ones(study: Path) -> None:
    rows, real = mixed(study), source(Images(root=str(study / "images")))
    assert (
        read_subset(study / "subset.csv", index=study / "index.csv", images=real, made=study / PLACE) == rows
    )
    for row in rows:
        found = np.asarray(open_chosen(row, real, study / PLACE))
        np.testing.assert_array_equal(found, pixels(study, row))


def test_a_generator_is_trained_on_made_images(study: Path) -> None:
    rows = mixed(study)
    READERS["latents"](study)
    found = read_latents(study / "out")
    assert found.paths == [row.path for row in rows]
    assert found.labels.tolist() == [0, 0, 1] and found.classes == 2
    for row, mean in zip(rows, found.mean, strict=True):
        shown = (mean[0].float().permute(1, 2, 0) + 1) * 127.5
        np.testing.assert_allclose(shown.numpy(), pixels(study, row), atol=0.1)


def test_made_images_are_exported_with_real_ones_and_named_by_their_class(study: Path) -> None:
    from torchvision.datasets import ImageFolder

    rows = mixed(study)
    READERS["export --form imagefolder"](study)
    opened = ImageFolder(study / "out")
    names = ["a/0.png", "a/000.png", "b/001.png"]
    assert [str(Path(path).relative_to(study / "out")) for path, _ in opened.samples] == names
    for row, (image, label) in zip(rows, opened, strict=True):
        assert label == row.class_index
        np.testing.assert_array_equal(np.asarray(image), pixels(study, row))


def test_hugging_faces_metadata_and_card_tell_of_made_images(study: Path) -> None:
    mixed(study)
    READERS["export --form huggingface"](study)
    with (study / "out/train/metadata.csv").open(newline="") as file:
        assert [row["file_name"] for row in csv.DictReader(file)] == ["a/0.png", "a/000.png", "b/001.png"]
    assert "1 real and 2 made images in 2 classes" in (study / "out/README.md").read_text()


@pytest.mark.parametrize("form", ["list", "json", "indices"])
def test_names_alone_are_no_export_of_made_images(study: Path, form: str) -> None:
    mixed(study)
    with pytest.raises(InputError, match=r"subset\.csv has made images.*export them as imagefolder"):
        READERS[f"export --form {form}"](study)
    assert not (study / "out").exists()


def test_two_images_that_would_be_one_file_are_refused(study: Path) -> None:
    (study / "images/a/000.png").write_bytes((study / "images/a/0.png").read_bytes())
    write_subset([Chosen("a/000.png", "a", 0, 0), MADE[0]._replace(rank=1)], study / "subset.csv")
    with pytest.raises(InputError, match=r"two images would be 'a/000\.png'"):
        READERS["export --form imagefolder"](study)
    assert not (study / "out").exists()


def test_made_images_are_drawn_among_the_chosen(study: Path) -> None:
    for row in MADE:
        Image.new("RGB", (8, 8), (0, 255, 0)).save(study / PLACE / row.path)
    write_subset(MADE, study / "subset.csv")
    READERS["plot_chosen"](study)
    picture = np.asarray(Image.open(study / "out.png").convert("RGB"))
    assert (picture == (0, 255, 0)).all(-1).any()


def test_made_images_are_embedded_below_their_own_root(study: Path) -> None:
    """An index names them by the same paths as a subset, so that their features can be found again."""
    lines = [f"{row.path},{row.cls},{row.class_index},1" for row in MADE]
    (study / "made.csv").write_text("\n".join(["path,class,class_index,bytes", *lines]) + "\n")
    images = Images(root=str(study / PLACE))
    groups = embed_shard(study / "made.csv", Mean(), images, study / "state")
    assert [(name, number, arrays["paths"]) for name, number, arrays in groups] == [
        (row.cls, row.class_index, [row.path]) for row in MADE
    ]
    for (*_, arrays), row in zip(groups, MADE, strict=True):
        np.testing.assert_allclose(arrays["features"][0], pixels(study, row).mean((0, 1)), rtol=1e-6)

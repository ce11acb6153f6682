"""A first study of a folder of images: a short config that the workflow takes as it is."""

import subprocess
import sys

import numpy as np
import pytest
import yaml
from PIL import Image

from commands import call
from condense.base.errors import InputError
from condense.config import study
from condense.plan.first_study import compose, init, look


def draw(folder, classes: int = 3, each: int = 12, side: int = 40) -> None:
    """Pictures class by class."""
    random = np.random.default_rng(0)
    for number in range(classes):
        (folder / f"class {number}").mkdir(parents=True)
        for image in range(each):
            pixels = random.integers(0, 255, (side, side + 10, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"class {number}" / f"{image}.png")


def test_the_config_is_short_valid_and_fits_the_images(tmp_path):
    draw(tmp_path / "my images")
    call(init, tmp_path / "study", "--images", tmp_path / "my images")
    text = (tmp_path / "study/config.yaml").read_text()
    assert text.count("\n") <= 30 and text.count("#") >= 8
    made = study.load(yaml.safe_load(text))
    assert made.images.root == str(tmp_path / "my images")
    assert made.generators["sit"].resolution == 32 and made.generators["sit"].sampling.images % 3 == 0
    (budget,) = made.budgets.values()
    assert 1 <= budget <= 4, "at most a third of what is left of twelve"


def test_nothing_is_written_over(tmp_path):
    draw(tmp_path / "images")
    call(init, tmp_path, "--images", tmp_path / "images")
    with pytest.raises(InputError, match=r"config\.yaml is there already"):
        call(init, tmp_path, "--images", tmp_path / "images")


@pytest.mark.parametrize(
    ("classes", "each", "sentence"),
    [(1, 12, "needs two classes"), (3, 3, "needs two classes of five images or more")],
)
def test_too_little_for_a_study_is_one_sentence(tmp_path, classes, each, sentence):
    draw(tmp_path / "images", classes, each)
    with pytest.raises(InputError, match=sentence):
        call(init, tmp_path / "study", "--images", tmp_path / "images")
    assert not (tmp_path / "study").exists()


@pytest.mark.parametrize("name", ["nowhere", "file"])
def test_what_is_no_folder_is_one_sentence(tmp_path, name):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="is not a folder"):
        call(init, tmp_path / "study", "--images", tmp_path / name)


def test_small_images_get_a_small_generator(tmp_path):
    draw(tmp_path / "images", side=10)
    text, _ = compose(look(tmp_path / "images"))
    assert yaml.safe_load(text)["generators"]["sit"]["resolution"] == 8


def run(folder, *words) -> subprocess.CompletedProcess:
    """`condense run` in a folder."""
    command = [sys.executable, "-m", "condense", "run", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_run_hands_on_to_snakemake_what_it_is_given(tmp_path):
    draw(tmp_path / "images")
    call(init, tmp_path / "study", "--images", tmp_path / "images")
    done = run(tmp_path / "study", "results/index.csv", "-n")
    assert done.returncode == 0, done.stderr
    assert "merge_index" in done.stdout + done.stderr
    assert run(tmp_path, "-n").stderr.startswith("condense run: there is no config.yaml here")

"""The picture of the closest pairs: each generated image beside the training image it is nearest to."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from commands import call
from condense.base.errors import InputError
from condense.config.settings import Images
from condense.images.sources import load, source
from condense.reporting.pairs import GAP, plot_pairs

PATHS = [path for path, _ in source(Images(source="digits")).images("3")]


def write_parts(folder: Path) -> list[Path]:
    """Twelve samples in three files; sample i is all of grey 20 i."""
    paths = [folder / f"{part}.npz" for part in range(3)]
    for part, path in enumerate(paths):
        greys = np.arange(part * 4, part * 4 + 4, dtype=np.uint8) * 20
        np.savez(path, images=np.broadcast_to(greys[:, None, None, None], (4, 8, 8, 3)), labels=np.zeros(4))
    return paths


def write_pairs(path: Path, samples: list[int]) -> Path:
    rows = [(sample, 3, PATHS[i], 0.1 * i) for i, sample in enumerate(samples)]
    pd.DataFrame(rows, columns=["sample", "class_index", "path", "distance"]).to_csv(path, index=False)
    return path


def draw(folder: Path, samples: list[int]) -> np.ndarray:
    words = ("--pairs", write_pairs(folder / "pairs.csv", samples), "--source", "digits", "--least", 1)
    call(plot_pairs, *write_parts(folder), *words, "--columns", 2, "--output", folder / "pairs.png")
    return np.asarray(Image.open(folder / "pairs.png"))


def test_each_sample_stands_left_of_its_training_image(tmp_path) -> None:
    picture = draw(tmp_path, [9, 2, 5])
    assert picture.shape == (2 * (8 + GAP) + GAP, 2 * (16 + GAP) + GAP, 3)
    for i, sample in enumerate([9, 2, 5]):
        top, left = GAP + (i // 2) * (8 + GAP), GAP + (i % 2) * (16 + GAP)
        assert (picture[top : top + 8, left : left + 8] == 20 * sample).all()
        real = load(source(Images(source="digits")), PATHS[i])
        assert np.array_equal(picture[top : top + 8, left + 8 : left + 16], real)


def test_without_pairs_the_picture_is_white(tmp_path) -> None:
    assert (draw(tmp_path, []) == 255).all()


def test_a_sample_that_is_not_there_is_named(tmp_path) -> None:
    with pytest.raises(InputError, match="sample 12, but there are 12"):
        draw(tmp_path, [3, 12])

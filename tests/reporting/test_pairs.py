"""The picture of the closest pairs: each generated image beside the training image it is nearest to."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from commands import call
from condense.base.errors import InputError
from condense.config.settings import Images
from condense.images.sources import load, source
from condense.reporting.pairs import plot_pairs
from pictures import watch_figure

PATHS = [path for path, _ in source(Images(source="digits")).images("3")]


def write_parts(folder: Path) -> list[Path]:
    """Twelve samples in three files; sample i is all of grey 20 i."""
    paths = [folder / f"{part}.npz" for part in range(3)]
    for part, path in enumerate(paths):
        greys = np.arange(part * 4, part * 4 + 4, dtype=np.uint8) * 20
        np.savez(path, images=np.broadcast_to(greys[:, None, None, None], (4, 8, 8, 3)), labels=np.zeros(4))
    return paths


def draw(folder: Path, samples: list[int], cls: str = "3") -> None:
    rows = [(sample, 3, PATHS[i], 0.1 * i) for i, sample in enumerate(samples)]
    columns = ["sample", "class_index", "path", "distance"]
    pd.DataFrame(rows, columns=columns).to_csv(folder / "pairs.csv", index=False)
    chosen = [(path, cls, 3, rank) for rank, path in enumerate(PATHS[:3])]
    columns = ["path", "class", "class_index", "rank"]
    pd.DataFrame(chosen, columns=columns).to_csv(folder / "subset.csv", index=False)
    words = ("--pairs", folder / "pairs.csv", "--subset", folder / "subset.csv", "--source", "digits")
    call(plot_pairs, *write_parts(folder), *words, "--columns", 2, "--output", folder / "pairs.png")


def test_each_sample_stands_left_of_its_training_image_above_class_rank_and_distance(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures = watch_figure(monkeypatch)
    draw(tmp_path, [9, 2, 5])
    panels = [panel for panel in figures[0].axes if panel.images]
    assert len(panels) == 3
    for i, (panel, sample) in enumerate(zip(panels, [9, 2, 5], strict=True)):
        left, right = np.split(np.asarray(panel.images[0].get_array()), 2, 1)
        assert (left == 20 * sample).all()
        assert np.array_equal(right, load(source(Images(source="digits")), PATHS[i]))
        assert panel.get_xlabel() == f"3\n{i + 1}: distance {0.1 * i:.4g}"


def test_without_pairs_there_is_no_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figures = watch_figure(monkeypatch)
    draw(tmp_path, [])
    assert not any(panel.images or panel.get_xlabel() for panel in figures[0].axes)
    assert (tmp_path / "pairs.png").is_file()


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="sample 12, but there are 12"):
        draw(tmp_path, [3, 12])
    with pytest.raises(InputError, match=r"pairs.csv names .* which .*subset.csv does not have: score again"):
        draw(tmp_path, [3, 2, 1, 0])

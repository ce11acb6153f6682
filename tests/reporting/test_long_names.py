"""Names of classes of any length, and with any sign, neither overlap nor leave a figure."""

from collections.abc import Callable, Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from commands import call
from condense.reporting.classifiers import plot_confusion
from condense.reporting.pairs import plot_pairs
from condense.reporting.portraits import plot_chosen, plot_map
from condense.reporting.style import shorten
from pictures import watch_figure

LONG = [f"{n} a class of photographs with a long name, as archives give".ljust(60, "s") for n in range(10)]
STRANGE = ["$_^$", *LONG[1:]]


@pytest.fixture(params=[LONG, STRANGE], ids=["long", "strange"])
def study(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Six images of each of ten classes, an index, and a subset of three of each."""
    rows = []
    for label, name in enumerate(request.param):
        (tmp_path / "images" / name).mkdir(parents=True)
        for number in range(6):
            path = f"{name}/{number}.png"
            Image.new("RGB", (16, 16), (20 * label, 40 * number, 90)).save(tmp_path / "images" / path)
            rows.append((path, name, label, number))
    table = pd.DataFrame(rows, columns=["path", "class", "class_index", "rank"])
    table[table["rank"] < 3].to_csv(tmp_path / "subset.csv", index=False)
    table.rename(columns={"rank": "bytes"}).to_csv(tmp_path / "index.csv", index=False)
    return tmp_path


def draw_chosen(study: Path) -> None:
    words = ("--root", study / "images", "--subset", study / "subset.csv", "--index", study / "index.csv")
    call(plot_chosen, *words, "--output", study / "figure.png")


def draw_map(study: Path) -> None:
    index = pd.read_csv(study / "index.csv")
    with h5py.File(study / "features.h5", "w") as file:
        file["features"] = np.random.default_rng(0).normal(size=(len(index), 4)).astype(np.float32)
        file["labels"] = index["class"].to_numpy(dtype=object)
        file["paths"] = index["path"].to_numpy(dtype=object)
    words = ("--subset", study / "subset.csv", "--output", study / "figure.png")
    call(plot_map, study / "features.h5", *words)


def draw_pairs(study: Path) -> None:
    chosen = pd.read_csv(study / "subset.csv")
    np.savez(study / "samples.npz", images=np.zeros((24, 16, 16, 3), np.uint8), labels=np.zeros(24))
    pairs = {"sample": range(24), "class_index": 0, "path": chosen["path"][:24], "distance": 1234.567}
    pd.DataFrame(pairs).to_csv(study / "pairs.csv", index=False)
    words = ("--pairs", study / "pairs.csv", "--subset", study / "subset.csv", "--root", study / "images")
    call(plot_pairs, study / "samples.npz", *words, "--output", study / "figure.png")


def draw_confusion(study: Path) -> None:
    names = [*pd.read_csv(study / "index.csv")["class"].unique()]
    counts = pd.DataFrame(np.eye(10, dtype=int), columns=names)
    counts.insert(0, "class", names)
    counts.to_csv(study / "confusion.csv", index=False)
    call(plot_confusion, study / "confusion.csv", "--output", study / "figure.png")


@pytest.mark.parametrize("draw", [draw_chosen, draw_map, draw_pairs, draw_confusion])
@pytest.mark.filterwarnings("error:constrained_layout")
def test_names_neither_overlap_nor_leave_the_figure(
    draw: Callable[[Path], None], study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures = watch_figure(monkeypatch)
    draw(study)
    (figure,) = figures
    figure.draw_without_rendering()
    words = [*boxes_of_words(figure)]
    assert len(words) >= 10
    for (text, box), (other, its_box) in combinations(words, 2):
        assert not meet(box, its_box), f"{text!r} lies over {other!r}"
    for text, box in words:
        assert box.x0 >= -1 and box.y0 >= -1, text
        assert box.x1 <= figure.bbox.x1 + 1 and box.y1 <= figure.bbox.y1 + 1, text
    for panel in figure.axes:
        for text, box in words:
            assert not (panel.images and meet(box, panel.get_window_extent())), f"{text!r} lies over an image"
    assert max(panel.get_window_extent().width for panel in figure.axes) > figure.bbox.width / 6


def boxes_of_words(figure: Any) -> Iterator[tuple[str, Any]]:
    """Text and place in pixels of all that is written in a figure."""
    from matplotlib.text import Text

    ticks = [
        axis.findobj(Text) for panel in figure.axes if not panel.axison for axis in (panel.xaxis, panel.yaxis)
    ]
    for text in set(figure.findobj(Text)).difference(*ticks):
        if text.get_text().strip() and text.get_visible():
            yield text.get_text(), text.get_window_extent()


def meet(first: Any, second: Any) -> bool:
    """Whether two boxes have more than a pixel in common, across and down."""
    across = min(first.x1, second.x1) - max(first.x0, second.x0)
    down = min(first.y1, second.y1) - max(first.y0, second.y0)
    return across > 1 and down > 1


def test_a_short_name_stays_and_a_long_one_keeps_both_ends() -> None:
    assert shorten("tench", 1, 6) == "tench"
    short = shorten("a" * 30 + "b" * 30, 1, 6)
    assert short.startswith("aa") and short.endswith("bb") and "…" in short and len(short) < 40
    assert shorten("WW", 0.01, 6) == "WW"

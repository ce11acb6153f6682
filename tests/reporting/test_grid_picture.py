"""The grid as one picture: every method and every column, colours by rank, sizes by the interval."""

import re
from itertools import pairwise

import pandas as pd
import pytest

from condense.base.errors import InputError
from condense.base.tables import write_table
from condense.reporting.gains import COLUMNS
from condense.reporting.grid_picture import WIDEST, _blocks, certainty, plot_grid

METHODS = ("random", "gadc", "samples")


@pytest.fixture
def table(tmp_path):
    """A table of three methods, one of which was not measured by all learners."""
    rows = []
    for learner, kind in (("sit", "generator"), ("convnet", "student")):
        metrics = ("fid", "recall") if kind == "generator" else ("accuracy",)
        for budget in ("1", "10"):
            for metric in metrics:
                for place, method in enumerate(METHODS):
                    row = {kind: learner, "budget": budget, "metric": metric, "method": method}
                    row |= {"mean": place + 1.0, "rank": place + 1, "ranked": 3, "control": "random"}
                    if method == "gadc":
                        row |= {"gain": 1.0, "gain_low": 0.5, "gain_high": 1.5, "gain_seeds": 3}
                    if method == "samples":
                        row |= {"gain": 0.1, "gain_low": -0.5, "gain_high": 0.7, "gain_seeds": 3}
                    if (method, learner) == ("samples", "convnet"):
                        row |= dict.fromkeys(("mean", "rank", "gain", "gain_low", "gain_high"))
                    rows.append(row | {"making_seconds": 12.0, "images": int(budget)})
    names = ["generator", "student", "budget", "metric", "method", "mean", "images", *COLUMNS]
    write_table(pd.DataFrame(rows).reindex(columns=names), tmp_path / "t.csv")
    return tmp_path / "t.csv"


def test_the_same_table_gives_the_same_png_and_svg(table, tmp_path):
    pictures = []
    for turn in ("a", "b"):
        paths = [tmp_path / f"{turn}.png", tmp_path / f"{turn}.svg"]
        plot_grid(table, paths)
        pictures.append([path.read_bytes() for path in paths])
    assert pictures[0] == pictures[1] and pictures[0][0].startswith(b"\x89PNG")


def test_the_picture_names_every_method_every_column_and_what_is_resolved(table, tmp_path, monkeypatch):
    import matplotlib

    monkeypatch.setitem(matplotlib.rcParams, "svg.fonttype", "none")  # letters stay letters
    plot_grid(table, [tmp_path / "g.svg"])
    text = (tmp_path / "g.svg").read_text()
    written = re.findall(r"<text[^>]*>([^<]*)</text>", text)
    for word in (*METHODS, "sit", "convnet", "10: FID ↓", "1: Accuracy (%) ↑", "10: seconds to make", "12"):
        assert word in written
    assert written.count("–") == 2, "two values were not measured"
    assert any(
        line.startswith("sit, 1, FID: better than random: gadc; not resolved: 1 of 2") for line in written
    )


def test_certainty_is_one_where_the_interval_ends_at_zero():
    assert certainty({"gain": 1.0, "gain_low": 0.0, "gain_high": 2.0}) == 1
    assert certainty({"gain": -1.0, "gain_low": -1.5, "gain_high": -0.5}) == 2
    assert certainty({"gain": 1.0, "gain_low": 1.0, "gain_high": 1.0}) > 1
    assert certainty({"gain": 0.0, "gain_low": 0.0, "gain_high": 0.0}) == 0


def test_columns_do_not_meet_and_stay_within_a_block():
    columns = [(learner, "10", str(number)) for learner in "abcd" for number in range(9)]
    blocks = _blocks(columns, 3)
    assert [column for places in blocks for column in places] == columns
    for places in blocks:
        at = [*places.values()]
        assert min(b - a for a, b in pairwise(at)) >= 1
        assert min(at) >= 0.5 and max(at) <= WIDEST - 0.5


def test_a_name_wider_than_its_columns_has_room():
    places = _blocks([("a-classifier-of-a-long-name", "10", "x"), ("b", "10", "x")], 0)[0]
    first, second = places.values()
    assert second - first > 2


def test_a_table_without_gains_is_refused(tmp_path):
    write_table(
        pd.DataFrame({"method": ["a"], "budget": ["1"], "metric": ["fid"], "mean": [1.0], "images": [1]}),
        tmp_path / "t.csv",
    )
    with pytest.raises(InputError, match="column rank is missing"):
        plot_grid(tmp_path / "t.csv", [tmp_path / "g.png"])
    assert not (tmp_path / "g.png").exists()

"""Curves show what the tables hold; the same numbers give the same picture."""

import json

import pandas as pd
import pytest
import torch

from condense.base.errors import InputError
from condense.base.tables import write_table
from condense.config.settings import Gadc
from condense.reporting.classifiers import plot_learning
from condense.reporting.curves import plot_distances, plot_objective, plot_table, traces
from condense.scoring.memorisation import Copies
from condense.selection.search import condense


@pytest.fixture
def table(tmp_path):
    """A table of two methods, one measured at two budgets, one only published."""
    rows = [("gadc", 10, 3.0, 0.2, None), ("gadc", 50, 2.0, None, 2.5), ("random", 10, None, None, 9.0)]
    columns = ["method", "images", "mean", "std", "published"]
    write_table(pd.DataFrame(rows, columns=columns).assign(metric="fid"), tmp_path / "t.csv")
    return tmp_path / "t.csv"


def test_the_same_table_gives_the_same_png_and_svg(table, tmp_path):
    pictures = []
    for turn in ("a", "b"):
        paths = [tmp_path / f"{turn}.png", tmp_path / f"{turn}.svg"]
        plot_table(table, paths, "images")
        pictures.append([path.read_bytes() for path in paths])
    assert pictures[0] == pictures[1]
    text = pictures[0][1].decode()
    assert pictures[0][0].startswith(b"\x89PNG") and "<svg" in text


def test_a_class_that_ends_early_keeps_its_last_value():
    assert traces(pd.Series(["3 2 1", "5"])).tolist() == [[3, 2, 1], [5, 5, 5]]


def test_the_trace_ends_at_the_objectives_that_the_diagnostics_state(tmp_path):
    features = torch.randn(1, 30, 4, generator=torch.Generator().manual_seed(0))
    chosen = condense(features, None, [3, 5], Gadc(epsilon=0.05, epsilon_unit="median", beta=0))
    for budget, selection in chosen.items():
        assert selection.path.shape == (1, budget)
        assert torch.equal(selection.path[:, -1], selection.greedy)
        assert torch.equal(selection.end.history[-1], selection.end.value)
    rows = {"method": ["gadc"], "greedy_trace": ["3 2"], "exchange_trace": ["2 1.5"]}
    write_table(pd.DataFrame(rows), tmp_path / "d.csv")
    plot_objective([tmp_path / "d.csv"], [tmp_path / "o.png"])
    assert (tmp_path / "o.png").stat().st_size > 5000


def test_the_histogram_counts_every_image_once_and_copies_near_zero():
    draw = torch.Generator().manual_seed(0)
    real = torch.randn(40, 3, generator=draw)
    copies = Copies(real[:10].repeat(2, 1) + 1e-4, torch.zeros(20, dtype=torch.int64))
    copies.add(0, real, torch.arange(40) < 10)
    rows = pd.DataFrame(copies.histogram())
    assert rows["generated"].sum() == 20 and rows["held_out"].sum() == 30
    assert rows["generated"][0] == 20 and rows["held_out"][0] == 0
    nearest = torch.cdist(real[10:], real[:10]).min(1).values
    assert rows["high"].iloc[-1] == pytest.approx(nearest.max().item(), rel=1e-5)


def test_runs_without_training_images_have_no_panel(tmp_path):
    path = tmp_path / "sit" / "untrained" / "zero" / "seed0.distances.csv"
    path.parent.mkdir(parents=True)
    write_table(pd.DataFrame([], columns=["low", "high", "generated", "held_out"]), path)
    with pytest.raises(InputError, match="no run of these has training images"):
        plot_distances([path], [tmp_path / "d.png"])


def test_the_labels_of_a_logarithmic_axis_are_numbers_and_the_legend_stands_beside_the_curves(tmp_path):
    paths = []
    for method in "abcdefghijklmnop":  # as many as no legend inside a panel has room for
        paths.append(tmp_path / "convnet" / method / "10" / "seed0.history.jsonl")
        paths[-1].parent.mkdir(parents=True)
        rows = [{"training": 0, "epoch": 1, "loss": 1.0}]
        rows += [{"training": 0, "epoch": 2, "loss": 0.01, "accuracy": 30.0}]
        paths[-1].write_text("".join(json.dumps(row) + "\n" for row in rows))
    plot_learning(paths, [tmp_path / "l.svg"])
    text = (tmp_path / "l.svg").read_text()
    assert "mathdefault" not in text and "<!-- 0.01 -->" in text
    assert "<!-- p -->" in text

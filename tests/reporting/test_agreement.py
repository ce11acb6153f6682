"""Ranks by judges and ranks by training: tau is SciPy's, its bootstrap draws methods and seeds."""

import numpy as np
import pandas as pd
import pytest
import yaml
from scipy.stats import kendalltau

from condense.base.tables import read_table, write_table
from condense.plan.layout import table_layout
from condense.plan.plan import Plan
from condense.reporting.agreement import agreement, agreements, rank_agreement, tau
from sources import ROOT

DRAW = np.random.default_rng(7)


def by_seed(values: np.ndarray) -> dict[str, pd.Series]:
    """Values [seeds, methods] as series by method."""
    return {f"m{number}": pd.Series(column) for number, column in enumerate(values.T)}


def test_tau_is_scipys_with_ties_and_with_methods_that_are_drawn_several_times():
    first, second = DRAW.integers(0, 5, (2, 30, 9)).astype(float)
    times = DRAW.multinomial(9, np.full(9, 1 / 9), size=30)
    for given, counts in ((times, times), (np.ones((30, 9), int), np.ones((30, 9), int))):
        found = tau(first, second, given)
        for number, count in enumerate(counts):
            drawn = np.repeat(np.arange(9), count)
            wanted = kendalltau(first[number][drawn], second[number][drawn]).statistic
            assert found[number] == pytest.approx(wanted, abs=1e-12)


def test_the_same_order_agrees_and_the_interval_of_unrelated_orders_holds_zero():
    order = np.arange(12.0)[None].repeat(3, 0)
    found = rank_agreement(by_seed(order), by_seed(2 * order))
    assert found == {"methods": 12, "seeds": 3, "tau": 1, "low": 1, "high": 1}
    found = rank_agreement(by_seed(order), by_seed(-order))
    assert found["tau"] == found["high"] == -1
    found = rank_agreement(by_seed(order), by_seed(DRAW.normal(size=(3, 12))))
    assert found["low"] < 0 < found["high"]


def test_noise_between_seeds_widens_the_interval():
    order = np.arange(12.0)[None].repeat(3, 0)
    noisy = order + DRAW.normal(size=(3, 12)) * 8
    steady = noisy.mean(0)[None].repeat(3, 0)
    widths = [
        (found := rank_agreement(by_seed(order), by_seed(values)))["high"] - found["low"]
        for values in (noisy, steady)
    ]
    assert widths[0] > widths[1]


def test_what_was_not_measured_in_every_common_seed_is_left_out():
    values = np.arange(12.0)[None].repeat(3, 0)
    holed = values.copy()
    holed[1, 3] = np.nan
    assert rank_agreement(by_seed(holed), by_seed(values))["methods"] == 11
    assert rank_agreement(by_seed(values[:, :5]), by_seed(values[:, :5])) is None


@pytest.fixture
def grid():
    """Layout of the quick grid in three replicates, and its scores: lower FID, higher accuracy."""
    config = yaml.safe_load((ROOT / "examples/grid-quick/config.yaml").read_text()) | {"seeds": [0, 1, 2]}
    layout = table_layout(Plan(config).study, "grid")
    rows = []
    methods = [*dict.fromkeys(entry.run.method for entry in layout.entries)]
    for entry in layout.entries:
        place = methods.index(entry.run.method)
        for seed in range(3):
            row = entry.run.names() | {"budget": entry.own_budget, "seed": seed, "subset_images": 100}
            rows.append(row | {"fid": place + 0.01 * seed, "accuracy": 90.0 - place})
    return layout, pd.DataFrame(rows)


def test_larger_is_better_in_both_and_sets_of_another_size_are_left_out(grid):
    found = {(row["measure"], row["learner"], row["metric"]): row for row in agreements(*grid)}
    row = found["fid", "convnet", "accuracy"]
    assert row["methods"] == 8, "full is larger"
    assert row["tau"] == 1 and row["judge"] == "judge" and row["budget"] == "10"
    assert ("fid", "sit-tiny", "fid") in found


def test_the_command_writes_numbers_markdown_and_a_page(grid, tmp_path):
    layout, scores = grid
    write_table(scores, tmp_path / "s.csv")
    outputs = [tmp_path / f"a.{kind}" for kind in ("csv", "md", "html")]
    agreement([tmp_path / "s.csv"], layout.to_json(), *outputs)
    table = read_table(outputs[0])
    assert (table["low"] <= table["tau"]).all() and (table["tau"] <= table["high"]).all()
    text = outputs[1].read_text()
    assert "| FID by judge | " in text and "+1.00 (" in text and "Over 8 methods" in text
    assert "over 3 seeds" in text and "draws methods and seeds" in text
    page = outputs[2].read_text()
    assert "<b>+1.00" in page and page.index("<article>") < page.index("<h1>"), "styled as other pages"
    again = [tmp_path / f"b.{kind}" for kind in ("csv", "md", "html")]
    agreement([tmp_path / "s.csv"], layout.to_json(), *again)
    assert [path.read_bytes() for path in outputs] == [path.read_bytes() for path in again]

"""Rows are means over seeds in the order of the config; published numbers stand beside, never mixed in."""

import pandas as pd
import pytest

from condense.base.errors import InputError
from condense.base.tables import read_table, write_table
from condense.images.index import merge_index
from condense.images.subset import merge_subset
from condense.reporting.comparisons import COLUMNS, PUBLISHED, summarise


@pytest.fixture
def runs():
    rows = [("gadc", "dit-l-2", "10k", seed, fid) for seed, fid in enumerate((3.0, 4.0, 5.0))] + [
        ("random", "dit-l-2", "10k", 0, 9.0)
    ]
    table = pd.DataFrame(rows, columns=["method", "generator", "budget", "seed", "fid"])
    return table.assign(inception_score=1.0, precision=0.5, recall=0.5, subset_images=10_000)


def test_rows_are_means_and_sample_deviations_over_seeds_in_order(runs):
    table = summarise(runs, "10k", None)
    assert list(table.columns) == COLUMNS
    assert table["method"].tolist() == ["gadc", "random"]
    assert table["seeds"].tolist() == [3, 1]
    assert table["fid"].tolist() == [4.0, 9.0]
    assert table["fid_std"][0] == pytest.approx(1.0) and pd.isna(table["fid_std"][1])
    assert table["published_fid"].isna().all()


def test_published_numbers_are_the_main_tables(runs):
    table = summarise(runs, "10k", read_table(PUBLISHED))
    assert table["published_fid"].tolist() == [3.43, 4.63]
    assert table["published_recall"].tolist() == [0.28, 0.26]
    assert table["fid"].tolist() == [4.0, 9.0]


def test_a_subset_that_names_an_image_twice_is_refused(tmp_path):
    part = pd.DataFrame({"path": ["a/1", "a/1"], "class": "a", "class_index": 0, "rank": [0, 1]})
    write_table(part, tmp_path / "part.csv")
    with pytest.raises(InputError, match="a/1 is chosen twice"):
        merge_subset([tmp_path / "part.csv"] * 2, tmp_path / "out.csv", tmp_path / "rows.csv")
    assert not (tmp_path / "out.csv").exists()


def test_an_index_without_images_is_refused(tmp_path):
    (tmp_path / "1.csv").write_text("path,class,class_index,bytes\n")
    with pytest.raises(InputError, match=r"images\.root"):
        merge_index([tmp_path / "1.csv"], tmp_path / "index.csv")


def test_class_names_that_look_like_numbers_or_nothing_stay_text(tmp_path):
    table = pd.DataFrame(
        {"path": ["007/1", "NA/1"], "class": ["007", "NA"], "class_index": [0, 1], "bytes": 3}
    )
    write_table(table, tmp_path / "t.csv")
    assert read_table(tmp_path / "t.csv")["class"].tolist() == ["007", "NA"]


def test_names_of_methods_and_generators_that_look_like_numbers_stay_text(tmp_path):
    """A table finds the scores of its runs by these names."""
    write_table(pd.DataFrame({"method": ["007"], "generator": ["12"], "fid": [4.0]}), tmp_path / "t.csv")
    assert read_table(tmp_path / "t.csv").iloc[0].tolist() == ["007", "12", 4.0]

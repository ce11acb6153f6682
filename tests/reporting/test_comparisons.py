"""Rows are means over seeds in the order of the config; published numbers stand beside, never mixed in."""

import copy
import shlex
from pathlib import Path

import pandas as pd
import pytest
import yaml

from commands import call
from condense.base.errors import InputError
from condense.base.tables import read_table, write_table
from condense.images.index import merge_index
from condense.images.subset import merge_subset
from condense.plan.layout import table_layout
from condense.plan.plan import Plan
from condense.reporting.comparisons import summarise, table
from condense.reporting.projection import project

ROOT = Path(__file__).parents[2]
CONTRACT = (
    "method,generator,budget,images,seeds,fid,fid_std,inception_score,inception_score_std,precision,"
    "precision_std,recall,recall_std,published_fid,published_inception_score,published_precision,"
    "published_recall"
)
ATTACHED = {"architecture": "dit-l-2", "resolution": 256, "training_steps": 100_000, "recipe": "attach"}
ATTACHED |= {"guidance": 1.5, "samples": 50_000}


@pytest.fixture
def runs():
    rows = [("gadc", "dit-l-2", "10k", seed, fid) for seed, fid in enumerate((3.0, 4.0, 5.0))] + [
        ("random", "dit-l-2", "10k", 0, 9.0)
    ]
    table = pd.DataFrame(rows, columns=["method", "generator", "budget", "seed", "fid"])
    return table.assign(inception_score=1.0, precision=0.5, recall=0.5, subset_images=10_000)


def test_rows_are_means_and_sample_deviations_over_seeds_in_order(runs):
    table = summarise(runs, "generator", "10k", None)
    assert ",".join(table.columns) == CONTRACT
    assert table["method"].tolist() == ["gadc", "random"]
    assert table["seeds"].tolist() == [3, 1]
    assert table["fid"].tolist() == [4.0, 9.0]
    assert table["fid_std"][0] == pytest.approx(1.0) and pd.isna(table["fid_std"][1])
    assert table["published_fid"].isna().all()


def test_published_numbers_are_the_main_tables(runs):
    table = summarise(runs, "generator", "10k", {"dit-l-2": ATTACHED})
    assert table["published_fid"].tolist() == [3.43, 4.63]
    assert table["published_recall"].tolist() == [0.28, 0.26]
    assert table["fid"].tolist() == [4.0, 9.0]


@pytest.fixture
def imagenet():
    return yaml.safe_load((ROOT / "config.yaml").read_text())


def published_fids(config: dict, budget: str, folder: Path) -> dict[tuple[str, str], float]:
    """Published FIDs of a comparison that the command prints with the options of its rule."""
    plan = Plan(config)
    scores = {
        "seed": 0,
        "subset_images": 9,
        "fid": 1.0,
        "inception_score": 1.0,
        "precision": 1.0,
        "recall": 1.0,
    }
    paths = []
    for number, run in enumerate(plan.study.rows(budget, "generator")):
        paths.append(folder / f"{number}.csv")
        write_table(pd.DataFrame([run.names() | scores]), paths[-1])
    options = shlex.split(plan.options.table(budget))
    call(table, *paths, *options, "--output", folder / "t.csv", "--every", folder / "e.csv")
    written = read_table(folder / "t.csv").set_index(["generator", "method"])["published_fid"]
    return written.dropna().to_dict()


def test_published_figures_of_another_recipe_stand_beside_no_run(imagenet, tmp_path):
    """dit-l-2 is trained with the attach recipe; 50.77, 40.75 and 36.78 are figures of the plain one."""
    attached = {"random": 4.63, "ccs": 5.45, "dq": 4.56, "d2c": 4.2, "gadc": 3.43}
    assert published_fids(imagenet, "10k", tmp_path) == {("dit-l-2", m): fid for m, fid in attached.items()}
    fifty = {("dit-l-2", "d2c"): 14.81, ("dit-l-2", "gadc"): 11.01}
    fifty |= {("sit-l-2", "d2c"): 11.21, ("sit-l-2", "gadc"): 7.26}
    assert published_fids(imagenet, "50k", tmp_path) == fifty


def test_published_figures_of_the_plain_recipe_stand_beside_runs_of_it(imagenet, tmp_path):
    imagenet["comparisons"]["10k"]["generators"] = ["dit-l-2-plain"]
    imagenet["comparisons"]["50k"]["generators"] = ["dit-l-2-plain"]
    fids = {"random": 35.86, "k-center": 50.77, "herding": 40.75}
    assert published_fids(imagenet, "10k", tmp_path) == {("dit-l-2-plain", m): fid for m, fid in fids.items()}
    fids = {"random": 36.78, "k-center": 69.86, "herding": 32.38}
    assert published_fids(imagenet, "50k", tmp_path) == {("dit-l-2-plain", m): fid for m, fid in fids.items()}


@pytest.mark.parametrize(
    ("section", "change"),
    [
        ("", {"resolution": 128}),
        ("", {"objective": "flow"}),
        ("network", {"size": "XL"}),
        ("training", {"steps": 50_000}),
        ("sampling", {"guidance": 4.0}),
        ("sampling", {"images": 10_000}),
    ],
)
def test_a_name_alone_finds_no_published_figure(imagenet, section, change, tmp_path):
    generator = copy.deepcopy(imagenet["generators"]["dit-l-2"])
    if change == {"objective": "flow"}:
        generator["sampling"]["sampler"] = "euler"
    (generator[section] if section else generator).update(change)
    imagenet["generators"] = {"dit-l-2": generator}
    imagenet["comparisons"] = {"10k": {"methods": ["random", "gadc"], "generators": ["dit-l-2"]}}
    del imagenet["tables"]
    found = published_fids(imagenet, "10k", tmp_path)
    assert 3.43 not in found.values() and 4.63 not in found.values()


def test_all_tables_find_the_same_published_figures(imagenet, tmp_path):
    """results/tables/*.csv and results/fid_{budget}.csv look them up in one place."""
    budgets = [*imagenet["comparisons"]]
    for budget, comparison in imagenet["comparisons"].items():
        imagenet["tables"][f"same_{budget}"] = comparison | {
            "columns": ["generator"],
            "budgets": [budget],
        }
    plan = Plan(imagenet)
    for budget in budgets:
        rows = project(table_layout(plan.study, f"same_{budget}"), None)
        found = rows.set_index(["generator", "method"])["published"].dropna().to_dict()
        assert found == published_fids(imagenet, budget, tmp_path)


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

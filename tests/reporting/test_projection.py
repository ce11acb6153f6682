"""Tables lay runs out as the config says; given the paper's figures they print the paper's tables."""

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import yaml

from condense.base.errors import InputError
from condense.base.tables import write_table
from condense.config import study
from condense.plan.layout import table_layout
from condense.plan.replicates import replicated
from condense.reporting.differences import Difference
from condense.reporting.layout import TableLayout
from condense.reporting.projection import project, tabulate

ROOT = Path(__file__).parents[2]

# The paper's tables, typed from its pages: budgets or measures are the columns.
PAPER = {
    "main_10k": {
        "random": "4.63 263.1 0.70 0.26",
        "ccs": "5.45 364.9 0.77 0.21",
        "dq": "4.56 267.8 0.72 0.25",
        "d2c": "4.20 283.6 0.72 0.24",
        "gadc": "3.43 414.3 0.78 0.28",
    },
    "budgets": {
        "random": "35.86 36.78 41.02",
        "k-center": "50.77 69.86 71.31",
        "herding": "40.75 32.38 36.37",
        "d2c": "4.20 14.81 22.55",
        "gadc": "3.43 11.01 17.09",
    },
    "resolution_512": {"d2c": "14.80 * 109.2 *", "gadc": "6.17 – 451.0 –"},
    "sit": {"d2c": "* 11.21 *", "gadc": "– 7.26 –"},
    "ablation_terms": {
        "gadc-no-transport": "3.82 414.1 0.26",
        "gadc-no-statistics": "4.62 451.6 –",
        "gadc-no-confidence": "3.55 337.0 –",
        "gadc-balanced": "3.54 413.9 –",
        "gadc": "3.43 414.3 *",
    },
    "ablation_exchange": {"gadc-greedy": "3.82 12.87 –", "gadc": "3.43 11.01 *"},
}
BEST = {"main_10k": {"3.43", "414.3", "0.78", "0.28"}, "budgets": {"3.43", "11.01", "17.09"}}
IMAGES = {"10k": 10_000, "50k": 50_000, "100k": 100_000}


@pytest.fixture(scope="module")
def imagenet():
    """The ImageNet study, with a method of the name d2c so that every published row has runs."""
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    config["methods"].setdefault("d2c", {"kind": "random"})
    return study.load(config)


def filled(layout: TableLayout) -> pd.DataFrame:
    """Scores that are the published figures, a run per cell."""
    rows = []
    for row in project(layout, None).to_dict("records"):
        if pd.notna(row["published"]):
            key = {name: row[name] for name in ("method", "generator", "budget")}
            images = {"seed": 0, "subset_images": IMAGES[row["budget"]]}
            rows.append(key | images | {row["metric"]: row["published"]})
    return pd.DataFrame(rows).groupby(["method", "generator", "budget"], as_index=False, sort=False).first()


def printed(layout: TableLayout, folder: Path, scores: pd.DataFrame) -> str:
    """Markdown that the command makes of a results folder with these scores."""
    paths = []
    for number, row in enumerate(scores.to_dict("records")):
        paths.append(folder / f"{number}.csv")
        write_table(pd.DataFrame([row]), paths[-1])
    (folder / "index.csv").write_text("path,class,class_index,bytes\n" + "a/1,a,0,1\n" * 9)
    outputs = {
        "output": folder / "t.csv",
        "markdown": folder / "t.md",
        "latex": folder / "t.tex",
        "html": folder / "t.html",
    }
    tabulate(layout.to_json(), **outputs, scores=paths, index=folder / "index.csv")
    return outputs["markdown"].read_text()


def lines(markdown: str) -> dict[str, list[str]]:
    """Cells of a Markdown table by their line's label."""
    rows = [line.strip("| ").split(" | ") for line in markdown.splitlines() if line.startswith("| ")]
    return {row[0]: row[1:] for row in rows[2:]}


@pytest.mark.parametrize("name", PAPER)
def test_given_the_papers_figures_the_papers_tables_are_printed(imagenet, name, tmp_path):
    layout = table_layout(imagenet, name)
    text = printed(layout, tmp_path, filled(layout))
    rows = lines(text)
    for method, figures in PAPER[name].items():
        for wanted, at in zip(figures.split(), range(0, 99, 3), strict=False):
            measured, published, difference = (cell.strip("*") for cell in rows[method][at : at + 3])
            if wanted != "*":  # another paper's figure, not in this paper's table
                assert (measured, published) == (wanted, wanted)
            assert difference == "–" if "–" in (measured, published) else float(difference) == 0
    for figure in BEST.get(name, ()):
        assert f"**{figure}**" in text


def test_published_figures_stay_where_nothing_was_measured(imagenet, tmp_path):
    layout = table_layout(imagenet, "main_10k")
    rows = lines(printed(layout, tmp_path, filled(layout).query("method != 'd2c'")))
    assert rows["d2c"][:3] == ["–", "4.20", "–"]
    assert rows["random"][:3] == ["4.63", "4.63", "+0.00"]


def test_the_gain_of_the_exchange_is_recomputed(imagenet, tmp_path):
    layout = table_layout(imagenet, "ablation_exchange")
    text = printed(layout, tmp_path, filled(layout))
    assert "10k: measured −0.39, one seed and no interval; published −0.39." in text
    assert "50k: measured −1.86, one seed and no interval; published −1.86." in text


def test_views_per_image_are_recomputed(imagenet, tmp_path):
    layout = table_layout(imagenet, "budgets")
    text = printed(layout, tmp_path, filled(layout))
    for images, views in ((10_000, 1280), (50_000, 256), (100_000, 128)):
        assert re.search(f"{images:,} images.*: training saw each {views:,} times", text)


def test_recipes_are_not_mixed(imagenet):
    table = project(table_layout(imagenet, "recipes"), None).set_index(["method", "generator"])["published"]
    assert table["random", "dit-l-2-plain"] == 35.86 and table["random", "dit-l-2"] == 4.63
    assert table["gadc", "dit-l-2"] == 3.43 and pd.isna(table["gadc", "dit-l-2-plain"])


def test_seeds_become_mean_deviation_and_a_paired_interval(tmp_path):
    layout = table_layout(tiny(), "main")
    rows = [
        {"method": method, "generator": "sit", "budget": "6", "seed": seed, "subset_images": 6, "fid": fid}
        for method, values in {"random": (5.0, 6.0, 7.0), "gadc": (4.0, 4.5, 5.0)}.items()
        for seed, fid in enumerate(values)
    ]
    text = printed(layout, tmp_path, pd.DataFrame(rows))
    assert lines(text)["gadc"] == ["**4.50 ± 0.50**"] and lines(text)["random"] == ["6.00 ± 1.00"]
    assert "measured −1.50, 95% interval −2.74 to −0.26 over 3 seeds, resolved" in text
    every = "draw of the images, training and noise of the samples"
    assert f"over 3 seeds, each with its own {every}." in text
    text = printed(replace(layout, vary=("training",)), tmp_path, pd.DataFrame(rows))
    kept = "the draw of the images and noise of the samples the same in all"
    assert f"over 3 seeds, each with its own training; {kept}." in text


def test_a_set_that_no_seed_draws_anew_is_named_beside_its_deviation_of_zero(tmp_path):
    rows = [
        {"method": method, "generator": "sit", "budget": "6", "seed": seed, "subset_images": 6, "fid": fid}
        for method, values in {"random": (5.0, 6.0), "gadc": (4.0, 4.0)}.items()
        for seed, fid in enumerate(values)
    ]
    layout = replace(table_layout(tiny(), "main"), vary=("draw",))
    text = printed(layout, tmp_path, pd.DataFrame(rows))
    assert "gadc: the same with each seed, as the deviation of zero says" in text
    rows[-1]["fid"] = 4.1
    assert "the same with each seed" not in printed(layout, tmp_path, pd.DataFrame(rows))


def test_sets_that_do_not_follow_what_seeds_vary_are_named(tmp_path):
    layout = table_layout(tiny(), "main")
    rows = [
        {"method": method, "generator": "sit", "budget": "6", "seed": seed, "subset_images": 6, "fid": seed}
        for method in ("random", "gadc")
        for seed in range(2)
    ]
    mixed = replace(layout, own_set={"random": True, "gadc": False})
    assert "gadc: one set of images with all seeds; ± is over the rest." in printed(
        mixed, tmp_path, pd.DataFrame(rows)
    )
    text = printed(replace(mixed, vary=("training",)), tmp_path, pd.DataFrame(rows))
    assert "random: a set of images of its own with each seed." in text
    text = printed(replace(layout, parts=("draw", "training")), tmp_path, pd.DataFrame(rows))
    assert "each with its own draw of the images and training." in text


def test_the_layout_knows_what_there_is_to_vary():
    several = tiny().model_copy(update={"seeds": [0, 1]})
    layout = table_layout(replicated(several), "main")
    assert layout.parts == ("draw", "training", "sampling")  # its encoder is not fitted
    assert layout.own_set == {"random": True, "gadc": False}


def test_the_paired_interval_is_students():
    first, second = pd.Series([1.0, 2.0, 4.0], index=[0, 1, 2]), pd.Series([2.0, 2.0, 2.0], index=[0, 1, 2])
    # mean 1/3, deviation 1.5275, t(0.975, 2) = 4.3027: half-width 3.7946
    assert Difference.between(first, second).words(2) == (
        "measured +0.33, 95% interval −3.46 to +4.13 over 3 seeds, not resolved from zero"
    )
    assert Difference.between(first[:2], second).words(2) == "measured −0.50, two seeds and no interval"


def tiny(**changes) -> study.Study:
    """The tiny study with one table."""
    config = yaml.safe_load((ROOT / "tests/tiny/config.yaml").read_text())
    table = {"methods": ["random", "gadc"], "generators": ["sit"], "budgets": ["6"]}
    table |= {"pairs": [["gadc", "random"]]} | changes
    config["tables"] = {"main": {key: value for key, value in table.items() if value is not None}}
    return study.load(config)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"methods": ["gdac"]}, "tables.main.methods names 'gdac', which is not defined"),
        ({"generators": ["dit"]}, "tables.main.generators names 'dit', which is not defined"),
        ({"budgets": ["7"]}, "tables.main.budgets names '7', which is not defined"),
        ({"metrics": ["fdi"]}, "tables.main.metrics"),
        ({"rows": ["methods"]}, "tables.main.rows"),
        ({"colums": ["metric"]}, "tables.main.colums is not a known key"),
        ({"methods": None}, "tables.main.methods is missing"),
        ({"rows": ["metric"], "columns": []}, "two runs share the cell"),
        ({"rows": ["method"], "columns": ["method"]}, "cannot make both"),
        ({"metrics": ["fid", "recall"], "columns": []}, "need `metric`"),
        ({"pairs": [["gadc", "full"]]}, "tables.main.pairs names 'full'"),
    ],
)
def test_a_faulty_table_is_one_sentence_that_names_the_key(changes, sentence):
    with pytest.raises(InputError) as fault:
        tiny(**changes)
    assert sentence in str(fault.value) and "\n" not in str(fault.value)


@pytest.mark.parametrize("path", ["config.yaml", "examples/digits/config.yaml", "examples/quick/config.yaml"])
def test_every_promised_table_is_in_the_study(path):
    promised = {"main", "budgets", "resolution", "sit", "ablation_terms", "ablation_exchange"}
    promised |= {"encoders", "sensitivity", "iterations", "recipes", "cost"}
    tables = study.load(yaml.safe_load((ROOT / path).read_text())).tables
    assert promised <= {re.sub(r"_\d+k?$", "", name) for name in tables}


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="there is no pdflatex")
def test_the_latex_of_every_table_compiles(imagenet, tmp_path):
    names = [*imagenet.tables]
    body = []
    for name in names:
        layout = table_layout(imagenet, name)
        figures = project(layout, None)["published"].notna().any()
        folder = tmp_path / name
        folder.mkdir()
        printed(layout, folder, filled(layout) if figures else pd.DataFrame())
        body.append((folder / "t.tex").read_text())
    head = "\\documentclass{article}\\usepackage[landscape,margin=1cm]{geometry}\\usepackage{booktabs}"
    text = "\n\\clearpage\n".join([head + "\\begin{document}", *body, "\\end{document}"])
    (tmp_path / "all.tex").write_text(text)
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "all.tex"],
        cwd=tmp_path, stdout=subprocess.PIPE, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "all.pdf").stat().st_size > 10_000


def test_figures_are_published_for_the_papers_guidance_alone(imagenet):
    table = project(table_layout(imagenet, "guidance"), None).set_index(["method", "guidance"])["published"]
    assert table["gadc", 1.5] == 3.43 and table.drop([("gadc", 1.5), ("random", 1.5)]).isna().all()

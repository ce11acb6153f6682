"""The tiny study, end to end; only what changed is built anew, faults are one sentence, runs resume."""

import os
import re
import shutil
import signal
import subprocess
import time
import zipfile
from pathlib import Path

import pandas as pd
import pytest

from condense.reporting.comparisons import columns
from studies import StudyCopy

STAGES = {
    "latents",
    "train",
    "generate",
    "detect",
    "score",
    "table",
    "tabulate",
    "plot_samples",
    "plot_pairs",
    "plot_losses",
    "plot_methods",
    "plot_distances",
    "plot_objective",
    "plot_table",
    "card",
    "provenance",
    "pack_report",
}
WEIGHTS = "results/generators/sit/gadc/6/seed0.safetensors"


@pytest.fixture
def study(built, tmp_path) -> StudyCopy:
    """A fresh clone with the results of the tiny study copied, to be changed."""
    return built.duplicate(tmp_path)


def test_the_tiny_study_yields_its_table_figures_and_report(built):
    results = built.folder / "results"
    table = pd.read_csv(results / "fid_6.csv")
    assert list(table.columns) == columns("generator")
    assert list(table["method"]) == ["random", "gadc"]
    assert (table["images"] == 6).all()
    assert table["fid"].notna().all() and table["fid_std"].isna().all()
    subset = pd.read_csv(results / "subsets/gadc/6.csv")
    assert subset.groupby("class")["path"].nunique().tolist() == [2, 2, 2]
    assert (results / "figures/samples/sit/gadc/6/seed0.png").stat().st_size > 500
    assert (results / "figures/losses_6.png").stat().st_size > 5000
    assert pd.read_csv(results / "tables/main.csv")["status"].tolist() == ["measured"] * 4
    assert pd.read_csv(results / "tables/cost.csv")["mean"].gt(0).all()
    assert "| gadc | " in (results / "tables/main.md").read_text()
    assert "\\toprule" in (results / "tables/main.tex").read_text()
    with zipfile.ZipFile(results / "report.zip") as report:
        assert any(name.endswith("report.html") for name in report.namelist())


def test_one_core_and_two_give_the_same_subsets_and_tables(built, tmp_path):
    study = StudyCopy.create(tmp_path)
    done = study.run("tables", "--cores", "1")
    assert done.returncode == 0, done.stdout
    assert len(study.tables()) > 12 and study.tables() == built.tables()


def test_a_fresh_clone_with_the_results_copied_has_nothing_to_do(study):
    assert study.planned() == {}
    assert study.planned("tables", "report") == {}


def test_an_edited_comment_reruns_nothing(study):
    path = study.repo / "workflow/condense/transport/partial.py"
    path.write_text("# a remark\n" + path.read_text())
    assert study.planned() == {}


def test_edited_prose_reruns_nothing(study):
    study.edit("training.train", "Latents of the subset, from", "The subset's latents, as of")
    study.edit("training.latents", "    keep_freed_memory()", "    say('Hello.')\n    keep_freed_memory()")
    study.edit("config.settings", "Optimiser steps.", "Steps of the optimiser.")
    study.edit("images.index", "must read like 1-of-4", "must read as in 1-of-4")
    study.edit("encoders.embed", "import typer", "import cmath\nimport typer")
    assert study.planned() == {}


def test_edited_code_that_no_job_of_the_study_uses_reruns_nothing(study):
    study.edit("images.adm_files", "BATCH = 256", "BATCH = 128")
    study.edit("diffusion.flow", "(velocity + ahead) / 2", "(velocity + ahead) * 0.5")
    study.edit("selection.baselines", "nearest[chosen[-1]] = -1", "nearest[chosen[-1]] = -2")
    study.edit("images.sources", ':04d}.png", 64', ':04d}.png", 65')
    assert study.planned() == {}


def test_one_more_way_to_choose_reruns_no_other(study):
    study.edit("selection.methods", '    "full": ', '    "first": each(plain.choose_all),\n    "full": ')
    study.edit(
        "config.methods",
        "Selection = ",
        "@settings\nclass First(Selector):\n    kind: Literal['first']\n\n\nSelection = ",
    )
    assert study.planned() == {}


def test_an_edited_formula_of_the_transport_reruns_selection_but_no_embedding(study):
    study.edit(
        "transport.partial", "math.log(capacity / columns)", "(math.log(capacity) - math.log(columns))"
    )
    assert set(study.planned()) == {"select", "merge_subset"} | STAGES
    assert study.planned()["select"] == 2, "a random draw needs no transport"


TRAINED = STAGES - {"latents", "plot_objective"}
DEFAULTS = {  # what follows from another default: rules, and how many selections and trainings
    "config.methods capacity: float = setting(1.05": ("1.5", {"select", "merge_subset"} | STAGES, 2, 1),
    "config.settings class_dropout: float = setting(0.1": ("0.5", TRAINED, 0, 2),
    "config.settings guidance: float = setting(1.5": ("2.5", TRAINED - {"train", "plot_losses"}, 0, 0),
}


@pytest.mark.parametrize("default", DEFAULTS)
def test_another_default_reruns_the_stage_that_obeys_it(study, default):
    module, old = default.split(" ", 1)
    value, rules, selections, trainings = DEFAULTS[default]
    study.edit(module, old, old.rpartition("(")[0] + "(" + value)
    planned = study.planned()
    assert set(planned) == rules | {"record_config"}
    assert planned.get("select", 0) == selections and planned.get("train", 0) == trainings


def test_one_more_setting_reruns_the_stage_that_has_it(study):
    study.edit("config.settings", "    clip: ", "    patience: int = setting(3, 'Patience.')\n    clip: ")
    planned = study.planned()
    assert set(planned) == TRAINED | {"record_config"} and planned["train"] == 2


def test_a_subset_that_is_chosen_again_with_the_same_bytes_retrains_nothing(study):
    study.edit("selection.select", "images.index, rank)", "images.index, rank + 0)")
    assert study.planned()["train"] == 2, "before it is chosen, nobody knows"
    done = study.run()
    assert done.returncode == 0, done.stdout
    started = set(re.findall(r"^(?:local)?(?:rule|checkpoint) (\w+):", done.stdout, re.MULTILINE))
    assert {"select", "merge_subset"} <= started  # tables and pictures of several runs are made anew
    assert started.isdisjoint({"latents", "train", "generate", "detect", "score"})
    assert study.planned() == {}


def test_another_kappa_reruns_only_the_methods_that_have_it(study):
    study.configure(lambda config: config["methods"]["gadc"].update(capacity=1.5))
    planned = study.planned()
    assert set(planned) == {"select", "merge_subset", "record_config"} | STAGES
    assert planned["select"] == 2 and planned["train"] == 1 and planned["score"] == 2


def test_one_more_method_runs_only_its_own_jobs(study):
    def add(config):
        config["methods"]["second"] = {"kind": "random", "seed": 1}
        config["comparisons"]["6"]["methods"].append("second")

    study.configure(add)
    planned = study.planned()
    undone = {"tabulate", "plot_table", "plot_objective"}
    assert set(planned) == {"select", "merge_subset", "record_config"} | STAGES - undone
    assert planned["select"] == 2 and planned["train"] == 1


def test_one_image_more_reruns_its_shard_and_what_follows(study):
    folder = study.folder / "images/n01440764"
    shutil.copy(folder / "003.png", folder / "new.png")
    planned = study.planned()
    for rule in ("index", "embed", "classify", "reference", "merge_index"):
        assert planned[rule] == 1, rule
    assert planned["select"] == 2 and planned["merge_subset"] == 2 and "encoder" not in planned


FAULTS = {
    "a misspelt key": (lambda c: c.update(seedz=[0]), "seedz is not a known key"),
    "a budget larger than a class": (lambda c: c["budgets"].update({"6": 25}), "24 images"),
    "an unknown method in a table": (
        lambda c: c["comparisons"]["6"].update(methods=["gdac"]),
        "names 'gdac', which is not defined",
    ),
    "a missing image root": (lambda c: c["images"].update(root="nowhere"), "nowhere"),
    "a missing weights file": (
        lambda c: c["encoders"]["net"].update(weights="lost.safetensors"),
        "lost.safetensors",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_ends_with_one_sentence(study, fault):
    change, sentence = FAULTS[fault]
    study.configure(change)
    done = study.run("results/fid_6.csv")
    assert done.returncode != 0
    assert any(sentence in line for line in done.stdout.splitlines()), done.stdout
    assert "Traceback" not in done.stdout


def test_an_empty_class_is_named(study):
    (study.folder / "images/n09999999").mkdir()
    done = study.run("results/index.csv")
    assert done.returncode != 0 and "Traceback" not in done.stdout
    assert "n09999999" in done.stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "kill"])
def test_an_interrupted_training_resumes_to_the_same_bytes(study, number):
    study.configure(lambda config: config["generators"]["sit"]["training"].update(steps=1500))
    interrupt(study, number)
    assert not (study.folder / WEIGHTS).exists()
    left = saved_step(study)
    assert 0 < left < 1500
    resumed = study.run(WEIGHTS)
    assert resumed.returncode == 0, resumed.stdout
    assert f"going on from step {left}" in (study.folder / "logs/train/sit/gadc/6/seed0.log").read_text()
    paths = [study.folder / WEIGHTS, (study.folder / WEIGHTS).with_suffix(".history.jsonl")]
    once = [path.read_bytes() for path in paths]
    shutil.rmtree(study.folder / "results/state/train")
    assert study.run(WEIGHTS, "--forcerun", "train").returncode == 0
    assert [path.read_bytes() for path in paths] == once


def interrupt(study: StudyCopy, number: int) -> None:
    """Start the training through Snakemake and send a signal to its process group in the middle."""
    before = saved_step(study)
    process = subprocess.Popen(
        study.command(WEIGHTS), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    deadline = time.monotonic() + 120
    while saved_step(study) <= max(before, 40) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(process.pid, number)
    assert process.wait(60) != 0


def saved_step(study: StudyCopy) -> int:
    """Largest step among the saved states of the training."""
    folder = study.folder / "results/state/train/sit/gadc/6/seed0"
    return max(
        (int(Path(path).stem.split("_")[1]) for path in folder.glob("*/step_*.safetensors")), default=0
    )


def test_snakemake_looks_for_jobs_when_one_has_ended_and_no_more(study):
    subsets = [f"results/subsets/{method}/6.csv" for method in ("random", "gadc")]
    done = study.run(*subsets, "--forcerun", "select", "--cores", "1", "--verbose")
    assert done.returncode == 0, done.stdout
    ended = len(re.findall(r"^Finished jobid", done.stdout, re.MULTILINE))
    assert ended == 6
    assert done.stdout.count("Ready jobs: ") <= ended + 1


def test_subsets_of_every_method_are_measured_before_anything_is_trained_on_them(study):
    """Of the methods, d2c alone needs a generator, one trained on every image."""
    listed = pd.read_csv(study.folder / "results/subsets/random/6.csv")["path"]
    (study.folder / "theirs.txt").write_text("\n".join(listed[::-1]))
    methods = {
        "full": {"kind": "full"},
        **{name: {"kind": name, "encoder": "net"} for name in ("k-center", "herding", "dq")},
        "ccs": {"kind": "ccs", "encoder": "net", "margin": "accumulated"},
        "d2c": {"kind": "d2c", "generator": "sit"},
        "theirs": {"kind": "list", "file": "theirs.txt"},
    }
    names = [name for name in methods if name != "full"]

    def change(config):
        config["methods"] |= methods
        config["subsets"] = {"measure": "gadc", "methods": ["random", "gadc", *names], "budgets": ["6"]}

    study.configure(change)
    shown = [("chosen", "theirs"), ("map", "d2c")]
    figures = [f"results/figures/{figure}/{name}/6.png" for figure, name in shown]
    assert study.planned("results/subsets.csv")["train"] == 1
    done = study.run("results/subsets.csv", *figures)
    assert done.returncode == 0, done.stdout
    table = pd.read_csv(study.folder / "results/subsets.csv").set_index("method")
    assert list(table.index) == ["random", "gadc", *names]
    assert (table["images"] == 6).all() and (table["measured_by"] == "gadc").all()
    assert table.loc["theirs", "objective"] == pytest.approx(table.loc["random", "objective"])
    assert table["objective"].idxmin() == "gadc"
    assert all((study.folder / path).stat().st_size > 500 for path in figures)
    assert study.planned("results/subsets.csv", *figures) == {}

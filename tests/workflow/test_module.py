"""The workflow is a module of another one: rules have its names, and everything lies below its prefix."""

import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
import yaml

from condense.base.errors import InputError
from condense.images import subset
from condense.plan import files
from condense.plan.plan import Plan
from sources import ROOT
from studies import CLASSES, draw_pictures

SNAKEFILE = """
import yaml

with open("birds.yaml") as file:
    birds = yaml.safe_load(file)


rule mine:
    input:
        {inputs},
    output:
        "mine.txt"
    shell:
        "cp {{input[0]}} {{output}}"


module condense:
    snakefile:
        "{repository}/Snakefile"
    config:
        birds
    prefix:
        "birds"


use rule * from condense as condense_*
"""
MADE = {"kind": "samples", "generator": "dit", "trained_on": "full", "steps": 3}


@pytest.fixture
def config() -> dict:
    config = yaml.safe_load((ROOT / "tests/tiny/config.yaml").read_text())
    config["methods"] |= {"full": {"kind": "full"}, "made": MADE}
    config["generators"]["dit"] = config["generators"]["sit"] | {
        "objective": "adm",
        "sampling": {"images": 12},
    }
    return config


def run_mine(folder: Path, config: dict, results: Iterable[str], *words: str) -> str:
    """What Snakemake says while the other workflow makes results of the module."""
    (folder / "birds.yaml").write_text(yaml.safe_dump(config))
    inputs = ", ".join(f'"birds/results/{result}"' for result in results)
    (folder / "Snakefile").write_text(SNAKEFILE.format(repository=ROOT, inputs=inputs))
    run = [sys.executable, "-m", "snakemake", *words, "--cores", "1", "mine"]
    done = subprocess.run(
        run, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_a_workflow_uses_it_with_a_prefix(config: dict, tmp_path: Path) -> None:
    draw_pictures(tmp_path / "images", count=4)
    (tmp_path / "config.yaml").write_text("mine: 1\nmine: 2\n")  # the other workflow's
    results = ("tables/main.html", "figures/chosen/made/6.png")
    said = run_mine(tmp_path, config, results, "--dry-run", "--printshellcmds")
    commands = [line for line in said.splitlines() if "python -m condense" in line]
    assert {"condense_index", "condense_train", "condense_plot_chosen"} <= {*re.findall(r"\w+", said)}
    assert any("birds/results/state/train/sit/gadc/6/seed0" in line for line in commands)
    outside = re.compile(r"(?<![\w/])(results|logs)/")
    assert [line for line in commands if outside.search(line)] == []


def test_a_workflow_makes_results_below_the_prefix(config: dict, tmp_path: Path) -> None:
    draw_pictures(tmp_path / "images", count=4)
    (tmp_path / "images" / CLASSES[0]).rename(tmp_path / "images/$_^$")  # a formula to matplotlib
    config |= {"shards": 1, "methods": {"random": {"kind": "random"}}, "tables": {}}
    config["comparisons"] = {"6": {"methods": ["random"], "generators": ["sit"]}}
    results = ["generators/sit/random/6/seed0.safetensors", "figures/chosen/random/6.png"]
    run_mine(tmp_path, config, results)
    assert (tmp_path / "mine.txt").read_bytes() == (tmp_path / "birds/results" / results[0]).read_bytes()
    made = {path.name for path in tmp_path.iterdir()}
    assert made == {".snakemake", "Snakefile", "birds", "birds.yaml", "images", "mine.txt"}
    assert "Nothing to be done" in run_mine(tmp_path, config, results)


def test_students_of_made_images_need_a_study_without_a_prefix(config: dict) -> None:
    config["images"]["validation"] = 0.2
    config["students"] = {"convnet": {"resolution": 8, "network": {"depth": 2}}}
    Plan(config)
    with pytest.raises(InputError, match="without a prefix"):
        Plan(config, lambda path: f"birds/{path}")
    del config["methods"]["made"]
    Plan(config, lambda path: f"birds/{path}")


def test_made_images_lie_where_commands_look_for_them() -> None:
    assert Path(files.MADE) == subset.MADE


def test_the_catalogue_of_workflows_finds_what_it_reads() -> None:
    told = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text())["usage"]
    assert told["software-stack-deployment"]["conda"] is True
    assert (ROOT / "config/README.md").is_file()

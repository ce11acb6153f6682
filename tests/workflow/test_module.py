"""The workflow is a module of another one: rules have its names, and everything lies below its prefix."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from condense.base.errors import InputError
from condense.images import subset
from condense.plan import files
from condense.plan.plan import Plan
from sources import ROOT
from studies import draw_pictures

SNAKEFILE = """
import yaml

with open("birds.yaml") as file:
    birds = yaml.safe_load(file)


rule mine:
    input:
        "birds/results/tables/main.html",
        "birds/results/figures/chosen/made/6.png",
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


def test_a_workflow_uses_it_with_a_prefix(config: dict, tmp_path: Path) -> None:
    draw_pictures(tmp_path / "images", count=4)
    (tmp_path / "config.yaml").write_text("mine: 1\nmine: 2\n")  # the other workflow's
    (tmp_path / "birds.yaml").write_text(yaml.safe_dump(config))
    (tmp_path / "Snakefile").write_text(SNAKEFILE.format(repository=ROOT))
    run = [sys.executable, "-m", "snakemake", "--dry-run", "--printshellcmds", "--cores", "1", "mine"]
    done = subprocess.run(
        run, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    commands = [line for line in done.stdout.splitlines() if "python -m condense" in line]
    assert {"condense_index", "condense_train", "condense_plot_chosen"} <= {*re.findall(r"\w+", done.stdout)}
    assert any("birds/results/state/train/sit/gadc/6/seed0" in line for line in commands)
    outside = re.compile(r"(?<![\w/])(results|logs)/")
    assert [line for line in commands if outside.search(line)] == []


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

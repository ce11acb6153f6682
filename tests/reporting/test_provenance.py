"""A study tells what it was made with; a generator's card names its scores and how to draw from it."""

import shlex
from pathlib import Path

import pytest
import yaml

from condense.base.processor import instruction_sets, processor
from condense.plan.plan import Plan
from condense.reporting.card import render
from condense.reporting.provenance import commands, commit, differences, machines, versions

ROOT = Path(__file__).parents[2]
ROW = {"method": "gadc", "generator": "sit", "budget": "6", "seed": 0, "fid": 1.25, "recall": 0.5}
ROW |= {"objective": "flow", "training_steps": 40, "subset_images": 6, "samples": 12, "sampler": "euler"}
ROW |= {"steps": 4, "guidance": 1.5, "detector": "net", "reference": "the study's 72 images"}


@pytest.fixture
def plan():
    return Plan(yaml.safe_load((ROOT / "tests/tiny/config.yaml").read_text()))


def test_only_settings_other_than_the_defaults_are_listed(plan):
    told = dict(differences(plan.study))
    assert told["methods.gadc.epsilon"] == "0.05"
    assert "methods.gadc.alpha" not in told and "seeds" not in told
    assert told["generators.sit.training.batch"] == "8"


def test_every_table_has_its_command(plan):
    text = commands(plan.study)
    for name in plan.study.tables:
        assert f"`snakemake results/tables/{name}.csv --cores all --directory $STUDY`" in text
    assert "results/report.zip" in text and commit() in text


def test_versions_are_those_of_the_requirements():
    pinned = dict(line.split("==") for line in (ROOT / "requirements.txt").read_text().split())
    told = dict(versions())
    assert all(told[name] == pinned[name] for name in ("torch", "numpy", "snakemake"))


def test_a_card_has_the_scores_in_its_header_and_a_command_that_draws(plan):
    words = shlex.split(plan.options.card("sit", "gadc", "6", "0"))
    sampling = words[words.index("--sampling") + 1]
    text = render(ROW, "weights.safetensors", {"method": {"kind": "gadc"}}, sampling, "pictures")
    _, head, body = text.split("---\n", 2)
    (model,) = yaml.safe_load(head)["model-index"]
    metrics = model["results"][0]["metrics"]
    assert [(entry["type"], entry["value"]) for entry in metrics] == [("fid", 1.25), ("recall", 0.5)]
    assert "12 samples" in metrics[0]["name"] and "72 images" in metrics[0]["name"]
    assert f"--weights weights.safetensors --shard 1-of-1 --output samples.npz {sampling}" in body
    assert (
        "A flow generator trained from scratch for 40 steps on 6 images of pictures, chosen by gadc." in body
    )


def test_the_card_of_an_imported_generator_does_not_say_how_it_was_trained():
    row = {key: value for key, value in ROW.items() if key not in ("training_steps", "subset_images")}
    assert "A flow generator imported from a checkpoint, which" in render(row, "w", {}, "", "pictures")


def test_the_machines_of_the_trainings_are_told_with_their_arithmetic(tmp_path):
    first, second = tmp_path / "a.csv", tmp_path / "b.csv"
    first.write_text("method,device,arithmetic\ngadc,cpu,pinned AVX2\nimported,,\n")
    second.write_text("method,fid\ngadc,1\n")
    told = list(machines([first, second]))
    assert f"{processor()}, {instruction_sets()}" in dict(told)["this page made on"]
    assert told[1:] == [("trained on", "cpu (pinned AVX2)")]
    assert list(machines([second]))[1:] == [("trained on", "not told")]

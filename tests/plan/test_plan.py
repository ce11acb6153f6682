"""Every rule finds its own options and inputs; targets are found by what a method does, not by its name."""

import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from condense.base import digest
from condense.config.learners import KINDS
from condense.config.metrics import BY_KIND
from condense.config.published import FILES, PROTOCOL, SAME
from condense.plan.files import SCORES
from condense.plan.layout import DESCRIBE
from condense.plan.plan import Plan, environment
from condense.plan.rule_inputs import RuleInputs
from condense.plan.rule_options import RuleOptions
from condense.plan.targets import COMPARED, FIGURES
from condense.reporting.cost import USE
from condense.reporting.learners import PRESENTATIONS
from sources import RULES

ROOT = Path(__file__).parents[2]
PARTS = {"options": RuleOptions, "inputs": RuleInputs}
WILDCARDS = {
    "student": "convnet-3",
    "judge": "inception",
    "method": "d2c",  # it has a checkpoint, scores of images, ...
    "generator": "dit-l-2",
    "budget": "10k",
    "seed": "0",
    "scatteritem": "1-of-16",
    "encoder": "inception",
    "space": "sd-vae-ft-ema",
    "resolution": "256",
    "text_encoder": "flan-t5-xl",
    "table": "budgets",
    "which": "_10k",
    "reference": "label",
    "kind": "methods",
    "name": "d2c",
}
OTHERS = {
    "dope": {"method": "doped"},
    "finetune": {"generator": "minimax"},
    "choose_groups": {"method": "s3"},
}  # of rules that do not do for the ones above


def methods(part: str) -> dict[str, list[str]]:
    """Public methods of a part of the plan, with the words that they take."""
    found = inspect.getmembers(PARTS[part], inspect.isfunction)
    return {
        name: [*inspect.signature(function).parameters][1:]
        for name, function in found
        if not name.startswith("_")
    }


@pytest.mark.parametrize("part", PARTS)
def test_every_rule_finds_its_own_and_none_is_unused(part):
    used = [(rule, name) for rule in RULES for name in re.findall(rf"PLAN\.{part}\.(\w+)\(", RULES[rule])]
    assert all(rule == name for rule, name in used), used
    assert sorted(name for _, name in used) == sorted(methods(part))


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_asks_the_study_for_nothing_else(rule):
    """What a study decides about a rule stands in the rule's own options and inputs."""
    asked = re.findall(r"PLAN\.(\w+)", RULES[rule])
    known = {"flags", "listing", "names", "published", "selection_gpus", "settings", "unused"}
    assert set(asked) <= {*PARTS, *known}


@pytest.fixture
def config():
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    config["images"]["validation"] = 0.1
    config["students"] = {"convnet-3": {"resolution": 64}}
    config["methods"]["full"] = {"kind": "full"}
    config["methods"]["s3"] = {"kind": "groups", "drawn_by": "random", "encoder": "inception"}
    config["generators"]["minimax"] = {"finetune": {"generator": "dit-l-2"}}
    config["comparisons"]["10k"]["students"] = ["convnet-3"]
    config["methods"]["samples"] = {"kind": "samples", "generator": "dit-l-2"}
    doped = {"kind": "doped", "made": "samples", "made_budget": "10k", "student": "convnet-3"}
    config["methods"]["doped"] = doped
    return config


@pytest.mark.parametrize(
    ("part", "rule"), [(part, rule) for part in PARTS for rule in methods(part)], ids="-".join
)
def test_each_takes_wildcards_as_words_and_gives_what_snakemake_takes(config, part, rule):
    given = WILDCARDS | OTHERS.get(rule, {})
    made = getattr(getattr(Plan(config), part), rule)(**{word: given[word] for word in methods(part)[rule]})
    if part == "options":
        assert isinstance(made, str) and made == made.strip()
    paths = made.values() if isinstance(made, dict) else [made]
    for path in paths:
        assert all(isinstance(one, str) for one in ([path] if isinstance(path, str) else path))


def test_a_method_without_images_is_known_by_its_kind_and_not_by_its_path(config):
    """A method of the name zero once lost its cards and pairs; the name is reserved since."""
    config["methods"]["nil"] = {"kind": "random"}
    config["methods"]["untrained"] = {"kind": "none"}
    config["comparisons"]["10k"]["methods"] = ["nil", "untrained"]
    targets = Plan(config).targets
    cards = [path for path in targets.cards() if "/10k/" in path or "/zero/" in path]
    assert cards == ["results/cards/dit-l-2/nil/10k/seed0.md"]
    pairs = [path for path in targets.shown("10k") if path.startswith("results/figures/pairs/")]
    assert pairs == ["results/figures/pairs/dit-l-2/nil/10k/seed0.png"]


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_learner_is_known_everywhere(config, kind):
    """Its settings, what describes them, where its scores lie, what they cost and how they are told."""
    study = Plan(config).study
    assert study.learners()[kind] is getattr(study, {"judge": "encoders"}.get(kind, f"{kind}s"))
    for table in (DESCRIBE, SCORES, PRESENTATIONS, USE, COMPARED, FIGURES, BY_KIND):
        assert kind in table
    assert (kind in FILES) == (kind in SAME) == (kind in PROTOCOL) == (kind != "judge")


def test_native_arithmetic_is_another_code_of_every_job_and_pinned_is_the_default(config, monkeypatch):
    pinned, native = Plan(config), Plan(config | {"arithmetic": "native"})
    assert pinned.code("scoring.score.score") == digest.code("scoring.score.score")
    assert native.code("scoring.score.score") != pinned.code("scoring.score.score")
    monkeypatch.setenv("PATH", os.environ["PATH"])
    assert "CONDENSE_ARITHMETIC=native;" in environment(native.study.arithmetic)


def test_a_plan_is_made_without_torch():
    words = "import sys; from condense.plan.plan import Plan; sys.exit('torch' in sys.modules)"
    assert not subprocess.run([sys.executable, "-c", words], check=False).returncode

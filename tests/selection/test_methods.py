"""The table of methods: each kind has settings, a function, its inputs and a line in the documentation."""

import csv
import inspect
import re
from dataclasses import fields
from pathlib import Path
from typing import get_args, get_type_hints

import numpy as np
import pytest
import yaml

from commands import call
from condense.base.shards import write_shard
from condense.config.methods import Ccs, Gadc, Selection
from condense.plan.plan import Plan
from condense.selection.methods import METHODS
from condense.selection.select import select

ROOT = Path(__file__).parents[2]
SETTINGS = {kind: cls for cls in get_args(Selection) for kind in get_args(get_type_hints(cls)["kind"])}
LOOKED_AT = {  # parameters of a function: what the method may need for them
    "features": {"features"},
    "log_probability": {"probabilities"},
    "log_runner_up": {"probabilities"},
    "score": {"margins", "difficulty"},
    "file": {"file"},
}
OPTIONS = {  # need: options of `select` that serve it
    "features": {"features"},
    "probabilities": {"features", "probabilities"},
    "margins": {"scores"},
    "difficulty": {"scores"},
    "file": {"file"},
}
GIVEN = {"name", "paths", "budget", "generator"}  # to whoever names them
ONE_BY_ONE = [kind for kind in SETTINGS if hasattr(METHODS.get(kind), "__wrapped__")]


def variants(kind: str) -> list:
    """The settings of a kind at their defaults, and with each other value that changes what it needs."""
    cls = SETTINGS[kind]
    return [cls(kind=kind), *([Ccs(kind=kind, margin="accumulated")] if cls is Ccs else [])]


def needs(kind: str) -> set[str]:
    return {need for settings in variants(kind) for need in settings.needs}


def test_every_kind_has_a_function_and_every_function_settings():
    assert METHODS.keys() == SETTINGS.keys()


@pytest.mark.parametrize("kind", ONE_BY_ONE)
def test_a_function_obeys_every_setting_of_its_method_and_takes_what_it_needs(kind):
    taken = set(inspect.signature(METHODS[kind].__wrapped__).parameters)
    own = {item.name for item in fields(SETTINGS[kind])} - SETTINGS[kind].elsewhere() - {"kind"}
    assert own - {"seed"} <= taken <= own | GIVEN | LOOKED_AT.keys()
    assert ("seed" in own) == ("generator" in taken), "a draw needs a seed, and a seed a draw"
    looked = [LOOKED_AT[name] & needs(kind) for name in taken & LOOKED_AT.keys()]
    assert all(looked) and set().union(*looked) == needs(kind)


def test_gadc_needs_probabilities_for_its_confidence_term_alone():
    assert Gadc().needs == ("features", "probabilities")
    assert Gadc(beta=0).needs == ("features",)


@pytest.mark.parametrize("kind", SETTINGS)
def test_the_plan_gives_a_method_what_it_needs_and_no_more(kind):
    config = yaml.safe_load((ROOT / "examples/digits/config.yaml").read_text())
    names = {item.name for item in fields(SETTINGS[kind])}
    named = {"encoder": "cnn", "generator": "sit-tiny", "file": "theirs.txt"}
    config["methods"]["new"] = {"kind": kind} | {key: named[key] for key in names & named.keys()}
    files = Plan(config).inputs.select("new", "1-of-2")
    wanted = set().union(*(OPTIONS[need] for need in Plan(config).study.methods["new"].needs))
    assert files.keys() == (wanted if "features" in wanted else wanted | {"index"})
    assert "None" not in str(files)


@pytest.mark.parametrize("kind", SETTINGS)
def test_the_documentation_names_every_kind(kind):
    table = re.search(r"\| `kind` \|.*?\n\n", (ROOT / "docs/subsets.md").read_text(), re.DOTALL)[0]
    assert f"`{kind}`" in table


@pytest.fixture
def everything(tmp_path) -> list:
    """Options of `select` with all that any method looks at: two classes of 12 images."""
    draws = np.random.default_rng(0)
    embedded, classified, scored = [], [], []
    for number, name in enumerate(("ant", "bee")):
        paths = [f"{name}/{i:02}.png" for i in range(12)]
        log_probability = np.log(draws.uniform(0.5, 1, 12)).astype(np.float32)
        rival = np.log(draws.uniform(0, 0.5, 12)).astype(np.float32)
        embedded.append((name, number, {"features": draws.normal(size=(12, 4)), "paths": paths}))
        arrays = {"log_probability": log_probability, "log_runner_up": rival, "paths": paths}
        classified.append((name, number, arrays))
        scored.append((name, number, {"score": draws.normal(size=12), "paths": paths}))
    for file, groups in {"e.h5": embedded, "p.h5": classified, "s.h5": scored}.items():
        write_shard(tmp_path / file, {}, groups)
    (tmp_path / "theirs.txt").write_text("".join(f"{path}\n" for g in embedded for path in g[2]["paths"]))
    options = {"features": "e.h5", "probabilities": "p.h5", "scores": "s.h5"}
    return [word for name, file in options.items() for word in (f"--{name}", tmp_path / file)]


@pytest.mark.parametrize("kind", SETTINGS)
def test_every_kind_chooses_as_many_images_as_asked_and_the_same_again(everything, tmp_path, kind):
    words = [*everything, "--kind", kind]
    if "file" in needs(kind):
        words += ["--file", tmp_path / "theirs.txt"]
    own_budget = SETTINGS[kind].budget
    words += [] if own_budget else ["--budget", 5]
    tables = []
    for output in (tmp_path / "one.csv", tmp_path / "two.csv"):
        call(select, *words, "--output", output)
        tables.append(output.read_text())
    assert tables[0] == tables[1]
    chosen = [(row["class"], row["path"]) for row in csv.DictReader(tables[0].splitlines())]
    assert len(set(chosen)) == len(chosen) == 2 * {"": 5, "all": 12, "zero": 0}[own_budget]

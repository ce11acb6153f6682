"""The JSON schema is current, named by every config and true of it; the complete config is the same study."""

import json
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from commands import call
from condense.base.errors import InputError
from condense.config import study
from condense.config.document import complete, describe, fingerprint, read_config, record_config, schema

ROOT = Path(__file__).parents[2]
SCHEMA = ROOT / "docs/config.schema.json"
CONFIGS = [ROOT / "config.yaml", ROOT / "tests/tiny/config.yaml", *ROOT.glob("examples/*/config.yaml")]


def read(path: Path) -> dict:
    """A config as JSON has it: keys are text."""
    return json.loads(json.dumps(yaml.safe_load(path.read_text())))


def faults(config: dict) -> list[str]:
    return [fault.message for fault in Draft202012Validator(describe()).iter_errors(config)]


def test_the_schema_is_that_of_the_settings(tmp_path):
    call(schema, "--output", tmp_path / "s.json")
    assert SCHEMA.read_text() == (tmp_path / "s.json").read_text(), (
        "settings changed: run python -m condense schema --output docs/config.schema.json"
    )


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.parent.name)
def test_every_config_names_the_schema_in_its_first_line_and_obeys_it(path):
    named = path.read_text().splitlines()[0].removeprefix("# yaml-language-server: $schema=")
    assert (path.parent / named).resolve() == SCHEMA
    assert faults(read(path)) == []


@pytest.mark.parametrize(
    "change",
    [
        {"seedz": [0]},
        {"seeds": [0, 0]},
        {"methods": {"gadc": {"encoder": "cnn"}}},
        {"methods": {"gadc": {"select": "gadc"}}},
        {"methods": {"gadc": {"kind": "gadc", "capacity": 0.5}}},
        {"methods": {"random": {"kind": "random", "alpha": 1}}},
        {"students": {"convnet": {"resolution": 8, "training": {"recipe": "dcc"}}}},
        {"students": {"convnet": {"resolution": 8, "training": {"epoch": 3}}}},
        {"generators": {"sit": {"weights": {"generator": "sit-tiny"}, "resolution": 8}}},
    ],
)
def test_what_the_study_refuses_by_itself_the_schema_refuses_too(change):
    config = read(ROOT / "examples/digits/config.yaml") | change
    assert faults(config)
    with pytest.raises(InputError):
        study.load(config)


def test_another_default_is_another_config():
    given = study.load(read(ROOT / "tests/tiny/config.yaml"))
    before = fingerprint(given)
    sit = given.generators["sit"].training
    object.__setattr__(sit, "class_dropout", 0.5)
    assert fingerprint(given) != before


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.parent.name)
def test_the_complete_config_is_the_same_study_with_nothing_left_out(path, tmp_path):
    given = yaml.safe_load(path.read_text())
    call(record_config, "--config", json.dumps(given), "--output", tmp_path / "config.yaml")
    whole = yaml.safe_load((tmp_path / "config.yaml").read_text())
    assert study.load(whole) == study.load(given)
    assert complete(study.load(whole)) == whole
    assert faults(read(tmp_path / "config.yaml")) == []
    assert whole["images"]["unreadable"] == "fail" and whole["sample_shards"] > 0
    trained = [part for part in whole["generators"].values() if "training" in part]
    assert all(part["training"]["class_dropout"] == 0.1 for part in trained)
    assert list(whole["methods"]) == list(given["methods"])


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (b"a: 1\nb: [2\n", "line 3: "),
        (b"a: 1\nb: {c: 2, c: 3}\n", "line 2: c stands twice"),
        ("a: gr\u00f6\u00dfer".encode("latin-1"), "is not text in UTF-8"),
        (b"- a\n", "holds no keys"),
        (b"? [a]\n: 1\n", "line 1: found unhashable key"),
        (b"", "holds no keys"),
    ],
)
def test_a_config_that_is_none_is_a_sentence_with_its_line(tmp_path, text, sentence):
    (tmp_path / "config.yaml").write_bytes(text)
    with pytest.raises(InputError) as caught:
        read_config(tmp_path / "config.yaml")
    assert sentence in str(caught.value) and "\n" not in str(caught.value)


def test_a_config_may_merge_what_it_repeats(tmp_path):
    (tmp_path / "config.yaml").write_text("a: &a { b: 1, c: 2 }\nd: { <<: *a, c: 3 }\n")
    assert read_config(tmp_path / "config.yaml")["d"] == {"b": 1, "c": 3}

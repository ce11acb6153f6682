"""Whatever a config says, it is a study or one plain sentence."""

import copy
import datetime
import math
import re
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from condense.base.errors import InputError
from condense.config import study as studies
from condense.config.options import build
from condense.config.settings import Images, Method, Training
from condense.plan.plan import Plan
from sources import ROOT

EXAMPLES = ("digits", "digits-students", "imagenette-students")
CONFIGS = [yaml.safe_load((ROOT / f"examples/{name}/config.yaml").read_text()) for name in EXAMPLES]
CONFIGS += [yaml.safe_load((ROOT / "tests/tiny/config.yaml").read_text())]
# words of the library that checks, and of Python
JARGON = re.compile(
    r"\n|Input should|Extra inputs|Field required|Value error|Unable to|type=|pydantic|dataclass|nullable"
    r"|<class|\[key\]|validation error|names ''|\bNone\b|\bTrue\b|Traceback"
)
STRANGE = st.one_of(
    st.sampled_from([None, True, "", " ", "none", "all", "$_^$", "[my photos]", "../x", "10", -1, 0, 1, 2.5])
    | st.sampled_from([10**30, math.nan, math.inf, datetime.date(2026, 1, 1), b"x"])
    | st.sampled_from([[], {}, [None], [[1]], [[1, 2], [3]], {"a": None}, {None: 1}, {True: 1}, {3: {4: 5}}]),
    st.text(st.characters(min_codepoint=33, max_codepoint=0x2FF, exclude_characters="/'\""), max_size=6),
    st.integers(-5, 5000),
    st.floats(),
)


def spoil(draw: Any, config: Any) -> None:
    """Replace, remove or add something at one place of a config."""
    place = config
    while True:
        keys = [*place] if isinstance(place, dict) else [*range(len(place))]
        key = draw(st.sampled_from(keys)) if keys else None
        inner = place[key] if keys else None
        if not isinstance(inner, dict | list) or not inner or draw(st.integers(0, 4)) == 0:
            break
        place = inner
    what = draw(st.sampled_from(["replace", "replace", "remove", "add"])) if keys else "add"
    if what == "replace":
        place[key] = copy.deepcopy(draw(STRANGE))
    elif what == "remove":
        del place[key]
    elif isinstance(place, dict):
        place[draw(st.sampled_from(["kind", "mine", "weights", 10, None, True, ""]))] = copy.deepcopy(
            draw(STRANGE)
        )
    else:
        place.append(copy.deepcopy(draw(STRANGE)))


@settings(max_examples=400, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_a_strange_config_is_a_study_or_one_plain_sentence(data: st.DataObject) -> None:
    config = copy.deepcopy(data.draw(st.sampled_from(CONFIGS)))
    for _ in range(data.draw(st.integers(1, 2))):
        spoil(data.draw, config)
    try:
        Plan(config) if config.get("images") == {"source": "digits"} else studies.load(config)
    except InputError as error:
        check(str(error))


def check(sentence: str) -> None:
    """A sentence names the config and has no word that only a programmer knows."""
    assert sentence.startswith("config.yaml: ") and sentence.endswith("."), sentence
    assert not JARGON.search(sentence), sentence
    assert len(sentence) < 600, sentence


@pytest.mark.parametrize("config", [None, 3, "text", [], {}, {None: 1}, {"images": None}])
def test_no_config_at_all_is_one_plain_sentence(config: Any) -> None:
    with pytest.raises(InputError) as caught:
        studies.load(config)
    check(str(caught.value))


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("images.root", ["my photos"], 'images.root: must be text (given: ["my photos"])'),
        ("images.validation", [1], "images.validation: must be a number or text (given: [1])"),
        ("shards", None, "shards: must be a whole number (given: nothing)"),
        ("shards", 1_000_000, "shards: must be at most 4096 (given: 1000000)"),
        ("shards", 2.5, "shards: must be a whole number (given: 2.5)"),
        ("budgets", {10: 10}, "budgets.10: must be text, as every name: write it in quotes"),
        ("budgets", {"a/b": 10}, "budgets.a/b: must be of letters, digits and dashes"),
        ("budgets", [10], "budgets: must be keys with values (given: [10])"),
        ("encoders.cnn", 3, "encoders.cnn: must be keys with values (given: 3)"),
        (
            "encoders.cnn.kind",
            "keras",
            "encoders.cnn.kind: must be 'timm', 'torchvision', 'fit', 'untrained' or 'fid'",
        ),
        ("methods.gadc", 3, "methods.gadc: "),
        ("methods.gadc.encoder", "", "methods.gadc.encoder is missing; give a name that is defined"),
        ("methods.gadc.kind", None, "methods.gadc.kind: nothing is none of"),
        ("methods.gadc.gadc", 3, "methods.gadc.gadc is not a known key"),
        ("methods.gadc.kind", ["gadc"], 'methods.gadc.kind: ["gadc"] is none of'),
        ("comparisons.100.methods", [], "comparisons.100.methods: must list at least 1 (given: [])"),
        ("students.a", {"resolution": 8, "training": {"batch": "x"}}, "students.a.training.batch: must be a"),
        (
            "students.a",
            {"resolution": 8, "training": {"batch": [[1, 2], [3]]}},
            "students.a.training.batch.1.1 is missing",
        ),
        ("generators.b", {"weights": {"step": 3}}, "generators.b.weights.generator is missing"),
        (
            "generators.b",
            {"weights": {"generator": "dit-tiny", "step": 3}},
            "b.weights.step 3 is no milestone of dit-tiny, which keeps none",
        ),
        ("generators.b", {"weights": {"generator": ["sit-tiny"]}}, "which is no generator with a training"),
        ("generators.b", {"weights": {"generator": "sit-tiny"}, "sampling": 3}, "sampling: must be keys"),
    ],
)
def test_what_is_wrong_is_said_in_plain_words(key: str, value: Any, sentence: str) -> None:
    config = copy.deepcopy(CONFIGS[0])
    *way, last = key.split(".")
    place = config
    for word in way:
        place = place.setdefault(word, {})
    place[last] = value
    with pytest.raises(InputError) as caught:
        studies.load(config)
    assert sentence in str(caught.value)
    check(str(caught.value))


@pytest.mark.parametrize(
    ("cls", "values", "sentence"),
    [
        (Training, {"steps": "many"}, '--steps must be a whole number (given: "many").'),
        (Training, {"steps": -1}, "--steps must be at least 0 (given: -1)."),
        (Method, {"kind": "randon"}, "kind: 'randon' is none of"),
        (Method, {"kind": "random", "alpha": 1}, "--alpha is no option of random; leave it out."),
        (Images, {"validation": 2.0}, "a share of `validation` lies between 0 and 1."),
    ],
)
def test_a_faulty_option_is_said_in_plain_words(cls: Any, values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError) as caught:
        build(cls, values)
    assert sentence in str(caught.value) and not JARGON.search(str(caught.value))

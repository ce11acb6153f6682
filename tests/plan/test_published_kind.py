"""A published value belongs to a made set of the papers' own settings alone."""

import pytest
import yaml

from condense.plan.layout import published_kind
from condense.plan.plan import Plan
from sources import ROOT

RELEASED = {"scope": "global", "reference": "teacher", "student": "soft"}


@pytest.mark.parametrize(
    ("made", "doped", "expected"),
    [
        ({}, {}, ("nopt", "")),
        ({}, RELEASED, ("nopt", "doped")),
        ({"seed": 3, "runs": 20, "projector_seed": 1}, RELEASED, ("nopt", "doped")),
        ({"mode": "fast"}, RELEASED, ("", "")),
        ({"weight": 5e-3}, {}, ("", "")),
        ({"data": False}, {}, ("nopt-free", "")),
        ({"data": False, "templates": 100}, {}, ("", "")),
        ({"checkpoint": None}, {}, ("", "")),
        ({"guidance": 2}, {}, ("", "")),
    ],
)
def test_a_made_set_has_a_published_kind_only_with_the_papers_settings(made, doped, expected):
    config = yaml.safe_load((ROOT / "examples/distil/config.yaml").read_text())
    config["students"] = {
        "hard": {"resolution": 8},
        "soft": {"resolution": 8, "training": {"recipe": "dsco-soft"}, "labels": {"teachers": ["hard"]}},
    }
    nopt = {"kind": "nopt", "generator": "dit", "checkpoint": "dit.pt"} | made
    dope = {"kind": "doped", "made": "nopt", "made_budget": "100", "student": "hard"} | doped
    config["methods"] = {"full": {"kind": "full"}, "nopt": nopt, "dope": dope}
    config["comparisons"] = {"100": {"methods": ["nopt"], "students": ["hard"]}}
    config["generators"] = {"dit": config["generators"]["dit"]}
    study = Plan(config | {"tables": {}}).study
    assert (published_kind(study, "nopt"), published_kind(study, "dope")) == expected
    assert published_kind(study, "full") == "full"

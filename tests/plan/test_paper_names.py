"""A made set has a paper's name only where generator and chain are the papers'; figures are read by it."""

import pytest
import yaml

from condense.config import published, study
from condense.plan.paper_names import published_kind
from sources import ROOT


@pytest.fixture
def config() -> dict:
    """The digits' study with imported generators beside its own."""
    found = yaml.safe_load((ROOT / "examples/digits/config.yaml").read_text())
    tuned = {"generator": "dit-tiny", "checkpoint": "data/dit.pt"}
    found["generators"] |= {
        "minimax": {"finetune": tuned},
        "ims3": {"finetune": tuned | {"inversion": "code"}},
        "other": {"finetune": tuned | {"inversion": "ddim"}},
        "longer": {"finetune": tuned | {"epochs": 9}},
        "own": {"finetune": {"generator": "dit-tiny"}},
    }
    for name in ("minimax", "ims3", "other", "longer", "own", "dit-tiny"):
        found["methods"][f"of-{name}"] = {"kind": "samples", "generator": name, "seed": 4}
    found["methods"]["dit"] = {"kind": "samples", "generator": "dit-tiny", "checkpoint": "data/dit.pt"}
    found["methods"]["weak"] = found["methods"]["dit"] | {"guidance": 2}
    found["methods"]["both"] = {"kind": "groups", "drawn_by": "of-ims3", "encoder": "cnn", "seed": 3}
    found["methods"]["summed"] = found["methods"]["both"] | {"pairs": "sum"}
    found["methods"]["of-real"] = {"kind": "groups", "drawn_by": "random", "encoder": "cnn"}
    return found


def test_a_set_is_known_by_generator_chain_and_choice(config):
    loaded = study.load(config)
    expected = {"random": "random", "dit": "samples", "of-minimax": "minimax", "of-ims3": "minimax+im"}
    expected |= {"both": "minimax+im+s3"}
    expected |= dict.fromkeys(["of-other", "of-longer", "of-own", "of-dit-tiny"], "")
    expected |= dict.fromkeys(["weak", "summed", "of-real"], "")
    assert {name: published_kind(loaded, name) for name in expected} == expected


def test_published_accuracies_are_whole_and_of_known_sources():
    rows = published.values("student")
    keys = [tuple(value for key, value in row.items() if key not in ("value", "deviation")) for row in rows]
    assert len(set(keys)) == len(keys)
    for row in rows:
        assert row["source"] in published.ORDER and 0 < float(row["value"]) < 100
        assert row["labels"] in ("hard", "soft", "") and row["metric"] == "accuracy"


def test_figures_of_which_sources_contradict_each_other_say_so():
    notes = {row["value"]: row["note"] for row in published.values("student") if row["source"] == "IMS3"}
    assert "other notes say 38.7" in notes["37.3"] and "other notes say 79.8" in notes["62.9"]
    assert "contradict each other" in published.notes("ims3", {"student"})[0]

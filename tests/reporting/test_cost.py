"""What a run cost, from benchmark files: of each method the stages that it needs, and no others."""

from pathlib import Path

import pytest
import yaml

from condense.config import study
from condense.plan.layout import table_layout
from condense.reporting.cost import run_costs

ROOT = Path(__file__).parents[2]
SECONDS = {  # of each benchmark file below results/benchmarks
    "embed/cnn/1-of-2": 1,
    "embed/cnn/2-of-2": 2,
    "embed/judge/1-of-2": 400,
    "classify/cnn/1-of-2": 10,
    "margins/cnn": 20,
    "difficulty/d2c/1-of-2": 40,
    "train/sit-tiny/ccs/100/seed0": 3600,
    "generate/sit-tiny/ccs/100/seed0/1-of-1": 1800,
} | {f"select/{method}/100/1-of-2": 100 for method in ("random", "k-center", "ccs", "d2c", "gadc")}


@pytest.fixture
def benchmarks(tmp_path):
    for name, seconds in SECONDS.items():
        path = tmp_path / f"{name}.tsv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"s\tmax_rss\n{seconds}\t{seconds}\n")
    return tmp_path


def costs(benchmarks: Path, method: str, **settings) -> dict:
    config = yaml.safe_load((ROOT / "examples/digits/config.yaml").read_text())
    config["methods"][method] |= settings
    entries = table_layout(study.load(config), "cost").entries
    entry = next(entry for entry in entries if entry.run.method == method)
    names = {"generator": "sit-tiny", "origin": "sit-tiny", "budget": "100", "seed": "0"}
    encoder = entry.paths[0][1]
    return run_costs(benchmarks, "generator", 2, entry.needs, method=method, encoder=encoder, **names)


@pytest.mark.parametrize(
    ("method", "settings", "features", "selection"),
    [
        ("random", {}, None, 100),
        ("k-center", {}, 3, 100),
        ("gadc", {}, 13, 100),
        ("gadc", {"beta": 0}, 3, 100),
        ("ccs", {}, 13, 100),
        ("ccs", {"margin": "accumulated"}, 3, 120),
        ("d2c", {}, None, 140),
    ],
)
def test_a_method_costs_the_stages_that_it_needs(benchmarks, method, settings, features, selection):
    found = costs(benchmarks, method, **settings)
    assert (found["feature_seconds"], found["selection_seconds"]) == (features, selection)


def test_the_rest_of_a_run_is_counted_by_its_own_files(benchmarks):
    found = costs(benchmarks, "ccs", margin="accumulated")
    assert found["training_seconds"] == 3600 and found["sampling_seconds"] == 1800
    assert found["gpu_hours"] == 2 * 1.5 and found["peak_memory"] == 3600
    assert found["scoring_seconds"] is None

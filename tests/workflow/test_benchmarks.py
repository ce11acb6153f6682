"""Benchmarks run: at their smallest, so that no change of the package leaves one behind."""

import os
import subprocess
import sys

import pytest

from sources import ROOT

SMALLEST = {
    "synthesis": ["--images", "1", "--classes", "1"],
    "groups": ["--classes", "3", "--groups", "2", "--width", "8"],
}


@pytest.mark.parametrize("name", SMALLEST)
def test_a_benchmark_prints_its_figures(name):
    command = [sys.executable, ROOT / "benchmarks" / f"{name}.py", *SMALLEST[name]]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "workflow")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) > 2 and "nan" not in done.stdout

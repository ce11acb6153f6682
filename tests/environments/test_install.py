"""Each environment, installed from nothing into a fresh virtual environment: some ten minutes in all."""

import os
import subprocess
import tempfile
import venv
from pathlib import Path

import pytest
from needs import NAMES, commands, packages, pinned

from sources import ROOT

pytestmark = pytest.mark.install


@pytest.mark.parametrize("name", NAMES)
def test_an_environment_installs_from_nothing_and_runs_its_rules_commands(name):
    with tempfile.TemporaryDirectory() as folder:  # not pytest's, which stays: six of them fill a disk
        venv.create(folder, with_pip=True)
        python = Path(folder) / "bin" / "python"
        call(python, "-m", "pip", "install", "--quiet", "--no-compile", *pinned(name))
        call(python, "-c", "import " + ", ".join(sorted(packages(name))))
        for command in commands(name):
            assert command in call(python, "-m", "condense", command, "--help")


def call(*words: str | Path) -> str:
    """Standard output of a command that must succeed, with this package to be found."""
    environment = os.environ | {"PYTHONPATH": str(ROOT / "workflow")}
    done = subprocess.run(words, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout

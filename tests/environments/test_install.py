"""Each environment, installed into a fresh virtual environment; torch, most of the bytes, is shared."""

import os
import subprocess
import tempfile
import venv
from importlib.metadata import distributions
from pathlib import Path

import pytest
from needs import NAMES, commands, packages, pinned

from sources import ROOT

pytestmark = pytest.mark.install


HEAVY = ("torch", "torchvision", "triton", "nvidia-", "cuda-")


@pytest.fixture(scope="module")
def heavy(tmp_path_factory) -> Path:
    """Links to torch and what it brings, as installed here; pip takes what has the pinned version."""
    folder = tmp_path_factory.mktemp("heavy")
    for found in distributions():
        if found.name.startswith(HEAVY):
            for top in {file.parts[0] for file in found.files if file.parts[0] != ".."}:
                place = folder / top
                if not place.is_symlink():
                    place.symlink_to(found.locate_file(top))
    return folder


@pytest.mark.parametrize("name", NAMES)
def test_an_environment_installs_and_runs_its_rules_commands(name, heavy):
    with tempfile.TemporaryDirectory() as folder:  # not pytest's, which stays: eight of them fill a disk
        venv.create(folder, with_pip=True)
        python = Path(folder) / "bin" / "python"
        (own,) = Path(folder).glob("lib/python*/site-packages")
        (own / "heavy.pth").write_text(f"{heavy}\n")
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

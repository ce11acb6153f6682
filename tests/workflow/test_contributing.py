"""The places and tests that CONTRIBUTING.md names are there, and so are those of every stage."""

import re
from importlib import import_module

import pytest

from condense.__main__ import COMMANDS
from sources import PACKAGE, ROOT, RULES

TEXT = (ROOT / "CONTRIBUTING.md").read_text()
TESTS = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`(test_\w+)`", TEXT))))
def test_every_test_that_is_named_exists(name):
    assert f"def {name}(" in TESTS


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`([\w/.]+\.(?:py|md|json|yaml))`", TEXT))))
def test_every_file_that_is_named_exists(name):
    assert (ROOT / name).is_file() or (PACKAGE / name).is_file()


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_its_function(name):
    assert getattr(import_module(f"condense.{COMMANDS[name]}"), name.replace("-", "_")).__doc__


def test_the_readme_names_every_stage():
    layout = re.findall(r"^\| `\w+` \| .* \| ([\w, ]*)\|$", (ROOT / "README.md").read_text(), re.MULTILINE)
    stages = [stage.strip() for cell in layout for stage in cell.split(",") if stage.strip()]
    assert sorted(stages) == sorted(path.stem for path in (ROOT / "workflow/rules").glob("*.smk"))
    assert len(RULES) >= len(stages)

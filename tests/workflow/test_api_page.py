"""What the pages show of Python runs, and the functions that they name have the arguments that they say."""

import inspect
import re
from importlib import import_module
from pathlib import Path

import pytest

from condense.config.settings import Network
from condense.config.students import StudentNetwork
from condense.diffusion.generator import Description, write_generator
from condense.diffusion.transformer import build as build_generator
from condense.images.preprocess import Preprocess
from condense.students.networks import build as build_student
from condense.students.student import write_student
from sources import ROOT

PAGE = (ROOT / "docs/api.md").read_text()


def snippets(page: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)


def write_models(folder: Path) -> None:
    """A student and a generator as they are before any training."""
    network, seen = StudentNetwork(depth=2, width=8), Preprocess(side=8, resize=8)
    weights = {"best": build_student(network, 8, 3).state_dict()}
    write_student(folder / "student.safetensors", network, seen, ["a", "b", "c"], weights)
    network = Network(width=16, depth=1, heads=2, patch=2)
    weights = build_generator(network, (3, 8, 8), 3, learn_sigma=False).state_dict()
    about = Description(objective="flow", network=network, classes=3, shape=(3, 8, 8))
    write_generator(folder / "generator.safetensors", about, weights)


@pytest.mark.parametrize("name", ["api.md", "selection.md"])
def test_the_snippets_of_a_page_run_in_their_order(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_models(tmp_path)
    names: dict[str, object] = {}
    code = snippets((ROOT / "docs" / name).read_text())
    assert len(code) > 1
    for part in code:
        exec(compile(part, name, "exec"), names)


@pytest.mark.parametrize("written", re.findall(r"^### `(.*)`$", PAGE, re.MULTILINE))
def test_a_function_has_the_arguments_that_the_page_says(written: str) -> None:
    module, name, arguments = re.fullmatch(r"(condense\.[\w.]+)\.(\w+)\((.*)\)", written).groups()
    function = getattr(import_module(module), name)
    assert [*inspect.signature(function).parameters] == arguments.split(", ")
    assert inspect.getdoc(function), "a public function is explained"


def test_the_readme_leads_to_the_page() -> None:
    assert "docs/api.md" in (ROOT / "README.md").read_text()

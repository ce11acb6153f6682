"""The layout holds: one rule, one command; every rule documented, logged, pinned; modules small."""

import ast
import re
from pathlib import Path

import pytest
import yaml

from gadc.__main__ import COMMANDS

ROOT = Path(__file__).parents[1]
RULES = {
    match[1]: match[2]
    for path in sorted((ROOT / "workflow" / "rules").glob("*.smk"))
    for match in re.finditer(r"^rule (\w+):\n((?:[ \t].*\n|\n)+)", path.read_text(), re.MULTILINE)
}
MODULES = sorted((ROOT / "workflow" / "gadc").glob("*.py"))


@pytest.mark.parametrize("name", RULES)
def test_a_rule_has_all_its_parts(name):
    body = RULES[name]
    assert re.match(r'\s+"""[A-Z].+\."""', body), "no docstring"
    assert re.search(rf'log:\s+"logs/{name}[/.]', body), "no log of its name"
    environment = re.search(r'conda:\s+"\.\./\.\./(envs/\w+\.yaml)"', body)
    assert environment and (ROOT / environment[1]).exists(), "no environment"
    assert re.search(r"threads: 1\n", body), "threads are not fixed"
    assert re.search(r"code=code\(", body), "an edited formula would rerun nothing"


@pytest.mark.parametrize("name", RULES)
def test_a_rule_runs_the_command_of_its_name(name):
    command = re.search(r'"exec python -m gadc (?:--threads \d+ )?([\w-]+) ', RULES[name])
    assert command and command[1] == name.replace("_", "-")
    assert command[1] in COMMANDS


def test_rule_files_hold_no_function_and_open_with_inputs_outputs_steps():
    for path in (ROOT / "workflow" / "rules").glob("*.smk"):
        text = path.read_text()
        assert not re.search(r"^\s*def ", text, re.MULTILINE), path
        head = text.split("\n\n")[0]
        assert "Input" in head and "Output" in head and "Steps" in head, path


def test_the_snakefile_includes_every_rule_file():
    included = re.findall(r'include: "workflow/rules/(\w+)\.smk"', (ROOT / "Snakefile").read_text())
    assert sorted(included) == sorted(path.stem for path in (ROOT / "workflow" / "rules").glob("*.smk"))


def test_environments_pin_the_versions_of_requirements():
    pinned = set((ROOT / "requirements.txt").read_text().split())
    for path in (ROOT / "envs").glob("*.yaml"):
        *_, pip = yaml.safe_load(path.read_text())["dependencies"]
        assert pip["pip"] and set(pip["pip"]) <= pinned, path


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_modules_and_functions_are_small(path):
    text = path.read_text()
    assert text.count("\n") <= 260
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno - node.lineno < 60, node.name


def test_the_package_imports_no_snakemake():
    for path in MODULES:
        imported = {
            name.split(".")[0]
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Import | ast.ImportFrom)
            for name in [getattr(node, "module", None) or "", *(alias.name for alias in node.names)]
        }
        assert "snakemake" not in imported, path

"""The layout holds: one rule, one command; every rule documented, logged, pinned; modules small."""

import ast
import re
from collections import Counter

import pytest
import yaml

from condense.__main__ import COMMANDS
from sources import MODULES, PACKAGE, ROOT, RULES, command, digested, dotted, environment, imports


@pytest.mark.parametrize("name", RULES)
def test_a_rule_has_all_its_parts(name):
    body = RULES[name]
    assert re.match(r'\s+"""[A-Z].+\."""', body), "no docstring"
    assert re.search(rf'log:\s+"logs/{name}[/.]', body), "no log of its name"
    assert (ROOT / "envs" / f"{environment(name)}.yaml").exists()
    assert re.search(r"threads: 1\n", body), "threads are not fixed"


@pytest.mark.parametrize("name", RULES)
def test_a_rule_runs_the_command_of_its_name(name):
    assert command(name) == name.replace("_", "-")
    assert command(name) in COMMANDS
    assert digested(name) == f"{COMMANDS[command(name)]}.{name}", "an edited formula would rerun nothing"


@pytest.mark.parametrize(
    "name", sorted(RULES.keys() - {"select", "synthesise", "choose_groups", "dope", "merge_subset"})
)
def test_what_is_made_for_a_subset_names_it_so_that_it_is_decided_anew_when_the_subset_is_there(name):
    inputs, outputs = re.search(r"input:(.*?)output:(.*?)log:", f"input:{RULES[name]}", re.DOTALL).groups()
    if "{method}/{budget}" in outputs:
        assert 'subset="results/subsets/{method}/{budget}.csv"' in inputs


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


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_modules_and_functions_are_small(path):
    text = path.read_text()
    assert text.count("\n") <= 250
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno - node.lineno <= 50, node.name


def test_the_package_imports_no_snakemake():
    for path in MODULES:
        assert "snakemake" not in {name.split(".")[0] for name in imports(path)}, path


ROOMS = [  # imports go only to rooms that stand above
    *("base", "config", "transport", "images", "encoders", "diffusion", "training", "scoring", "selection"),
    *("students", "synthesis", "reporting", "plan"),
]


def test_every_folder_is_a_room_and_says_in_a_line_what_for():
    rooms = {path.parent.name: path.read_text() for path in PACKAGE.glob("*/__init__.py")}
    assert sorted(rooms) == sorted(ROOMS)
    for name, text in rooms.items():
        assert re.fullmatch(r'""".+\."""\n', text), name


@pytest.mark.parametrize("path", sorted(PACKAGE.glob("*/*.py")), ids=dotted)
def test_imports_go_only_to_rooms_above(path):
    above = ROOMS[: ROOMS.index(path.parent.name) + 1]
    for name in imports(path):
        if name.startswith("condense."):
            assert name.split(".")[1] in above, name


def test_tests_stand_in_the_room_of_what_they_test():
    for path in (ROOT / "tests").glob("*/test_*.py"):
        assert path.parent.name in (*ROOMS, "workflow", "environments", "slurm"), path


def test_the_readme_names_every_room():
    named = re.findall(r"^\| `(\w+)` \|", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert named == ROOMS


def test_no_two_classes_share_a_name():
    trees = [ast.parse(path.read_text()) for path in MODULES]
    names = Counter(node.name for tree in trees for node in tree.body if isinstance(node, ast.ClassDef))
    assert [name for name, count in names.items() if count > 1] == []

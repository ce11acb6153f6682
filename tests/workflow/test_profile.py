"""The profile for SLURM asks for a GPU wherever a stage can use one."""

import ast
from collections.abc import Iterator
from functools import cache

import pytest
import yaml

from condense.__main__ import COMMANDS
from sources import PACKAGE, ROOT, RULES, command

PROFILE = yaml.safe_load((ROOT / "profiles" / "slurm" / "config.yaml").read_text())["set-resources"]
DEFINITIONS = (ast.FunctionDef, ast.ClassDef)
Place = tuple[str, str]  # module and name


@cache
def tree(module: str) -> ast.Module:
    """Syntax of a module of the package."""
    return ast.parse(PACKAGE.joinpath(*module.split(".")).with_suffix(".py").read_text())


@cache
def defined(module: str) -> dict[str, ast.AST]:
    """Functions and classes at the top of a module."""
    return {node.name: node for node in tree(module).body if isinstance(node, DEFINITIONS)}


@cache
def imported(module: str) -> dict[str, Place]:
    """What a module imports from the package, by the name it has there; of a module the second part is ""."""
    found = {}
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.ImportFrom) and node.module.startswith("condense."):
            origin = node.module.removeprefix("condense.")
            for alias in node.names:
                place = (f"{origin}.{alias.name}", "") if "." not in origin else (origin, alias.name)
                found[alias.asname or alias.name] = place
    return found


def called(module: str, name: str) -> Iterator[Place]:
    """Functions and classes of the package that one of them names."""
    for node in ast.walk(defined(module)[name]):
        if isinstance(node, ast.Name):
            place = (module, node.id) if node.id in defined(module) else imported(module).get(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            origin, attribute = imported(module).get(node.value.id, ("", "")), node.attr
            place = (origin[0], attribute) if origin[0] and not origin[1] else None
        else:
            continue
        if place and place[1] and place[1] in defined(place[0]):
            yield place


def can_use_a_gpu(word: str) -> bool:
    """Whether a command, or anything that it calls, asks whether there is a GPU."""
    found, waiting = set(), {(COMMANDS[word], word.replace("-", "_"))}
    while waiting:
        place = waiting.pop()
        found.add(place)
        waiting |= set(called(*place)) - found
    return any("cuda.is_available()" in ast.unparse(defined(module)[name]) for module, name in found)


# the command runs a network on images alone, and the rule gives it features that are there
CACHED = {"score": "--features {input.features}"}
USING = [name for name in RULES if can_use_a_gpu(command(name)) and name not in CACHED]


@pytest.mark.parametrize("name", CACHED)
def test_a_rule_without_a_gpu_gives_its_command_what_needs_none(name):
    assert CACHED[name] in RULES[name]


def test_the_stages_that_run_networks_are_among_those_that_can_use_a_gpu():
    assert {"embed", "reference", "reference_batch", "detect", "latents", "captions", "patches"} <= {*USING}
    assert {"train", "generate", "difficulty", "select"} <= {*USING}
    assert not {"index", "merge_subset", "table", "pack_report"} & {*USING}


@pytest.mark.parametrize("name", USING)
def test_a_rule_that_can_use_a_gpu_asks_for_it_and_what_goes_with_it(name):
    asked = PROFILE.get(name, {})
    assert "gpu" in asked or "gpu=" in RULES[name]
    assert {"cpus_per_gpu", "mem_mb", "runtime"} <= asked.keys()


@pytest.mark.parametrize("name", PROFILE)
def test_only_rules_that_can_use_a_gpu_ask_for_it(name):
    assert name in USING or not {"gpu", "cpus_per_gpu"} & PROFILE[name].keys()
    assert name in RULES

"""What the rules of an environment import: the modules of their commands, and the packages behind those."""

import ast
import re
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "workflow" / "gadc"
NAMES = [path.stem for path in sorted((ROOT / "envs").glob("*.yaml"))]


def rules(name: str) -> list[tuple[str, list[str]]]:
    """Command of each rule that runs in an environment, and the modules that its code digest names."""
    bodies = [
        body
        for path in sorted((ROOT / "workflow" / "rules").glob("*.smk"))
        for body in re.split(r"^rule ", path.read_text(), flags=re.MULTILINE)[1:]
        if f"envs/{name}.yaml" in body
    ]
    command, modules = r'"exec python -m gadc (?:--threads \d+ )?([\w-]+) ', r"code=code\(([^)]*)\)"
    return [
        (re.search(command, body)[1], re.findall(r'"(\w+)"', re.search(modules, body)[1])) for body in bodies
    ]


def pinned(name: str) -> list[str]:
    """Requirements of an environment's pip section."""
    *_, pip = yaml.safe_load((ROOT / "envs" / f"{name}.yaml").read_text())["dependencies"]
    return pip["pip"]


def packages(name: str) -> set[str]:
    """Packages that the modules of an environment's rules import, at any depth, also inside functions."""
    waiting, seen, found = [module for _, modules in rules(name) for module in modules], set(), set()
    while waiting:
        module = waiting.pop()
        if module in seen:
            continue
        seen.add(module)
        for imported in _imports(PACKAGE / f"{module}.py"):
            top, *rest = imported.split(".")
            if top != "gadc":
                found.add(top)
            elif rest and (PACKAGE / f"{rest[0]}.py").exists():
                waiting.append(rest[0])
    return found - set(sys.stdlib_module_names)


def distributions(name: str) -> set[str]:
    """Names on the package index of what `packages` finds, in lower case."""
    known = packages_distributions()
    return {known[package][0].lower() for package in packages(name)}


def _imports(path: Path) -> list[str]:
    """Dotted names that a file imports."""
    names = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module == "gadc":
            names += [f"gadc.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names.append(node.module)
    return names

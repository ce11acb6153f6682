"""What the rules of an environment import: modules behind their commands, packages behind those."""

import sys
from importlib.metadata import packages_distributions

import yaml

from sources import MODULES, ROOT, RULES, command, digested, dotted, environment, imports

NAMES = [path.stem for path in sorted((ROOT / "envs").glob("*.yaml"))]


def commands(name: str) -> list[str]:
    """Commands of the rules that run in an environment."""
    return [command(rule) for rule in RULES if environment(rule) == name]


def pinned(name: str) -> list[str]:
    """Requirements of an environment's pip section."""
    *_, pip = yaml.safe_load((ROOT / "envs" / f"{name}.yaml").read_text())["dependencies"]
    return pip["pip"]


def packages(name: str) -> set[str]:
    """Packages that the modules of an environment's rules import, at any depth, also inside functions."""
    waiting = [digested(rule).rpartition(".")[0] for rule in RULES if environment(rule) == name]
    modules, seen, found = {dotted(path): path for path in MODULES}, set(), set()
    while waiting:
        module = waiting.pop()
        if module in seen:
            continue
        seen.add(module)
        for imported in imports(modules[module]):
            top, _, rest = imported.partition(".")
            if top != "condense":
                found.add(top)
            elif rest in modules:
                waiting.append(rest)
    return found - set(sys.stdlib_module_names)


def distributions(name: str) -> set[str]:
    """Names on the package index of what `packages` finds, in lower case."""
    known = packages_distributions()
    return {known[package][0].lower() for package in packages(name)}

"""Digest of the code that a result depends on: an edited formula changes it, an edited comment does not."""

import ast
import hashlib
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parents[1]
NAME = "condense"
# their values reach the jobs as options, or they decide what is said and not what is computed
EXCLUDED = {
    *("config.settings", "config.encoders", "config.methods", "config.study", "config.options"),
    *("base.digest", "base.errors", "base.progress", "base.storage", "__main__"),
}


def code(*modules: str) -> str:
    """Digest of modules and of all that they import from the package, without comments and docstrings."""
    every = set().union(*(_reached(module) for module in modules))
    text = "\n".join(f"{module}: {_meaning(module)}" for module in sorted(every))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _reached(module: str) -> set[str]:
    """The module and every module of the package that it imports, at any depth."""
    found, waiting = set(), [module]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += _imports(name) - found
    return found


@cache
def _tree(module: str) -> ast.Module:
    return ast.parse(PACKAGE.joinpath(*module.split(".")).with_suffix(".py").read_text(encoding="utf-8"))


def _imports(module: str) -> set[str]:
    """Modules of the package that a module imports, at its top or inside its functions."""
    names = set()
    for node in ast.walk(_tree(module)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(f"{NAME}."):
            origin = node.module.removeprefix(f"{NAME}.")
            room = "." not in origin
            names |= {f"{origin}.{alias.name}" for alias in node.names} if room else {origin}
    return names - EXCLUDED


@cache
def _meaning(module: str) -> str:
    """Source of a module as a tree without comments, docstrings and positions."""
    tree = _tree(module)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if (
            isinstance(body, list)
            and body
            and isinstance(body[0], ast.Expr)
            and isinstance(body[0].value, ast.Constant)
        ):
            body[0] = ast.Pass()
    return ast.dump(tree)

"""Digest of the code that a result depends on: of what a stage uses, wherever in the package it is defined.

From the stage's function every name is followed to what it stands for. An edited formula changes the digest;
prose, and code that the stage does not use, change nothing.
"""

import ast
import hashlib
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from condense.base.syntax import Module, Uses

# they decide how options are read, files appear and progress is told, and not what is computed
EXCLUDED = {
    *("base.digest", "base.syntax", "base.errors", "base.progress", "base.storage", "base.memory"),
    *("config.options", "__main__"),
}
Place = tuple[str, str]  # module and name; "" is what the module does when it is imported, "*" all of it


def code(start: str, *unused: str) -> str:
    """Digest of what a function, named as room.module.function, uses.

    `unused` are words that the settings of the job rule out, such as the names of other samplers; what
    dictionaries and settings keep for them is not used.
    """
    return PACKAGE.digest(start, *unused)


@dataclass
class Piece:
    """Source of a name, and what it uses: other names, modules as values, attributes of whatever it is."""

    text: str = ""
    places: set[Place] = field(default_factory=set)
    modules: set[str] = field(default_factory=set)
    attributes: set[str] = field(default_factory=set)


class SourceTree:
    """Source of the package below a folder, each module read once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.module, self.piece, self.digest = cache(self._module), cache(self._piece), cache(self._digest)
        self.exists = cache(lambda path: path.is_dir() or path.with_suffix(".py").is_file())

    def used(self, start: str, *unused: str) -> dict[str, str]:
        """Source of all that a function uses by its dotted name, without prose."""
        found: dict[Place, str] = {}
        whole, waiting = Piece(), {self._lead(start)}
        while waiting:
            module, name = waiting.pop()
            piece = Piece()
            if module not in EXCLUDED:
                piece = self.piece(module, name, self.module(module).words.intersection(unused))
            found[module, name] = piece.text
            whole.modules |= piece.modules
            whole.attributes |= piece.attributes
            waiting = (waiting | piece.places) - found.keys() or self._members(whole) - found.keys()
        return {f"{module}.{name}": text for (module, name), text in found.items() if text}

    def _members(self, whole: Piece) -> set[Place]:
        """What may be asked of modules that are handed on as values: whatever is asked of anything."""
        names = ((module, name) for module in whole.modules for name in ("", *self.module(module).bound))
        return {place for place in names if not place[1] or {place[1], "*"} & whole.attributes}

    def _digest(self, start: str, *unused: str) -> str:
        found = sorted(self.used(start, *unused).items())
        return hashlib.sha256(repr(found).encode()).hexdigest()[:16]

    def _module(self, name: str) -> Module:
        path = self.root.joinpath(*name.split("."))
        return Module(path / "__init__.py" if path.is_dir() else path.with_suffix(".py"), name)

    def _lead(self, dotted: str, *beyond: str) -> Place:
        """Where a dotted name leads to; "*" of a module where it ends there."""
        words, depth, path = [*filter(None, dotted.split(".")), *beyond], 0, self.root
        for word in words:
            path /= word
            if not self.exists(path):
                break
            depth += 1
        return ".".join(words[:depth]), words[depth] if words[depth:] else "*"

    def _piece(self, module: str, name: str, unused: frozenset[str]) -> Piece:
        """Source of a name of a module, and what it uses."""
        own = self.module(module)
        if name not in ("", *own.bound, *own.imports):  # all of it, or a name made in a way that is not seen
            return Piece(places={(module, other) for other in ("", *own.bound)})
        if (tags := own.settings.get(name)) and tags <= unused:
            return Piece()
        statements = [own.without(unused, part) for part in (own.bound.get(name, []) if name else own.loose)]
        uses = Uses(statements)
        piece = Piece("\n".join(map(ast.unparse, statements)), {(module, "")}, attributes=uses.attributes)
        for root, *beyond in {*uses.chains, (name,)}:
            if root in own.bound:
                piece.places.add((module, root))
            for target in own.imports.get(root, ()):
                led = self._lead(target, *beyond)
                if led[1] == "*" and "*" not in beyond:
                    piece.modules.add(led[0])
                else:
                    piece.places.add(led)
        for target in () if name else own.silent:  # perhaps imported for what that does
            led = self._lead(target)
            piece.places.add(led if led[1] == "*" else (led[0], ""))
        named = piece.places - {(module, ""), (module, name)}
        if all(map(_is_union, statements)) and all(self._is_settings(*place) for place in named):
            piece.text = ""  # which classes of settings there are decides nothing
        return piece

    def _is_settings(self, module: str, name: str) -> bool:
        """Whether a name stands for a class of settings, or for a union of such."""
        piece = self.piece(module, name, frozenset())
        named = piece.places - {(module, ""), (module, name)}
        union = not piece.text and bool(named) and all(self._is_settings(*place) for place in named)
        return union or name in self.module(module).settings


def _is_union(statement: ast.stmt) -> bool:
    """Whether a statement gives a name to names joined by |."""
    value = getattr(statement, "value", None)
    return isinstance(value, ast.BinOp) and isinstance(value.op, ast.BitOr)


PACKAGE = SourceTree(Path(__file__).parents[1])

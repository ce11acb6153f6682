"""Modules of the package as syntax: what their names stand for, and their statements without prose.

Prose decides no number: comments, docstrings, messages, help texts, annotations. Imports are left out too,
since what they bring in is followed where it is used.
"""

import ast
import builtins
from collections.abc import Collection, Iterable
from copy import deepcopy
from pathlib import Path

NAME = "condense"
SETTINGS = "config.options.settings"  # decorates classes whose values reach the jobs as options
KEEP_NOTHING = {SETTINGS, "config.options.take"}  # other decorators of the package may register what they get
ERRORS, SAY, TRACK = "base.errors.", "base.progress.say", "base.progress.track"


class Module:
    """One module without prose.

    Attributes:
        bound: Statements by the name that they define; a class of settings without its fields.
        loose: Statements that do something when the module is imported.
        settings: The words that the first field can be, of each class of settings.
        imports: Dotted names below the package, by what they are called here.
        silent: Those of them that are never used here.
        words: Keys of dictionaries from words to code of the package, and the words of `settings`.
    """

    def __init__(self, path: Path, dotted: str) -> None:
        tree = ast.parse(path.read_text(encoding="utf-8") if path.is_file() else "")
        nodes = [*ast.walk(tree)]
        self.imports: dict[str, set[str]] = {}
        for name, target in (found for node in nodes for found in _imported(node, dotted)):
            self.imports.setdefault(name, set()).add(target)
        unused = self.imports.keys() - {node.id for node in nodes if isinstance(node, ast.Name)}
        self.silent = {target for name in unused for target in self.imports[name]}
        self.bound: dict[str, list[ast.stmt]] = {name: [] for part in tree.body for name in _bound(part)}
        self.loose: list[ast.stmt] = []
        self.settings: dict[str, set[str]] = {}
        for statement in tree.body:
            self._add(statement)
        self.words = frozenset().union(*self.settings.values(), *map(_words, filter(self._is_table, nodes)))

    def imported(self, node: ast.AST) -> set[str]:
        """What a plain name stands for, if it is imported from the package."""
        return self.imports.get(getattr(node, "id", ""), set())

    def without(self, unused: Collection[str], statement: ast.stmt) -> ast.stmt:
        """A statement whose dictionaries from words to code of the package have no unused words."""
        if unused:
            statement = deepcopy(statement)
            for node in filter(self._is_table, ast.walk(statement)):
                used = [at for at, key in enumerate(node.keys) if key.value not in unused]
                node.keys, node.values = [[parts[at] for at in used] for parts in (node.keys, node.values)]
        return statement

    def _add(self, statement: ast.stmt) -> None:
        """Take in one statement of the module."""
        names = _bound(statement)
        decorators = [item.func if isinstance(item, ast.Call) else item for item in _decorators(statement)]
        if any(SETTINGS in self.imported(item) for item in decorators):
            self.settings[statement.name] = _tags(statement)
            statement.body = [part for part in statement.body if not _is_field(part)]
            if not statement.body + statement.bases:
                return
        plain = _Plain(self).visit(statement)
        kept = any(self._refers(item) and not self.imported(item) & KEEP_NOTHING for item in decorators)
        if plain and (kept or not names):
            self.loose.append(plain)
        for name in names if plain else ():
            self.bound[name].append(plain)

    def _is_table(self, node: ast.AST) -> bool:
        """Whether a node is a dictionary from words to code of the package."""
        return (
            isinstance(node, ast.Dict)
            and all(isinstance(key, ast.Constant) for key in node.keys)
            and all(map(self._refers, node.values))
        )

    def _refers(self, node: ast.AST) -> bool:
        """Whether an expression names anything of the package."""
        names = {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}
        return not names.isdisjoint(self.bound.keys() | self.imports.keys())


class _Plain(ast.NodeTransformer):
    """Takes the prose out of a statement."""

    def __init__(self, module: Module) -> None:
        self.module = module

    def generic_visit(self, node: ast.AST) -> ast.AST:
        super().generic_visit(node)
        if getattr(node, "body", None) == []:
            node.body = [ast.Pass()]
        return node

    def visit_Import(self, node: ast.AST) -> None:
        return None

    visit_ImportFrom = visit_Import

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        said = isinstance(node.value, ast.Call) and SAY in self.module.imported(node.value.func)
        return None if said or isinstance(node.value, ast.Constant) else self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        found = self.module.imported(node.func)
        if TRACK in found and node.args:  # the items, shown on their way
            return self.visit(node.args[0])
        if any(name.startswith(ERRORS) for name in found):
            return ast.Call(node.func, [], [])
        node.keywords = [item for item in node.keywords if item.arg not in ("help", "description")]
        return self.generic_visit(node)

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        name = getattr(getattr(node.exc, "func", None), "id", "")
        if hasattr(builtins, name) and name.endswith("Error"):
            node.exc = node.exc.func
        return self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        return self.generic_visit(node)

    def visit_arg(self, node: ast.arg) -> ast.AST:
        return ast.arg(node.arg)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        for part in node.body:
            part.in_class = True
        return self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST | None:
        if hasattr(node, "in_class"):  # a field: its type is part of what it is
            return self.generic_visit(node)
        return node.value and self.generic_visit(ast.Assign([node.target], node.value, lineno=0))


class Uses(ast.NodeVisitor):
    """What statements use: dotted `chains` that begin with a name, and `attributes` of whatever it is.

    "*" at the end of a chain and among the attributes stands for what is not written there, or for all.
    """

    def __init__(self, statements: Iterable[ast.stmt]) -> None:
        self.chains: set[tuple[str, ...]] = set()
        self.attributes: set[str] = set()
        for statement in statements:
            self.visit(statement)

    def visit_Name(self, node: ast.Name) -> None:
        """A name alone."""
        self.chains.add((node.id,))

    def visit_Attribute(self, node: ast.Attribute) -> None:
        """A dotted name, or an attribute of an expression."""
        names, value = [node.attr], node.value
        while isinstance(value, ast.Attribute):
            names.append(value.attr)
            value = value.value
        self.attributes.update(names)
        if isinstance(value, ast.Name):
            self.chains.add((value.id, *reversed(names)))
        else:
            self.visit(value)

    def visit_Call(self, node: ast.Call) -> None:
        """A call; a built-in function such as `vars` may do anything with a module."""
        name = getattr(node.func, "id", "")
        if hasattr(builtins, name):
            self.chains |= {(part.id, "*") for part in node.args if isinstance(part, ast.Name)}
        if name == "getattr" and not any(isinstance(part, ast.Constant) for part in node.args[1:2]):
            self.attributes.add("*")
        self.generic_visit(node)


def _imported(node: ast.AST, module: str) -> list[tuple[str, str]]:
    """(what it is called here, dotted name below the package) of what an import takes from the package."""
    if isinstance(node, ast.Import):
        ours = [alias for alias in node.names if alias.name.split(".")[0] == NAME]
        return [(alias.asname, alias.name[len(NAME) + 1 :]) if alias.asname else (NAME, "") for alias in ours]
    if isinstance(node, ast.ImportFrom):
        origin = node.module.split(".") if node.module else []
        if node.level:
            origin = [NAME, *module.split(".")[: -node.level], *origin]
        if origin[0] == NAME:
            return [(alias.asname or alias.name, ".".join([*origin[1:], alias.name])) for alias in node.names]
    return []


def _bound(statement: ast.stmt) -> list[str]:
    """Names that a statement defines; none where it does anything else besides."""
    if isinstance(statement, ast.FunctionDef | ast.ClassDef):
        return [statement.name]
    if not isinstance(statement, ast.Assign | ast.AnnAssign | ast.AugAssign):
        return []
    targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
    places = [part for target in targets for part in getattr(target, "elts", [target])]
    return [place.id for place in places] if all(isinstance(place, ast.Name) for place in places) else []


def _words(table: ast.Dict) -> set[str]:
    return {key.value for key in table.keys}


def _decorators(statement: ast.stmt) -> list[ast.expr]:
    return getattr(statement, "decorator_list", [])


def _is_field(part: ast.stmt) -> bool:
    """Whether a part of a class of settings is a setting, or its docstring."""
    if isinstance(part, ast.AnnAssign):
        return "ClassVar" not in ast.unparse(part.annotation)
    return isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant)


def _tags(settings: ast.ClassDef) -> set[str]:
    """Words that the first field of a class of settings can be, where its type lists them."""
    first = next((part for part in settings.body if isinstance(part, ast.AnnAssign)), None)
    listed = ast.walk(first.annotation) if first else ()
    return {part.value for part in listed if isinstance(part, ast.Constant) and isinstance(part.value, str)}

"""The repository's rules and modules, as the tests of its layout read them."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "workflow" / "condense"
MODULES = sorted(PACKAGE.rglob("*.py"))
RULE = re.compile(r"^(?:rule|checkpoint) (\w+):\n((?:[ \t].*\n|\n)+)", re.MULTILINE)
RULES = {
    match[1]: match[2]
    for path in sorted((ROOT / "workflow" / "rules").glob("*.smk"))
    for match in RULE.finditer(path.read_text())
}


def command(rule: str) -> str:
    """Command of the package that a rule runs."""
    return re.search(r'"exec python -m condense (?:--threads \d+ )?([\w-]+) ', RULES[rule])[1]


def environment(rule: str) -> str:
    """Name of the environment that a rule runs in."""
    return re.search(r'conda:\s+"\.\./\.\./envs/(\w+)\.yaml"', RULES[rule])[1]


def digested(rule: str) -> str:
    """Function of the package from which the digest of a rule's code starts, as room.module.function."""
    return re.search(r'code=(?:lambda wildcards: )?code\(\s*"([\w.]+)"', RULES[rule])[1]


def dotted(path: Path) -> str:
    """Name of a module inside the package: its room and its own."""
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


def imports(path: Path) -> list[str]:
    """Dotted names that a file imports, also inside functions; of the package, the modules."""
    names = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and re.fullmatch(r"condense(\.\w+)?", node.module):
            names += [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names.append(node.module)
    return names

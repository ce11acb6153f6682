"""Every setting is explained, and obeyed somewhere."""

import ast
import dataclasses
from typing import get_args

import pytest

from condense.config import settings
from condense.config.settings import Method
from sources import MODULES

CLASSES = {cls for cls in vars(settings).values() if dataclasses.is_dataclass(cls)} | {*get_args(Method)}
FIELDS = {f"{cls.__name__}.{item.name}": item for cls in CLASSES for item in dataclasses.fields(cls)}
WITHOUT_EFFECT = {"dummy_cost"}  # cancels in exact arithmetic


def used() -> set[str]:
    """Names that some module reads from an object or takes as a parameter."""
    found = set()
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute):
                found.add(node.attr)
            elif isinstance(node, ast.arg):
                found.add(node.arg)
    return found


USED = used()


@pytest.mark.parametrize("name", sorted(FIELDS))
def test_a_setting_is_explained_and_obeyed(name):
    item = FIELDS[name]
    assert item.name == "kind" or item.metadata["description"].endswith("."), "say what it does"
    assert item.name in USED or item.name in WITHOUT_EFFECT, "no module obeys it"

"""Folders of installed libraries, found without importing them, which takes seconds."""

from importlib.util import find_spec
from pathlib import Path


def library_folder(name: str) -> Path | None:
    """Folder of a library; None where it is not installed."""
    found = find_spec(name)
    return None if found is None or not found.origin else Path(found.origin).parent

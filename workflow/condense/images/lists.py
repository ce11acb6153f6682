"""Subsets as plain lists of images, to give away and to take in."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

import numpy as np

from condense.base.errors import InputError
from condense.base.storage import replacing
from condense.base.tables import whole_rows


def write_list(paths: Sequence[str], output: Path, prefix: str = "") -> None:
    """One path per line, in the order of the subset."""
    if broken := next((path for path in paths if "\n" in path), None):
        raise InputError(f"The name {broken!r} has a line break, which a list cannot hold: export as json.")
    with replacing(output) as beside:
        beside.write_text("".join(f"{_join(prefix, path)}\n" for path in paths), encoding="utf-8")


def write_json(paths: Sequence[str], output: Path, prefix: str = "") -> None:
    """A JSON array of paths, the form of the GADC release, whose paths start with the image root."""
    with replacing(output) as beside:
        text = json.dumps([_join(prefix, path) for path in paths], indent=4, ensure_ascii=False)
        beside.write_text(text + "\n", encoding="utf-8")


def write_indices(paths: Sequence[str], everything: Sequence[str], output: Path) -> None:
    """npz: `indices` into all images by class and name, `paths`, and `ordering`, a digest of that order.

    The order is that of torchvision's ImageFolder. An index means something only where the digest agrees:
    `hashlib.sha256("\\n".join(paths of all images).encode()).hexdigest()`.
    """
    position = {path: number for number, path in enumerate(everything)}
    if missing := next((path for path in paths if path not in position), None):
        raise InputError(f"The subset's image {missing} is not in the index: export from the same study.")
    with replacing(output) as beside, beside.open("wb") as file:
        np.savez(
            file,
            indices=np.array([position[path] for path in paths], np.int64),
            paths=np.array(paths, str),
            ordering=np.array(ordering(everything)),
        )


def ordering(everything: Iterable[str]) -> str:
    """Digest of the order of all images."""
    return hashlib.sha256("\n".join(everything).encode()).hexdigest()


@cache
def read_list(file: Path) -> dict[str, list[str]]:
    """File names of each class in a list of images, in the order of the list.

    Reads one path per line, a JSON array of paths or mapping of class to file names, a CSV table with a
    column `path`, or npz with `paths`. Of each path the last two parts count: class and file.
    """
    try:
        paths = _READERS.get(file.suffix.lower(), _read_lines)(file)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{file} cannot be read as a list of images ({error!r}): see `condense export`."
        ) from None
    classes: dict[str, list[str]] = {}
    for path in paths:
        *_, name, image = ["", *path.replace("\\", "/").split("/")]
        if not name:
            raise InputError(f"{file} names {path!r} without its class: write class/file.")
        classes.setdefault(name, []).append(image)
    return classes


def choose_listed(name: str, paths: Sequence[str], budget: int, file: str) -> list[int]:
    """Ranked positions among `paths` of the first `budget` images that a list names for class `name`.

    Raises InputError for a list with too few images of the class, with one twice, or with an unknown one.
    """
    listed = read_list(Path(file)).get(name, [])
    if len(listed) < budget:
        raise InputError(
            f"{file} lists {len(listed)} images of class {name!r}, fewer than the budget {budget}."
        )
    position = {path.rsplit("/", 1)[-1]: number for number, path in enumerate(paths)}
    chosen = listed[:budget]
    if unknown := next((image for image in chosen if image not in position), None):
        raise InputError(f"{file} lists {name}/{unknown}, which is not among the study's images.")
    if len(set(chosen)) < budget:
        raise InputError(f"{file} lists an image of class {name!r} twice.")
    return [position[image] for image in chosen]


def _join(prefix: str, path: str) -> str:
    """Path below a prefix."""
    return f"{prefix.rstrip('/')}/{path}" if prefix else path


def _read_lines(file: Path) -> list[str]:
    """Paths of a plain list, without empty lines."""
    return [line for line in file.read_text(encoding="utf-8-sig").splitlines() if line.strip()]


def _read_json(file: Path) -> list[str]:
    """Paths of a JSON array, or of a mapping of class to file names."""
    content = json.loads(file.read_text(encoding="utf-8"))
    if isinstance(content, dict):
        return [f"{name}/{image.rsplit('/', 1)[-1]}" for name, images in content.items() for image in images]
    if not isinstance(content, list) or not all(isinstance(path, str) for path in content):
        raise ValueError("neither an array of paths nor a mapping of class to file names")
    return content


def _read_table(file: Path) -> list[str]:
    """Column `path` of a CSV table."""
    return [row["path"] for row in whole_rows(file, ["path"])]


def _read_indices(file: Path) -> list[str]:
    """Paths of an exported npz file."""
    with np.load(file, allow_pickle=False) as content:
        return [str(path) for path in content["paths"]]


_READERS = {".json": _read_json, ".csv": _read_table, ".npz": _read_indices}

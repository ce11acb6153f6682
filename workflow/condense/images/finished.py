"""Classes that a job has finished, kept until its shard is whole: interrupted, it goes on with the next."""

import hashlib
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from condense.base.storage import locked, replacing
from condense.images.index import Row


@contextmanager
def resumable(folder: Path) -> Iterator[None]:
    """Keep a folder of finished classes for this process alone, and remove it when the work has succeeded."""
    with locked(folder):
        yield
        shutil.rmtree(folder, ignore_errors=True)


class Finished:
    """Arrays of each finished class in a folder; other images or another `key` are other classes."""

    def __init__(self, folder: Path, *key: object) -> None:
        self.folder, self.key = folder, key

    def read(self, rows: Sequence[Row]) -> dict[str, np.ndarray] | None:
        """Arrays of a class, None where it is not finished or its file is damaged."""
        path = self._file(rows)
        damage = suppress(OSError, ValueError, KeyError, EOFError, BadZipFile)
        with damage, path.open("rb") as file, np.load(file, allow_pickle=False) as kept:
            return {name: kept[name] for name in kept}
        return None

    def write(self, rows: Sequence[Row], **arrays: np.ndarray) -> None:
        """Keep the arrays of a class."""
        with replacing(self._file(rows)) as beside, beside.open("wb") as file:
            np.savez(file, **arrays)

    def _file(self, rows: Sequence[Row]) -> Path:
        key = repr((*self.key, [(row.path, row.bytes) for row in rows]))
        return self.folder / f"{hashlib.sha256(key.encode()).hexdigest()[:20]}.npz"

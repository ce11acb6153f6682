"""Parts of a run's samples, as `generate` writes them."""

import zlib
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from condense.base.errors import damaged

# what zipfile and numpy make of bytes that are not what was written
DAMAGE = (OSError, ValueError, KeyError, EOFError, NotImplementedError, BadZipFile, zlib.error)


def read_part(path: Path, *names: str) -> list[np.ndarray]:
    """Named arrays of a part: images uint8 [n, h, w, 3], labels and ids [n]. Raises InputError for damage."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as part:
            return [part[name] for name in names]
    except DAMAGE as error:
        raise damaged(path, "a whole file of samples", error) from None

"""CSV tables of the pipeline, read and written whole."""

from pathlib import Path

import pandas as pd

from condense.base.errors import InputError
from condense.base.storage import replacing

NAMES = (
    "class",
    "path",
    "method",
    "generator",
    "student",
    "budget",
)  # text, also where they look like numbers


def read_table(path: Path) -> pd.DataFrame:
    """Read a CSV table of the pipeline; names stay text."""
    try:
        return pd.read_csv(path, dtype=dict.fromkeys(NAMES, str), keep_default_na=False, na_values=[""])
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path} is not a table of the pipeline ({error}); delete it and run again."
        ) from None


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Write a CSV table whole, floats with all their digits."""
    with replacing(path) as beside:
        table.to_csv(beside, index=False, lineterminator="\n")

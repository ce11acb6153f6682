"""Stage merge: shards of a table put together, checked for what a single shard cannot see."""

from pathlib import Path
from typing import Annotated

import pandas as pd
import typer

from gadc.errors import InputError
from gadc.storage import replacing


def read_table(path: Path) -> pd.DataFrame:
    """Read a CSV table of the pipeline; names of classes and budgets stay text."""
    try:
        return pd.read_csv(
            path, dtype={"class": str, "budget": str, "path": str}, keep_default_na=False, na_values=[""]
        )
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path} is not a table of the pipeline ({error}); delete it and run again."
        ) from None


def chosen_paths(subset: Path) -> dict[str, list[str]]:
    """Chosen images of each class of a subset, in the order of their ranks."""
    table = read_table(subset).sort_values("rank", kind="stable")
    return table.groupby("class")["path"].apply(list).to_dict()


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Write a CSV table whole, floats with all their digits."""
    with replacing(path) as beside:
        table.to_csv(beside, index=False, lineterminator="\n")


def merge_index(
    shards: Annotated[list[Path], typer.Argument(help="Index of each shard, in order.")],
    output: Annotated[Path, typer.Option(help="Index of all images.")],
) -> None:
    """Put the lists of all classes together."""
    table = pd.concat([read_table(path) for path in shards], ignore_index=True)
    if table.empty:
        raise InputError("there is no image in any class; check images.root and the extensions of its files.")
    write_table(table.sort_values(["class_index", "path"], kind="stable"), output)


def merge_subset(
    shards: Annotated[
        list[Path], typer.Argument(help="Subsets of the shards, then as many tables of diagnostics.")
    ],
    output: Annotated[Path, typer.Option(help="Subset of all classes.")],
    diagnostics: Annotated[Path, typer.Option(help="Diagnostics of all classes.")],
) -> None:
    """Put the chosen images of all classes together."""
    half = len(shards) // 2
    table = pd.concat([read_table(path) for path in shards[:half]], ignore_index=True)
    if table["path"].duplicated().any():
        raise InputError(
            f"{table['path'][table['path'].duplicated()].iloc[0]} is chosen twice; delete results/selections."
        )
    write_table(table.sort_values(["class_index", "rank"], kind="stable"), output)
    write_table(pd.concat([read_table(path) for path in shards[half:]], ignore_index=True), diagnostics)


def merge_measures(
    rows: Annotated[list[Path], typer.Argument(help="Row of each subset, in the order of the table.")],
    output: Annotated[Path, typer.Option(help="Table of subsets.")],
) -> None:
    """Gather what was measured of the subsets."""
    write_table(pd.concat([read_table(path) for path in rows], ignore_index=True), output)

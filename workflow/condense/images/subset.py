"""Chosen images of every class: the one table that later stages read."""

from pathlib import Path
from typing import Annotated

import pandas as pd
import typer

from condense.base.errors import InputError
from condense.base.tables import read_table, write_table


def chosen_paths(subset: Path) -> dict[str, list[str]]:
    """Chosen images of each class of a subset, in the order of their ranks."""
    table = read_table(subset).sort_values("rank", kind="stable")
    return table.groupby("class")["path"].apply(list).to_dict()


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

"""Stage figures: cells that sets of images occupy, against independent draws and theory."""

from pathlib import Path
from typing import Annotated

import pandas as pd
import typer

from condense.base.tables import read_table
from condense.reporting.style import COLUMN, line, plot


def plot_occupancy(
    tables: Annotated[list[Path], typer.Argument(help="Tables of `occupancy`, one per set (CSV).")],
    output: Annotated[list[Path], typer.Option(help="Picture to write (.png or .svg); repeat it for both.")],
) -> None:
    """Draw the share of cells that each set occupies by its size; the line is that of independent draws."""
    rows = pd.concat(
        [read_table(path, ["method", "images", "occupied", "expected"], least=1) for path in tables],
        ignore_index=True,
    )
    with plot(output, 1, 1, figsize=(COLUMN, 2.6)) as (_, panels):
        panel = panels[0, 0]
        for number, (method, mine) in enumerate(rows.groupby("method", sort=False)):
            share = (mine["occupied"] / mine["images"]).groupby(mine["images"])
            spread = share.std().fillna(0)
            panel.errorbar(
                share.mean().index, share.mean(), spread, label=method, marker="o", capsize=2, **line(number)
            )
        theory = (rows["expected"] / rows["images"]).groupby(rows["images"]).first()
        panel.plot(theory.index, theory, color="0.3", linestyle=":", marker="x", label="independent, theory")
        sizes = sorted(rows["images"].unique())
        panel.set(xlabel="images of a class = cells", ylabel="share of cells occupied", xscale="log")
        panel.set_xticks(sizes, [f"{size:g}" for size in sizes], minor=False)
        panel.minorticks_off()
        panel.legend()

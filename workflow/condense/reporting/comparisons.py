"""Stage tables: scores of all runs gathered into `fid_{budget}.csv`, measured beside published."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import typer

from condense.base.tables import read_table, write_table
from condense.config.published import find_value

COMPARED = ("fid", "inception_score", "precision", "recall")
BESIDES = ("kid", "density", "coverage", "agreement", "copy_rate", "subset_fid")  # that `show` adds
SHORT = {"subset_images": "images", "inception_score": "is"}
COLUMNS = [
    *("method", "generator", "budget", "images", "seeds"),
    *(f"{metric}{suffix}" for metric in COMPARED for suffix in ("", "_std")),
    *(f"published_{metric}" for metric in COMPARED),
]


def table(
    scores: Annotated[list[Path], typer.Argument(help="Score of each run, in the order of the rows.")],
    output: Annotated[
        Path, typer.Option(help="One row per method and generator: mean and deviation over seeds.")
    ],
    every: Annotated[Path, typer.Option(help="One row per run, with all that is needed to compare it.")],
    budget: Annotated[str, typer.Option(help="Name of the budget, to find published numbers.")],
    published: Annotated[
        str | None,
        typer.Option(help="Print the papers' numbers beside the measured ones: the generators, as JSON."),
    ] = None,
) -> None:
    """Gather the scores of a comparison."""
    runs = pd.concat([read_table(path) for path in scores], ignore_index=True)
    write_table(runs, every)
    about = None if published is None else json.loads(published)
    write_table(summarise(runs, budget, about), output)


def summarise(runs: pd.DataFrame, budget: str, about: Mapping[str, Mapping[str, Any]] | None) -> pd.DataFrame:
    """One row per method and generator, in order of appearance; `_std` is the sample deviation over seeds.

    `about` describes each generator, and published values stand beside the measured ones; None leaves them
    out.
    """
    rows = []
    for (generator, method), group in runs.groupby(["generator", "method"], sort=False):
        row = {
            "method": method,
            "generator": generator,
            "budget": group["budget"].iloc[0],
            "images": group["subset_images"].iloc[0],
            "seeds": len(group),
        }
        for metric in COMPARED:
            row[metric] = group[metric].mean()
            row[f"{metric}_std"] = group[metric].std(ddof=1) if len(group) > 1 else None
            found = None if about is None else find_value(method, budget, metric, about[generator])
            row[f"published_{metric}"] = None if found is None else float(found["value"])
        rows.append(row)
    return pd.DataFrame(rows, columns=COLUMNS)


def show(
    tables: Annotated[list[Path], typer.Argument(help="Tables `scores_{budget}.csv`.")],
) -> None:
    """Print tables of scores for a terminal, with the settings that make them comparable."""
    for path in tables:
        runs = read_table(path)
        shown = ["generator", "method", "budget", "seed", "subset_images", *COMPARED, *BESIDES]
        print(runs[shown].rename(columns=SHORT).to_string(index=False, float_format="{:.3f}".format))
        context = ["training_steps", "samples", "sampler", "steps", "guidance", "ema", "labels", "detector"]
        for generator, group in runs.groupby("generator", sort=False):
            print(
                f"{generator}: " + ", ".join(f"{key} {group[key].iloc[0]}" for key in [*context, "reference"])
            )

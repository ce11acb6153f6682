"""Stage tables: scores of all runs gathered into `fid_{budget}.csv`, measured beside published."""

from pathlib import Path
from typing import Annotated

import pandas as pd
import typer

from condense.base.tables import read_table, write_table

METRICS = ("fid", "inception_score", "precision", "recall")
DIAGNOSTICS = ("kid", "density", "coverage", "agreement", "copy_rate", "subset_fid")
SHORT = {"subset_images": "images", "inception_score": "is"}
PUBLISHED = Path(__file__).parents[1] / "resources" / "published.csv"
COLUMNS = [
    *("method", "generator", "budget", "images", "seeds"),
    *(f"{metric}{suffix}" for metric in METRICS for suffix in ("", "_std")),
    *(f"published_{metric}" for metric in METRICS),
]


def table(
    scores: Annotated[list[Path], typer.Argument(help="Score of each run, in the order of the rows.")],
    output: Annotated[
        Path, typer.Option(help="One row per method and generator: mean and deviation over seeds.")
    ],
    every: Annotated[Path, typer.Option(help="One row per run, with all that is needed to compare it.")],
    budget: Annotated[str, typer.Option(help="Name of the budget, to find published numbers.")],
    published: Annotated[
        bool, typer.Option(help="Print the paper's numbers beside the measured ones.")
    ] = False,
) -> None:
    """Gather the scores of a comparison."""
    runs = pd.concat([read_table(path) for path in scores], ignore_index=True)
    write_table(runs, every)
    write_table(summarise(runs, budget, read_table(PUBLISHED) if published else None), output)


def summarise(runs: pd.DataFrame, budget: str, published: pd.DataFrame | None) -> pd.DataFrame:
    """One row per method and generator, in order of appearance; `_std` is the sample deviation over seeds."""
    rows = []
    for (generator, method), group in runs.groupby(["generator", "method"], sort=False):
        row = {
            "method": method,
            "generator": generator,
            "budget": group["budget"].iloc[0],
            "images": group["subset_images"].iloc[0],
            "seeds": len(group),
        }
        for metric in METRICS:
            row[metric] = group[metric].mean()
            row[f"{metric}_std"] = group[metric].std(ddof=1) if len(group) > 1 else None
            row[f"published_{metric}"] = find_published(published, method, generator, budget, metric)
        rows.append(row)
    return pd.DataFrame(rows, columns=COLUMNS)


def find_published(
    published: pd.DataFrame | None, method: str, generator: str, budget: str, metric: str
) -> float | None:
    """The paper's number for a row, None where it prints none.

    # ASSUME: where the paper prints two recipes for a row, its main table (listed first) is meant.
    """
    if published is None:
        return None
    wanted = {"source": "GADC", "method": method, "generator": generator, "budget": budget, "metric": metric}
    found = published[(published[list(wanted)] == pd.Series(wanted)).all(axis=1)]
    return float(found["value"].iloc[0]) if len(found) else None


def show(
    tables: Annotated[list[Path], typer.Argument(help="Tables `scores_{budget}.csv`.")],
) -> None:
    """Print tables of scores for a terminal, with the diagnostics and settings that make them comparable."""
    for path in tables:
        runs = read_table(path)
        shown = ["generator", "method", "budget", "seed", "subset_images", *METRICS, *DIAGNOSTICS]
        print(runs[shown].rename(columns=SHORT).to_string(index=False, float_format="{:.3f}".format))
        context = ["training_steps", "samples", "sampler", "steps", "guidance", "ema", "labels", "detector"]
        for generator, group in runs.groupby("generator", sort=False):
            print(
                f"{generator}: " + ", ".join(f"{key} {group[key].iloc[0]}" for key in [*context, "reference"])
            )

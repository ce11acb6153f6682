"""Stage tables: scores of runs gathered into `fid_` and `accuracy_{budget}.csv`, beside published ones."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import typer

from condense.base.tables import read_table, write_table
from condense.config.learners import Kind, Learner, Run
from condense.config.published import find_value
from condense.reporting.learners import PRESENTATIONS
from condense.reporting.scores import read_scores

BESIDES = ("kid", "density", "coverage", "agreement", "copy_rate", "subset_fid")  # metrics that `show` adds
SHORT = {"subset_images": "images", "inception_score": "is"}


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
    runs = read_scores(scores, "generator", *PRESENTATIONS["generator"].compared)
    write_table(runs, every)
    about = None if published is None else json.loads(published)
    write_table(summarise(runs, "generator", budget, about), output)


def accuracies(
    runs: Annotated[list[Path], typer.Argument(help="Accuracy of each run, in the order of the rows.")],
    output: Annotated[
        Path, typer.Option(help="One row per method and student: mean and deviation over seeds.")
    ],
    every: Annotated[Path, typer.Option(help="One row per run, with all that is needed to compare it.")],
    budget: Annotated[str, typer.Option(help="Name of the budget.")],
    published: Annotated[
        str | None,
        typer.Option(help="Print the papers' numbers beside the measured ones: the students, as JSON."),
    ] = None,
    choices: Annotated[
        str, typer.Option(help="Dataset, kind and images per class of each method, likewise.")
    ] = "{}",
) -> None:
    """Gather the accuracies of a comparison's students."""
    found = read_scores(runs, "student", *PRESENTATIONS["student"].compared)
    write_table(found, every)
    about = None if published is None else json.loads(published)
    write_table(summarise(found, "student", budget, about, json.loads(choices)), output)


def columns(kind: Kind) -> list[str]:
    """Columns of the comparison of one kind of learner."""
    told = PRESENTATIONS[kind]
    return [
        *("method", kind, "budget", "images", *told.told, "seeds"),
        *(f"{metric}{suffix}" for metric in told.compared for suffix in ("", "_std")),
        *(f"published_{metric}" for metric in told.printed),
    ]


def summarise(
    runs: pd.DataFrame,
    kind: Kind,
    budget: str,
    about: Mapping[str, Mapping[str, Any]] | None,
    choices: Mapping[str, Mapping[str, Any]] | None = None,
) -> pd.DataFrame:
    """One row per method and learner, in order of appearance; `_std` is the sample deviation over seeds.

    `about` describes each learner, `choices` what each method chose, and published values stand beside the
    measured ones; with `about` None they are left out.
    """
    rows, presentation = [], PRESENTATIONS[kind]
    for (name, method), group in runs.groupby([kind, "method"], sort=False):
        run = Run(method, Learner(kind, name), budget)
        row = {
            "method": method,
            kind: name,
            "budget": group["budget"].iloc[0],
            "images": group["subset_images"].iloc[0],
            "seeds": len(group),
        }
        row |= {name: group[name].iloc[0] for name in presentation.told}
        for metric in presentation.compared:
            row[metric] = group[metric].mean()
            row[f"{metric}_std"] = group[metric].std(ddof=1) if len(group) > 1 else None
        for metric in presentation.printed if about is not None else ():
            found = find_value(run, metric, {**about[name], **(choices or {}).get(method, {})})
            row[f"published_{metric}"] = None if found is None else float(found["value"])
        rows.append(row)
    return pd.DataFrame(rows, columns=columns(kind))


def show(
    tables: Annotated[list[Path], typer.Argument(help="Tables `scores_{budget}.csv`.")],
) -> None:
    """Print tables of scores for a terminal, with the settings that make them comparable."""
    for path in tables:
        names = ["generator", "method", "budget", "seed", "subset_images"]
        shown = [*names, *PRESENTATIONS["generator"].compared, *BESIDES]
        context = ["training_steps", "samples", "sampler", "steps", "guidance", "ema", "labels", "detector"]
        runs = read_table(path, [*shown, *context, "reference"])
        print(runs[shown].rename(columns=SHORT).to_string(index=False, float_format="{:.3f}".format))
        for generator, group in runs.groupby("generator", sort=False):
            print(
                f"{generator}: " + ", ".join(f"{key} {group[key].iloc[0]}" for key in [*context, "reference"])
            )

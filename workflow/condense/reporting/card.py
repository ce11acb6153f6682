"""Stage report: a model card for a trained generator, from its score."""

import json
import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from condense.base.storage import replacing
from condense.base.tables import read_table
from condense.config.metrics import SCORED

NAMES = ("generator", "method", "budget", "seed", "samples", "detector", "reference", "objective", "sampler")
LIMITS = (
    "Trained on few images: samples may be near copies of them, which the copy rate measures (0.5 is none). "
    "Scores hold for the sampler, guidance, samples, detector and reference named here, and for one seed."
)


def card(
    score: Annotated[Path, typer.Option(help="Score of the run (CSV).")],
    weights: Annotated[str, typer.Option(help="File of the weights.")],
    about: Annotated[str, typer.Option(help="Settings of method and generator, as JSON.")],
    sampling: Annotated[str, typer.Option(help="Options of `generate`.")],
    dataset: Annotated[str, typer.Option(help="Name of the images.")],
    output: Annotated[Path, typer.Option(help="Model card (Markdown).")],
) -> None:
    """Write the model card of a trained generator."""
    row = {key: value for key, value in read_table(score, NAMES, least=1).iloc[0].items() if value == value}
    with replacing(output) as beside:
        beside.write_text(render(row, weights, json.loads(about), sampling, dataset), encoding="utf-8")


def render(row: dict[str, Any], weights: str, about: dict[str, Any], sampling: str, dataset: str) -> str:
    """Model card in Markdown, with the header that Hugging Face reads."""
    import yaml

    name = f"{row['generator']}-{row['method']}-{row['budget']}-seed{row['seed']}"
    context = f"{row['samples']} samples, {row['detector']}, against {row['reference']}"
    scores = {metric: float(row[metric]) for metric in SCORED if metric in row}
    metrics = [
        {"type": metric, "value": value, "name": f"{SCORED[metric].label} ({context})"}
        for metric, value in scores.items()
    ]
    result = {"task": {"type": "unconditional-image-generation"}, "metrics": metrics}
    result["dataset"] = {"name": dataset, "type": "images"}
    head = {"license": "other", "tags": ["diffusion", "dataset-condensation"]}
    head["model-index"] = [{"name": name, "results": [result]}]
    lines = ["---", yaml.safe_dump(head, sort_keys=False).rstrip(), "---", "", f"# {name}", ""]
    origin = "imported from a checkpoint, which does not say how it was trained"
    if "training_steps" in row:
        tuned = about.get("generator", {}).get("finetune")
        how = f"finetuned from {tuned['generator']}" if tuned else "trained from scratch"
        origin = f"{how} for {row['training_steps']} steps on {row['subset_images']} images "
        origin += f"of {dataset}, chosen by {row['method']}"
    lines += [f"A {row['objective']} generator {origin}.", ""]
    lines += ["| measure | value |", "| --- | ---: |"]
    lines += [
        f"| {SCORED[metric].label} | {value:.{SCORED[metric].digits}f} |" for metric, value in scores.items()
    ]
    lines += [
        "",
        f"By {row['sampler']} in {row['steps']} steps, guidance {row['guidance']:g}: {context}.",
        "",
    ]
    call = f"python -m condense generate --weights {shlex.quote(weights)} --shard 1-of-1 --output samples.npz"
    lines += ["## Use", "", "```", f"{call} {sampling}", "```", "", "## Settings", "", "```json"]
    lines += [json.dumps(about, indent=2, default=str), "```", "", "## Limits", "", LIMITS, ""]
    return "\n".join(lines)

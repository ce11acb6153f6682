"""Stage 3: choose the images of each class, by GADC or by a baseline."""

from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from condense.base.errors import InputError
from condense.base.memory import keep_freed_memory
from condense.base.tables import write_rows
from condense.config.options import take
from condense.config.settings import Selection
from condense.images.subset import Chosen, write_subset
from condense.selection.candidates import Choice, add_scores, list_classes, open_features
from condense.selection.gadc import CLASSES_AT_ONCE
from condense.selection.methods import METHODS

DIAGNOSTICS = (
    *("method", "budget", "class", "images", "chosen", "objective", "transport", "statistics", "confidence"),
    *("greedy_objective", "swaps", "passes", "one_swap_optimal", "transported_mass", "scale", "seconds"),
    *("columns", "columns_error", "greedy_trace", "exchange_trace"),
)


@take(method=Selection)
def select(
    method: Selection,
    output: Annotated[list[Path], typer.Option(help="Subset to write, a CSV file; one per budget.")],
    features: Annotated[
        Path | None, typer.Option(help="Embeddings: a shard, or HDF5 or npz with features and labels.")
    ] = None,
    probabilities: Annotated[Path | None, typer.Option(help="Probabilities that go with a shard.")] = None,
    index: Annotated[
        Path | None, typer.Option(help="Index of the images, for methods that need no features.")
    ] = None,
    scores: Annotated[
        Path | None, typer.Option(help="Score of each image, from `difficulty` or `margins`.")
    ] = None,
    budget: Annotated[
        list[int] | None, typer.Option(help="Images per class; repeat it for several subsets.", min=1)
    ] = None,
    diagnostics: Annotated[Path | None, typer.Option(help="Table of one row per class and budget.")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the method in the table.")] = None,
    budget_name: Annotated[list[str] | None, typer.Option(help="Names of the budgets in the table.")] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, or auto: cuda where there is one.")] = "auto",
) -> None:
    """Choose the images of each class."""
    keep_freed_memory()
    counts, names = _budgets(method, budget, budget_name, output)
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device not in CLASSES_AT_ONCE or (device == "cuda" and not torch.cuda.is_available()):
        raise InputError(f"there is no device {device} here; give --device cpu.")
    if (features is None) == (index is None):
        raise InputError("give the images by either --features or --index.")
    if index and "features" in method.needs:
        raise InputError(f"--kind {method.kind} compares features; give --features instead of --index.")
    with nullcontext(list_classes(index)) if index else open_features(features, probabilities) as found:
        classes = add_scores(found, scores) if scores else found
        chosen = METHODS[method.kind](classes, counts, method, device)
        choices = sorted(chosen, key=lambda choice: choice.images.index)
    for path, count in zip(output, counts, strict=True):
        write_subset((row for choice in choices if choice.budget == count for row in _subset(choice)), path)
    if diagnostics:
        named = dict(zip(counts, names, strict=True))
        rows = (_diagnosed(choice, name or method.kind, named[choice.budget]) for choice in choices)
        write_rows(diagnostics, DIAGNOSTICS, ([row.get(key) for key in DIAGNOSTICS] for row in rows))


def _budgets(
    method: Selection, budget: list[int] | None, names: list[str] | None, output: list[Path]
) -> tuple[list[int], list[str]]:
    """Images per class and name of each budget; a method with a budget of its own needs no number."""
    if method.budget:
        return [0], names or [method.kind]
    if not budget:
        raise InputError("--budget is missing: how many images of each class?")
    if len(set(budget)) < len(budget) or len(output) != len(budget) or (names and len(names) != len(budget)):
        raise InputError("give one --output (and one --budget-name) for each of the different --budget.")
    return budget, names or [str(count) for count in budget]


def _subset(choice: Choice) -> Iterator[Chosen]:
    """Rows of the subset of one class."""
    images = choice.images
    for rank, at in enumerate(choice.ranked):
        yield Chosen(images.paths[at], images.name, images.index, rank)


def _diagnosed(choice: Choice, method: str, budget: str) -> dict[str, Any]:
    """Row of the table of diagnostics of one class and budget."""
    images = choice.images
    row = {"method": method, "budget": budget, "class": images.name, "images": len(images.paths)}
    return row | {"chosen": len(choice.ranked)} | choice.diagnostics

"""Stage 3: choose the images of each class, by GADC or by a baseline."""

import csv
import dataclasses
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from condense.base.errors import InputError
from condense.base.memory import keep_freed_memory
from condense.base.progress import say, track
from condense.base.seeds import stream
from condense.base.storage import replacing
from condense.config.methods import ELSEWHERE
from condense.config.options import take
from condense.config.settings import Gadc, Method
from condense.selection import baselines
from condense.selection.candidates import ImageClass, add_scores, list_classes, open_features
from condense.selection.plain import WITHOUT_FEATURES
from condense.selection.search import Selection, condense

SUBSET = ("path", "class", "class_index", "rank")
DIAGNOSTICS = (
    *("method", "budget", "class", "images", "chosen", "objective", "transport", "statistics", "confidence"),
    *("greedy_objective", "swaps", "passes", "one_swap_optimal", "transported_mass", "scale", "seconds"),
    *("greedy_trace", "exchange_trace"),
)
SCALES = (2, 80)  # of median cost over epsilon; outside, the transport term says little (see _warn)
LOST_MASS = 0.01  # of the subset's mass
CLASSES_AT_ONCE = {"cpu": 1, "cuda": 32}


@dataclasses.dataclass
class Choice:
    """Chosen images of one class for one budget, as ranked positions in its list of paths."""

    images: ImageClass
    budget: int
    ranked: list[int]
    diagnostics: dict[str, Any]


# tag: function (features, log_probability, log_runner_up, budget, generator, **settings) -> ranked positions
BASELINES: dict[str, Callable[..., torch.Tensor]] = {
    "k-center": baselines.k_center,
    "herding": baselines.herding,
    "herding-max": baselines.herding_max,
    "ccs": baselines.ccs,
    "dq": baselines.dq,
    "d2c": baselines.d2c,
}


@take(method=Method)
def select(
    method: Method,
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
    device: Annotated[str, typer.Option(help="Where to compute: cpu or cuda.")] = "cpu",
) -> None:
    """Choose the images of each class."""
    keep_freed_memory()
    counts, names = _budgets(method, budget, budget_name, output)
    if device not in CLASSES_AT_ONCE or (device == "cuda" and not torch.cuda.is_available()):
        raise InputError(f"there is no device {device} here; give --device cpu.")
    if (features is None) == (index is None):
        raise InputError("give the images by either --features or --index.")
    if index and method.kind not in (*WITHOUT_FEATURES, "d2c"):
        raise InputError(f"--kind {method.kind} compares features; give --features instead of --index.")
    with nullcontext(list_classes(index)) if index else open_features(features, probabilities) as found:
        classes = add_scores(found, scores) if scores else found
        if isinstance(method, Gadc) and method.beta > 0 and any(c.log_probability is None for c in classes):
            say("note: no probabilities are given, so the confidence term is left out.")
            method = dataclasses.replace(method, beta=0.0)
        choices = sorted(choose(classes, counts, method, device), key=lambda choice: choice.images.index)
    for path, count in zip(output, counts, strict=True):
        _write(path, SUBSET, (row for choice in choices if choice.budget == count for row in _subset(choice)))
    if diagnostics:
        label, named = {"method": name or method.kind}, dict(zip(counts, names, strict=True))
        rows = (label | {"budget": named[choice.budget]} | choice.diagnostics for choice in choices)
        _write(diagnostics, DIAGNOSTICS, rows)
    if isinstance(method, Gadc) and method.transport:
        _warn(choices, method)


def choose(
    classes: Sequence[ImageClass], budgets: Sequence[int], method: Method, device: str = "cpu"
) -> Iterator[Choice]:
    """Choose from every class for every budget; classes of equal size are solved together on CUDA."""
    if not isinstance(method, Gadc):
        for images in classes:
            for budget in budgets:
                yield _choose_plainly(images, budget, method)
        return
    by_size = sorted(classes, key=lambda images: len(images.paths))
    batches = [
        group[start : start + CLASSES_AT_ONCE[device]]
        for group in (list(group) for _, group in groupby(by_size, key=lambda images: len(images.paths)))
        for start in range(0, len(group), CLASSES_AT_ONCE[device])
    ]
    for batch in track(batches, "select"):
        yield from _condense(batch, budgets, method, device)


def _choose_plainly(images: ImageClass, budget: int, method: Method) -> Choice:
    """Choose by a method that treats one class at a time."""
    began = time.perf_counter()
    own = {key: value for key, value in vars(method).items() if key not in ("kind", *ELSEWHERE)}
    if budget > len(images.paths):
        raise InputError(_too_few(images, budget))
    if method.kind in WITHOUT_FEATURES:
        ranked = WITHOUT_FEATURES[method.kind](images, budget, **own)
    else:
        features = None if images.source is None else images.features()
        known = [features, images.log_probability, images.log_runner_up, images.score]
        *known, score = (None if values is None else torch.from_numpy(values) for values in known)
        if score is not None:
            own["score"] = score
        generator = stream("select", own.pop("seed", 0), images.name)
        ranked = BASELINES[method.kind](*known, budget, generator, **own).tolist()
    diagnostics = _common(images, ranked) | {"seconds": time.perf_counter() - began}
    return Choice(images, budget, ranked, diagnostics)


def _condense(batch: list[ImageClass], budgets: Sequence[int], method: Gadc, device: str) -> Iterator[Choice]:
    """Choose by GADC from classes of equal size."""
    began = time.perf_counter()
    if max(budgets) > len(batch[0].paths):
        raise InputError(_too_few(batch[0], max(budgets)))
    features = torch.stack([torch.from_numpy(images.features()) for images in batch]).to(device)
    nll = None
    if method.beta > 0:
        nll = -torch.stack([torch.from_numpy(images.log_probability) for images in batch]).to(device)
    selections = condense(features, nll, budgets, method)
    seconds = (time.perf_counter() - began) / len(batch)
    for at, images in enumerate(batch):
        for budget, selection in selections.items():
            ranked = selection.end.subsets[at].tolist()
            row = _common(images, ranked) | _diagnose(selection, at) | {"seconds": seconds}
            yield Choice(images, budget, ranked, row)


def _common(images: ImageClass, ranked: list[int]) -> dict[str, Any]:
    return {"class": images.name, "images": len(images.paths), "chosen": len(ranked)}


def _diagnose(selection: Selection, at: int) -> dict[str, Any]:
    """Row of diagnostics of one class of a batch."""
    end, terms = selection.end, selection.terms
    return {
        "objective": end.value[at].item(),
        "transport": terms.transport[at].item(),
        "statistics": terms.statistics[at].item(),
        "confidence": terms.confidence[at].item(),
        "greedy_objective": selection.greedy[at].item(),
        "swaps": end.swaps[at].item(),
        "passes": end.passes[at].item(),
        "one_swap_optimal": end.optimal[at].item(),
        "transported_mass": terms.mass[at].item(),
        "scale": selection.scale[at].item(),
        "greedy_trace": _words(selection.path[at].tolist()),
        "exchange_trace": _words([value[at].item() for value in end.history]),
    }


def _words(values: list[float]) -> str:
    """Numbers in one cell of a table, to seven digits."""
    return " ".join(f"{value:.7g}" for value in values)


def _warn(choices: Sequence[Choice], method: Gadc) -> None:
    """Say in one line where the transport term does not measure what it should."""
    rows = [choice.diagnostics for choice in choices]
    low, high = SCALES if method.tolerance is None else (SCALES[0], math.inf)
    lost = [row for row in rows if abs(row["transported_mass"] - 1) > LOST_MASS]
    if lost:
        worst = min(row["transported_mass"] for row in lost)
        say(
            f"warning: in {len(lost)} of {len(rows)} subsets the transport ships as little as {worst:.3f} of "
            "its mass; raise epsilon or the iterations, or set a tolerance."
        )
    off = [row["scale"] for row in rows if not low <= row["scale"] <= high]
    if off:
        say(
            f"warning: the median cost is {min(off):.3g} to {max(off):.3g} times epsilon in {len(off)} of "
            f"{len(rows)} subsets; the transport term means little outside {low} to {high}."
        )


def _budgets(
    method: Method, budget: list[int] | None, names: list[str] | None, output: list[Path]
) -> tuple[list[int], list[str]]:
    """Images per class and name of each budget; `full` and `none` have one that needs no number."""
    if method.kind in ("full", "none"):
        return [0], names or [method.kind]
    if not budget:
        raise InputError("--budget is missing: how many images of each class?")
    if len(set(budget)) < len(budget) or len(output) != len(budget) or (names and len(names) != len(budget)):
        raise InputError("give one --output (and one --budget-name) for each of the different --budget.")
    return budget, names or [str(count) for count in budget]


def _too_few(images: ImageClass, budget: int) -> str:
    return f"class {images.name} has {len(images.paths)} images, fewer than the budget of {budget}; lower it."


def _subset(choice: Choice) -> Iterator[dict[str, Any]]:
    """Rows of the subset table of one class."""
    images = choice.images
    for rank, at in enumerate(choice.ranked):
        yield {"path": images.paths[at], "class": images.name, "class_index": images.index, "rank": rank}


def _write(path: Path, columns: Sequence[str], rows: Iterable[dict[str, Any]]) -> None:
    with replacing(path) as beside, beside.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)

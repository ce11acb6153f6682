"""GADC on the images of some classes: those of equal size together, all budgets along one greedy path."""

import dataclasses
import math
import os
import time
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

import torch

from condense.base.errors import InputError
from condense.base.progress import say, track
from condense.config.settings import Gadc
from condense.selection.candidates import Choice, ImageClass
from condense.selection.large import columns_of, condense_large
from condense.selection.objective import Terms, peak_memory
from condense.selection.search import Selection, condense
from condense.transport.partial import MOST_ITERATIONS

SCALES = (2, 80)  # of median cost over epsilon; outside, the transport term says little (see _warn)
LOST_MASS = 0.01  # of the subset's mass
CLASSES_AT_ONCE = {"cpu": 1, "cuda": 32}  # at most; more make a GPU no faster
MEMORY = 2**33  # bytes for what they need together, as far as more than one fits


def choose_by_gadc(
    classes: Sequence[ImageClass], budgets: Sequence[int], method: Gadc, device: str
) -> Iterator[Choice]:
    """Choose from every class for every budget; classes of equal size are solved together on CUDA.

    Where a class has no probabilities, the confidence term is left out and that is said.
    """
    if method.beta > 0 and any(images.log_probability is None for images in classes):
        say("note: no probabilities are given, so the confidence term is left out.")
        method = dataclasses.replace(method, beta=0.0)
    large = [images for images in classes if columns_of(images, method)]
    if large:
        most = max(large, key=lambda images: len(images.paths))
        say(
            f"{len(large)} of {len(classes)} classes, of up to {len(most.paths)} images, are transported "
            f"onto {columns_of(most, method)} representatives; the diagnostics tell the error."
        )
    by_size = sorted(
        (images for images in classes if not columns_of(images, method)), key=lambda images: len(images.paths)
    )
    batches = []
    for size, group in groupby(by_size, key=lambda images: len(images.paths)):
        alike = list(group)
        room = max(1, MEMORY // peak_memory(size, alike[0].source.shape[-1]))
        at_once = min(CLASSES_AT_ONCE[device], room)
        batches += [alike[start : start + at_once] for start in range(0, len(alike), at_once)]
    told = []
    for batch in track([*batches, *([images] for images in large)], "select"):
        chosen = _condense_large if columns_of(batch[0], method) else _condense
        for choice in chosen(batch, budgets, method, device):
            told.append(choice.diagnostics)
            yield choice
    if method.transport:
        _warn(told, method)


def _check_memory(images: ImageClass, device: str) -> None:
    """Refuse a class whose costs between all its images the machine cannot hold."""
    count = len(images.paths)
    needed = peak_memory(count, images.source.shape[-1])
    if needed > (has := _memory(device)):
        raise InputError(
            f"class {images.name} has {count:,} images, whose costs to each other take "
            f"{needed / 2**30:.1f} GiB of {has / 2**30:.1f}; set columns to 1024 or fewer representatives."
        )


def _memory(device: str) -> int:
    """Bytes that a device has."""
    if device == "cuda":
        return torch.cuda.mem_get_info()[1]
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _condense(batch: list[ImageClass], budgets: Sequence[int], method: Gadc, device: str) -> Iterator[Choice]:
    """Choose from classes of equal size."""
    began = time.perf_counter()
    batch[0].check(max(budgets))
    if method.transport:
        _check_memory(batch[0], device)
    features = torch.stack([torch.from_numpy(images.features()) for images in batch]).to(device)
    nll = None
    if method.beta > 0:
        nll = -torch.stack([torch.from_numpy(images.log_probability) for images in batch]).to(device)
    selections = condense(features, nll, budgets, method)
    seconds = (time.perf_counter() - began) / len(batch)
    for at, images in enumerate(batch):
        for budget, selection in selections.items():
            ranked = selection.end.subsets[at].tolist()
            yield Choice(images, budget, ranked, _diagnose(selection, at) | {"seconds": seconds})


def _condense_large(
    batch: list[ImageClass], budgets: Sequence[int], method: Gadc, device: str
) -> Iterator[Choice]:
    """Choose from one class that representatives stand for; the terms are those against all its images."""
    began = time.perf_counter()
    (images,) = batch
    images.check(max(budgets))
    found = condense_large(images, budgets, method, device)
    seconds = time.perf_counter() - began
    for budget, one in found.items():
        exact = one.objective
        told = _diagnose(one.selection, 0) | {"columns": one.columns, "seconds": seconds}
        told["columns_error"] = told["objective"] / exact - 1
        yield Choice(images, budget, one.places, told | {"objective": exact} | _terms(one.terms, 0))


def _terms(terms: Terms, at: int) -> dict[str, float]:
    """Terms and shipped mass of one class of a batch, as columns of the diagnostics."""
    transport, statistics, confidence, mass = (term[at].item() for term in terms)
    return {
        "transport": transport,
        "statistics": statistics,
        "confidence": confidence,
        "transported_mass": mass,
    }


def _diagnose(selection: Selection, at: int) -> dict[str, Any]:
    """Row of diagnostics of one class of a batch."""
    end = selection.end
    return _terms(selection.terms, at) | {
        "objective": end.value[at].item(),
        "greedy_objective": selection.greedy[at].item(),
        "swaps": end.swaps[at].item(),
        "passes": end.passes[at].item(),
        "one_swap_optimal": end.optimal[at].item(),
        "scale": selection.scale[at].item(),
        "greedy_trace": _words(selection.path[at].tolist()),
        "exchange_trace": _words([value[at].item() for value in end.history]),
    }


def _words(values: list[float]) -> str:
    """Numbers in one cell of a table, to seven digits."""
    return " ".join(f"{value:.7g}" for value in values)


def _warn(rows: Sequence[dict[str, Any]], method: Gadc) -> None:
    """Say in one line where the transport term does not measure what it should."""
    low, high = SCALES if method.tolerance is None else (SCALES[0], math.inf)
    lost = [row for row in rows if abs(row["transported_mass"] - 1) > LOST_MASS]
    if lost:
        worst = min(row["transported_mass"] for row in lost)
        say(
            f"warning: in {len(lost)} of {len(rows)} subsets the transport ships as little as {worst:.3f} of "
            "its mass; raise epsilon or the iterations, or set a tolerance."
        )
    short = [row for row in rows if abs(row["transported_mass"] - 1) > (method.tolerance or math.inf)]
    if short:
        say(
            f"warning: in {len(short)} of {len(rows)} subsets Sinkhorn was not within the tolerance of "
            f"{method.tolerance:g} after {MOST_ITERATIONS:,} iterations; raise it, or epsilon."
        )
    off = [row["scale"] for row in rows if not low <= row["scale"] <= high]
    if off:
        say(
            f"warning: the median cost is {min(off):.3g} to {max(off):.3g} times epsilon in {len(off)} of "
            f"{len(rows)} subsets; the transport term means little outside {low} to {high}."
        )

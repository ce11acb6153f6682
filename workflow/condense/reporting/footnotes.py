"""What stands below a table: origin of its values, paired differences, remarks on published ones."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from condense.config.metrics import METRICS
from condense.config.published import notes as published_notes

LEVEL = 0.95  # of the intervals


def footnotes(
    told: dict[str, Any], records: list[dict[str, Any]], runs: pd.DataFrame | None, total: int | None
) -> list[str]:
    """Every footnote of a table."""
    every = [told["note"]] if told["note"] else []
    every += _settings(told, records)
    every += _subsets(records, total)
    every += _seeds(records)
    for first, second in told["pairs"]:
        every += _pair(told, records, runs, first, second)
    if told["published"]:
        every += [*_remarks(records), *published_notes(told["name"])]
        every.append("Published figures stand beside measured ones; –: not measured, or not published.")
    return every


def _settings(told: dict[str, Any], records: list[dict[str, Any]]) -> Iterator[str]:
    """What makes the values of each generator comparable."""
    shown = {*told["rows"], *told["columns"]}
    for name, about in told["generators"].items():
        mine = [row for row in records if row["generator"] == name]
        methods = dict.fromkeys(row["method"] for row in mine)
        seen = next((row for row in mine if isinstance(row["detector"], str)), None)
        whose = "" if len(told["generators"]) == 1 or "generator" in shown else f" ({', '.join(methods)})"
        against = f", in the features of {seen['detector']} against {seen['reference']}" if seen else ""
        yield (
            "{name}{whose}: {training_steps:,} steps of {batch} images, recipe {recipe}, "
            "{resolution} pixels; "
            "{samples:,} samples by {sampler} in {steps} steps, guidance {guidance:g}, "
            "labels {labels}{against}."
        ).format(name=name, whose=whose, against=against, **about)


def _remarks(records: list[dict[str, Any]]) -> Iterator[str]:
    """Remarks on single published values, each with the methods that it is about."""
    about: dict[tuple[str, str], dict[str, None]] = {}
    for row in records:
        if isinstance(row["published_note"], str) and row["published_note"]:
            about.setdefault((row["published_source"], row["published_note"]), {})[row["method"]] = None
    for (source, note), methods in about.items():
        yield f"{', '.join(methods)} ({source}): {note}."


def _subsets(records: list[dict[str, Any]], total: int | None) -> Iterator[str]:
    """Size of each subset, its share of the images and how often training saw each image."""
    told: dict[tuple[int, int], dict[str, None]] = {}
    for row in records:
        if pd.notna(row["views"]):
            told.setdefault((int(row["images"]), int(row["views"])), {})[row["generator"]] = None
    sizes = [images for images, _ in told]
    for (images, views), generators in sorted(told.items()):
        share = f", {images / total:.2%} of {total:,}" if total else ""
        whose = f" ({', '.join(generators)})" if sizes.count(images) > 1 else ""
        yield f"{images:,} images{share}: training saw each {views:,} times{whose}."


def _seeds(records: list[dict[str, Any]]) -> Iterator[str]:
    counts = sorted({int(row["seeds"]) for row in records if pd.notna(row["seeds"])})
    if counts == [1]:
        yield "One seed: differences between rows may be noise."
    elif counts:
        numbers = " or ".join(map(str, counts))
        yield (
            f"Mean ± sample standard deviation over {numbers} seeds of the training; "
            "a method's subset is the same for all of them."
        )


def _pair(
    told: dict[str, Any], records: list[dict[str, Any]], runs: pd.DataFrame | None, first: str, second: str
) -> Iterator[str]:
    """Difference of two methods in the table's first metric, over seeds where measured, and as published."""
    name = told["metrics"][0]
    metric = METRICS[name]
    own = {(cell["method"], cell["budget"]): cell["own_budget"] for cell in told["cells"]}
    groups = dict.fromkeys((row["generator"], row["budget"]) for row in records)
    for generator, budget in groups:
        printed = [_published(records, method, generator, budget, name) for method in (first, second)]
        parts = []
        values = [
            _values(runs, method, generator, own.get((method, budget)), name) for method in (first, second)
        ]
        if all(value is not None for value in values):
            parts.append(difference_over_seeds(values[0], values[1], metric.digits))
        if told["published"] and None not in printed:
            parts.append(f"published {_signed(printed[0] - printed[1], metric.digits)}")
        if parts:
            yield f"{first} less {second}, {metric.label}, {generator}, {budget}: {'; '.join(parts)}."


def difference_over_seeds(first: pd.Series, second: pd.Series, digits: int) -> str:
    """Mean of the differences at common seeds with its t interval, in words; series are indexed by seed."""
    from scipy.stats import t

    gaps = (first - second).dropna().to_numpy()
    mean = _signed(float(gaps.mean()), digits) if len(gaps) else "–"
    if len(gaps) < 2:
        return f"measured {mean}, one seed and no interval"
    half = t.ppf((1 + LEVEL) / 2, len(gaps) - 1) * gaps.std(ddof=1) / np.sqrt(len(gaps))
    low, high = (_signed(float(end), digits) for end in (gaps.mean() - half, gaps.mean() + half))
    verdict = "resolved" if abs(gaps.mean()) > half else "not resolved from zero"
    return f"measured {mean}, {LEVEL:.0%} interval {low} to {high} over {len(gaps)} seeds, {verdict}"


def _values(
    runs: pd.DataFrame | None, method: str, generator: str, budget: str | None, metric: str
) -> pd.Series | None:
    """A metric of a method's runs by seed, None where there are none."""
    if runs is None or metric not in runs or budget is None:
        return None
    mine = runs[(runs["method"] == method) & (runs["generator"] == generator) & (runs["budget"] == budget)]
    return mine.drop_duplicates("seed").set_index("seed")[metric] if len(mine) else None


def _published(
    records: list[dict[str, Any]], method: str, generator: str, budget: str, metric: str
) -> float | None:
    """The published value of a cell."""
    wanted = {"method": method, "generator": generator, "budget": budget, "metric": metric}
    row = next((row for row in records if wanted.items() <= row.items()), None)
    return None if row is None or pd.isna(row["published"]) else row["published"]


def _signed(value: float, digits: int) -> str:
    return f"{value:+.{digits}f}".replace("-", "−")

"""What stands below a table: origin of its values, paired differences, remarks on published ones."""

from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from condense.config.learners import Learner, Run
from condense.config.metrics import METRICS, metrics_of
from condense.config.published import notes as published_notes
from condense.reporting.differences import Difference, signed
from condense.reporting.gains import HOW, sentences
from condense.reporting.layout import TableLayout
from condense.reporting.learners import PRESENTATIONS
from condense.reporting.scores import metric_of

ENOUGH = 10_000  # samples below which the bias of an FID is as large as what methods differ by
BIASED = {"fid", "sfid"}
VARIED = {  # what a seed draws anew, as in a study's config
    "encoder": "weights of the encoder",
    "draw": "draw of the images",
    "training": "training",
    "sampling": "noise of the samples",
}


def footnotes(
    layout: TableLayout, records: list[dict[str, Any]], scores: pd.DataFrame | None, total: int | None
) -> list[str]:
    """Every footnote of a table."""
    every = [layout.note] if layout.note else []
    every += _settings(layout, records)
    every += _few_samples(layout)
    every += _subsets(layout, records, total)
    every += _seeds(layout, records)
    for first, second in layout.pairs:
        every += _pair(layout, records, scores, first, second)
    if layout.control:
        every += [*sentences(records), HOW.format(layout.control)]
    if layout.published:
        every += [*_remarks(records), *published_notes(layout.name, layout.kinds)]
        spread = ", ± as printed" if any(pd.notna(record["published_std"]) for record in records) else ""
        every.append(
            f"Published figures stand beside measured ones{spread}; –: not measured, or not published."
        )
    return every


def _settings(layout: TableLayout, records: list[dict[str, Any]]) -> Iterator[str]:
    """What makes the values of each learner comparable."""
    learners = [Learner(kind, name) for kind in layout.kinds for name in layout.learners[kind]]
    for learner in learners:
        presentation = PRESENTATIONS[learner.kind]
        mine = [record for record in records if layout.learner(record) == learner]
        methods = dict.fromkeys(record["method"] for record in mine)
        whose = "" if len(learners) == 1 or learner.kind in layout.shown else f" ({', '.join(methods)})"
        scored = [
            record for record in mine if all(isinstance(record[key], str) for key in presentation.scored_by)
        ]
        settings = presentation.settings.format_map(layout.about(learner))
        scoring = presentation.scoring.format_map(scored[0]) if scored else ""
        yield f"{learner.name}{whose}: {settings}{scoring}."


def _few_samples(layout: TableLayout) -> Iterator[str]:
    """A warning of the bias of Frechet distances, which grows as samples get fewer."""
    counts = {about["samples"] for about in layout.learners.get("generator", {}).values()}
    few = sorted(count for count in counts if count < ENOUGH)
    if few and BIASED & set(layout.metrics):
        counted = " or ".join(f"{count:,}" for count in few)
        yield (
            f"{counted} samples are few for an FID, and raise it: compare it "
            "with others of as many samples alone (papers draw 50,000)."
        )


def _remarks(records: list[dict[str, Any]]) -> Iterator[str]:
    """Remarks on single published values, each with the methods that it is about."""
    about: dict[tuple[str, str], dict[str, None]] = {}
    for record in records:
        if isinstance(record["published_note"], str) and record["published_note"]:
            remark = record["published_source"], record["published_note"]
            about.setdefault(remark, {})[record["method"]] = None
    for (source, note), methods in about.items():
        yield f"{', '.join(methods)} ({source}): {note}."


def _subsets(layout: TableLayout, records: list[dict[str, Any]], total: int | None) -> Iterator[str]:
    """Size of each subset, its share of the images and, where known, how often training saw each image."""
    seen: dict[tuple[int, int], dict[str, None]] = {}
    for record in records:
        if pd.notna(record["images"]) and record["images"] > 0:
            views = record.get("views")
            size = int(record["images"]), -1 if pd.isna(views) else int(views)  # -1: not known
            seen.setdefault(size, {})[layout.learner(record).name] = None
    sizes = [images for images, _ in seen]
    for (images, views), learners in sorted(seen.items()):
        share = f", {images / total:.2%} of {total:,}" if total else ""
        often = f": training saw each {views:,} times" if views >= 0 else ""
        whose = f" ({', '.join(learners)})" if sizes.count(images) > 1 else ""
        yield f"{images:,} images{share}{often}{whose}."


def _seeds(layout: TableLayout, records: list[dict[str, Any]]) -> Iterator[str]:
    """How many replicates the values are over, and what each of them drew anew."""
    counts = sorted({int(record["seeds"]) for record in records if pd.notna(record["seeds"])})
    if counts == [1]:
        yield "One seed: differences between rows may be noise."
    elif counts:
        numbers = " or ".join(map(str, counts))
        parts = {part: words for part, words in VARIED.items() if part in layout.parts}
        drawn = [words for part, words in parts.items() if part in layout.vary]
        kept = [words for part, words in parts.items() if part not in layout.vary]
        same = f"; the {listed(kept)} the same in all" if kept else ""
        yield (
            f"Mean ± sample standard deviation over {numbers} seeds, each with its own {listed(drawn)}{same}."
        )
        yield from _sets(layout)
        yield from _constant(records)


def _sets(layout: TableLayout) -> Iterator[str]:
    """Methods whose sets are not drawn as the sentence on seeds says."""
    one = [method for method, own in layout.own_set.items() if not own]
    several = [method for method, own in layout.own_set.items() if own]
    if one and "draw" in layout.vary:
        yield f"{listed(one)}: one set of images with all seeds; ± is over the rest."
    elif several and "draw" not in layout.vary:
        yield f"{listed(several)}: a set of images of its own with each seed."


def _constant(records: list[dict[str, Any]]) -> Iterator[str]:
    """Methods whose values no seed moved: they draw nothing of what the seeds vary."""
    known = [record for record in records if pd.notna(record["std"])]
    moved = {record["method"] for record in known if record["std"] > 0}
    if still := [
        method for method in dict.fromkeys(record["method"] for record in known) if method not in moved
    ]:
        yield (
            f"{listed(still)}: the same with each seed, as the deviation of zero says; intervals of "
            "differences from them are over the draws of the other method alone."
        )


def listed(words: Sequence[str]) -> str:
    """Words as a list in a sentence."""
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def _pair(
    layout: TableLayout,
    records: list[dict[str, Any]],
    scores: pd.DataFrame | None,
    first: str,
    second: str,
) -> Iterator[str]:
    """Difference of two methods in a learner's first metric, over seeds where measured, and as published."""
    own_budgets = {entry.run: entry.own_budget for entry in layout.entries}
    for learner, budget in dict.fromkeys((layout.learner(record), record["budget"]) for record in records):
        name = metrics_of(learner, layout.metrics)[0]
        metric = METRICS[name]
        pair = [Run(method, learner, budget) for method in (first, second)]
        measured = [metric_of(scores, run, own_budgets.get(run, ""), name) for run in pair]
        published = [_published(records, run, name) for run in pair]
        parts = []
        if all(values is not None for values in measured):
            parts.append(Difference.between(*measured).words(metric.digits))
        if layout.published and None not in published:
            parts.append(f"published {signed(published[0] - published[1], metric.digits)}")
        if parts:
            yield f"{first} less {second}, {metric.label}, {learner.name}, {budget}: {'; '.join(parts)}."


def _published(records: list[dict[str, Any]], run: Run, metric: str) -> float | None:
    """The published value of a run."""
    wanted = run.names() | {"metric": metric}
    record = next((record for record in records if wanted.items() <= record.items()), None)
    return None if record is None or pd.isna(record["published"]) else record["published"]

"""What the job that makes a table is told of it: its cells, their runs, and what makes those comparable."""

from collections.abc import Iterator
from typing import Any

from condense.config.metrics import COSTS
from condense.config.objectives import OBJECTIVES
from condense.config.published import digest
from condense.config.study import Generator, Study


def layout(study: Study, name: str) -> dict[str, Any]:
    """A table and its cells, as plain values that JSON can carry."""
    table = study.tables[name]
    settings = table.model_dump(include={"caption", "rows", "columns", "metrics", "pairs", "plot", "note"})
    named = dict.fromkeys(generator for _, generator, _ in table.runs())
    published = study.published and not set(table.metrics) <= COSTS.keys()
    return {
        "name": name,
        **settings,
        "published": published,
        "facts": digest() if published else "",
        "cells": list(cells(study, name)),
        "generators": {generator: describe(generator, study.generators[generator]) for generator in named},
    }


def cells(study: Study, name: str) -> Iterator[dict[str, Any]]:
    """Runs of a table: names, budget in paths ("" where the study has no such method), what is needed."""
    for method, generator, budget in study.tables[name].runs():
        chosen = study.methods.get(method)
        yield {
            "method": method,
            "generator": generator,
            "budget": budget,
            "own_budget": study.budget_of(method, budget) if chosen else "",
            "encoder": (chosen and chosen.encoder) or "",
            "needs": list(chosen.needs) if chosen else [],
        }


def runs(study: Study, name: str) -> list[tuple[str, str, str]]:
    """(method, generator, budget in paths) of each run of a table that the study can do."""
    return [
        (cell["method"], cell["generator"], cell["own_budget"])
        for cell in cells(study, name)
        if cell["own_budget"]
    ]


def describe(name: str, generator: Generator) -> dict[str, Any]:
    """What makes a generator's figures comparable, and the name by which papers know it."""
    return {
        "architecture": architecture(generator),
        "origin": generator.weights.generator if generator.weights else name,
        "recipe": generator.recipe,
        "resolution": generator.resolution,
        "training_steps": generator.training.steps,
        "batch": generator.training.batch,
        "samples": generator.sampling.images,
        "sampler": generator.sampling.sampler,
        "steps": generator.sampling.steps,
        "guidance": generator.sampling.guidance,
        "labels": generator.sampling.labels,
    }


def architecture(generator: Generator) -> str:
    """Name such as dit-l-2, with the resolution where it is not 256; "" for a size that is not published."""
    if generator.network.size is None:
        return ""
    family = OBJECTIVES[generator.objective].family.lower()
    resolution = "" if generator.resolution == 256 else f"-{generator.resolution}"
    return f"{family}-{generator.network.size.lower()}-{generator.network.patch}{resolution}"

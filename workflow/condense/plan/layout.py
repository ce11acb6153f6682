"""Layouts of the study's tables: their runs, and what makes the results of learners comparable."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, replace
from typing import Any

from condense.config.encoders import Encoder
from condense.config.learners import Kind, Learner, Run
from condense.config.metrics import COSTS
from condense.config.objectives import OBJECTIVES
from condense.config.student import Student
from condense.config.students import network_name, recipe_name
from condense.config.study import Generator, Study
from condense.plan.files import Files
from condense.plan.making_files import making_files
from condense.plan.paper_names import published_kind
from condense.plan.replicates import of_seed
from condense.reporting.layout import Entry, Making, TableLayout


def table_layout(study: Study, name: str) -> TableLayout:
    """Layout of a table of the study."""
    table = study.tables[name]
    learners: dict[Kind, dict[str, dict[str, Any]]] = {}
    for run in table.runs():
        learners.setdefault(run.learner.kind, {})[run.learner.name] = describe(study, run.learner)
    return TableLayout(
        name=name,
        caption=table.caption,
        rows=tuple(table.rows),
        columns=tuple(table.columns),
        metrics=tuple(table.metrics),
        pairs=tuple((first, second) for first, second in table.pairs),
        note=table.note,
        published=study.published and not set(table.metrics) <= COSTS.keys(),
        vary=tuple(study.vary),
        entries=tuple(_entries(study, name)),
        learners=learners,
        control=table.control or "",
        making=_making(study, name) if table.control else {},
        parts=tuple(_parts(study, learners)),
        own_set=_own_set(study, name),
    )


def _parts(study: Study, kinds: Iterable[Kind]) -> Iterator[str]:
    """What there is for a study's seeds to draw anew, among what `vary` names."""
    if any(encoder.is_own for name, encoder in study.encoders.items() if name != study.detector):
        yield "encoder"
    yield "draw"
    yield "training"
    if "generator" in kinds:
        yield "sampling"


def _own_set(study: Study, name: str) -> dict[str, bool]:
    """For each method of a table: whether any seed of the study has a set of its own."""
    methods = dict.fromkeys(run.method for run in study.tables[name].runs() if run.method in study.methods)
    return {
        method: any(of_seed(study.methods, method, seed) != method for seed in study.seeds)
        for method in methods
    }


def _entries(study: Study, name: str) -> Iterator[Entry]:
    """Runs of a table, in order; no more of each than the table needs, as a command line has an end."""
    costs = COSTS.keys() & set(study.tables[name].metrics)
    for run in study.tables[name].runs():
        chosen = study.methods.get(run.method)
        if chosen:
            own_budget = study.budget_of(run.method, run.budget)
            choice = describe_choice(study, run.method, run.budget) if study.published else {}
            paths = dict(_paths(study, run.method)) if costs else {}
            yield Entry(run, own_budget, paths, chosen.needs if costs else (), choice)
        else:
            yield Entry(run, "", {}, ())


def _making(study: Study, name: str) -> dict[str, Making]:
    """What making each set of a table takes, in the replicate of the first seed."""
    files = Files(study)
    sets = {(run.method, run.budget) for run in runs(study, name)}
    return {
        f"{method}/{budget}": making_files(files, files.method(method, study.seeds[0]), budget)
        for method, budget in sorted(sets)
    }


def _paths(study: Study, method: str) -> Iterator[tuple[int, tuple[str, str]]]:
    """Each seed, with the name of a method in the paths of its replicate and that of its encoder."""
    for seed in study.seeds:
        own = of_seed(study.methods, method, seed)
        yield seed, (own, study.methods[own].encoder or "")


def runs(study: Study, name: str) -> list[Run]:
    """Runs of a table that the study can do; their budgets are those of paths."""
    return [
        replace(entry.run, budget=entry.own_budget) for entry in _entries(study, name) if entry.own_budget
    ]


def describe(study: Study, learner: Learner) -> dict[str, Any]:
    """What makes a learner's results comparable, for tables and for the search for published values."""
    return DESCRIBE[learner.kind](learner.name, study.learners()[learner.kind][learner.name])


def describe_generator(name: str, generator: Generator) -> dict[str, Any]:
    """A generator: its settings, whose training its weights come from, and its name in papers.

    Of a finetuned one the training is that of the generator it starts from.
    """
    tuned = generator.finetune
    seen = {"images_seen": generator.training.steps * generator.training.batch}
    return {
        "architecture": architecture(generator),
        "origin": generator.weights.generator if generator.weights else name,
        "recipe": f"{generator.recipe}{f', finetuned from {tuned.generator}' if tuned else ''}",
        "resolution": generator.resolution,
        "training_steps": generator.training.steps,
        "batch": generator.training.batch,
        **({} if tuned else seen),
        "samples": generator.sampling.images,
        "sampler": generator.sampling.sampler,
        "steps": generator.sampling.steps,
        "guidance": generator.sampling.guidance,
        "labels": generator.sampling.labels,
    }


def describe_student(name: str, student: Student) -> dict[str, Any]:
    """A student: its network, recipe and labels, as papers name them."""
    epochs = student.training.epochs
    again = student.trainings
    return {
        "network": network_name(asdict(student.network)),
        "origin": name,
        "recipe": recipe_name(asdict(student.training)),
        "resolution": student.resolution,
        "labels": "soft" if student.labels.teachers else "hard",
        "epochs": f"{epochs} epochs" if isinstance(epochs, int) else "epochs by images per class",
        "trainings": again,
        "mean_of": f", mean of {again} trainings on each set" if again > 1 else "",
    }


def describe_judge(name: str, encoder: Encoder) -> dict[str, Any]:
    """A judge: the encoder that it is."""
    return {"origin": name}


DESCRIBE: dict[Kind, Callable[[str, Any], dict[str, Any]]] = {
    "generator": describe_generator,
    "student": describe_student,
    "judge": describe_judge,
}


def describe_choice(study: Study, method: str, budget: str) -> dict[str, Any]:
    """What was chosen from what: dataset, kind of method and number of images, as papers name them.

    Empty words, to which no published value belongs, where the dataset has no name or the method no budget.
    """
    own = study.budget_of(method, budget)
    return {
        "dataset": study.dataset or "",
        "kind_of_method": published_kind(study, method),
        "images_per_class": study.budgets.get(own, ""),
    }


def architecture(generator: Generator) -> str:
    """Name such as dit-l-2, with the resolution where it is not 256.

    "" where no value is published: for other sizes, and for what is finetuned for small image sets.
    """
    if generator.network.size is None or generator.finetune:
        return ""
    family = OBJECTIVES[generator.objective].family.lower()
    resolution = "" if generator.resolution == 256 else f"-{generator.resolution}"
    return f"{family}-{generator.network.size.lower()}-{generator.network.patch}{resolution}"

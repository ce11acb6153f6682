"""What is wrong with a config, each fault one sentence that names the key: before any job starts."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from condense.base.errors import InputError
from condense.config.complaints import complain
from condense.config.doping import Doped
from condense.config.encoders import Encoder
from condense.config.methods import Listed, Selector
from condense.config.names import undefined
from condense.config.networks import RELEASED, unknown
from condense.config.objectives import OBJECTIVES
from condense.config.settings import SIZES, Autoencoder, Recipe
from condense.config.student import Student
from condense.config.synthesis import Synthesis

if TYPE_CHECKING:
    from condense.config.study import Generator, Study

FACTOR = 8  # ASSUME: pixels per latent pixel, along a side, of an autoencoder that is not there yet
NAMES = {"kl": "AutoencoderKL", "tiny": "AutoencoderTiny"}  # of diffusers


def refuse(faults: Iterator[str]) -> None:
    """Raise the first of some faults as an InputError."""
    for fault in faults:
        raise InputError(f"config.yaml: {fault}.")


def sentence(error: ValidationError, config: Any) -> str:
    """One readable sentence for the first fault of a config."""
    faults = [(_key(fault, config), fault) for fault in error.errors()]
    first = faults[0][0]
    # a value that may be of several kinds has faults of each: those that are met deepest tell most
    found = max((key for key, _ in faults if key[: len(first)] == first), key=len)
    mine = [fault for key, fault in faults if key == found]
    fault, key = mine[0], ".".join(found)
    if fault["type"] in ("extra_forbidden", "unexpected_keyword_argument", "invalid_key"):
        return f"config.yaml: {key} is not a known key; correct its spelling or remove it."
    if fault["type"] in ("missing", "missing_argument"):
        return f"config.yaml: {key} is missing; add it."
    if fault["type"] == "union_tag_not_found" and isinstance(fault["input"], dict):
        former = fault["input"].get("select")  # the tag's name before version 0.3
        said = f"select is `kind` now: write `kind: {former}`" if former else "kind is missing; add it"
        return f"config.yaml: {key}.{said}."
    if fault["type"] == "union_tag_invalid":
        return f"config.yaml: {key}.{complain(mine)}."
    return f"config.yaml: {key + ': ' * bool(key)}{complain(mine)}."


def _key(fault: Any, config: Any) -> tuple[str, ...]:
    """Key of a fault as the config has it: without the kinds and tags that pydantic adds to its place."""
    key, tagged = [], False
    for at, part in enumerate(fault["loc"]):
        inside = config if isinstance(config, dict) else {}
        if isinstance(config, list | tuple):
            inside = dict(enumerate(config))
        is_tag = not tagged and part in (inside.get("kind"), inside.get("recipe"))
        if is_tag and at + 1 < len(fault["loc"]):  # it may be the name of a setting too
            tagged = True
            continue
        names = {str(name): name for name in inside}
        if (name := str(part)) in names:
            tagged, config = False, inside[names[name]]
            key.append(name if names[name] == part else json.dumps(names[name], default=str))
    if "missing" in fault["type"]:
        key.append(str(fault["loc"][-1]))
    return tuple(key)


def contradictions(study: "Study") -> Iterator[str]:
    """Settings that do not fit each other: the key, the reason and what to do."""
    for name, encoder in study.encoders.items():
        yield from (f"encoders.{name}.{fault}" for fault in _of_encoder(encoder))
    for name, student in study.students.items():
        yield from (f"students.{name}.{fault}" for fault in _of_student(student))
        for teacher in student.labels.teachers:
            if teacher in study.encoders and study.encoders[teacher].kind == "untrained":
                yield f"students.{name}.labels.teachers: {teacher} is untrained; name another"
    for name, autoencoder in study.autoencoders.items():
        yield from (f"autoencoders.{name}.{fault}" for fault in _of_autoencoder(autoencoder))
    for name, method in study.methods.items():
        yield from (f"methods.{name}.{fault}" for fault in _of_method(study, method))
    for name, generator in study.generators.items():
        yield from (f"generators.{name}.{fault}" for fault in _of_generator(study, generator))
    for name in study.subsets.methods if study.subsets else ():
        if isinstance(study.methods[name], Synthesis):
            yield f"subsets.methods: {name} makes its images; compare it in a table by `judges`"
    for name, table in study.tables.items():
        for run in table.runs():
            if run.learner.kind == "judge" and study.encoders[run.learner.name].kind == "fid":
                yield f"tables.{name}.judges: {run.learner.name} is for scoring only; name another encoder"
    for name, recipe in study.recipes.items():
        if recipe.feature_encoder and study.encoders[recipe.feature_encoder].kind == "fid":
            where = f"recipes.{name}.feature_encoder"
            yield f"{where}: {recipe.feature_encoder} is for scoring only; name another"


def balance(study: "Study", classes: int) -> Iterator[str]:
    """Generators whose samples the study's number of classes does not divide."""
    for name, generator in study.generators.items():
        count = generator.sampling.images
        if generator.sampling.labels == "balanced" and count % classes:
            near = max(classes, count // classes * classes)
            yield (
                f"generators.{name}.sampling.images is {count}, which {classes} classes do not divide into "
                f"equal shares; use {near}, or set sampling.labels to random"
            )


def _of_encoder(encoder: Encoder) -> Iterator[str]:
    if encoder.kind == "torchvision" and encoder.model not in RELEASED:
        yield f"model: {encoder.model} is none of torchvision's encoders: {', '.join(RELEASED)}"
    elif encoder.kind == "timm" and (fault := unknown("timm", encoder.model)):
        yield fault


def _of_student(student: Student) -> Iterator[str]:
    network = student.network
    if network.model and (fault := unknown(network.architecture, network.model)):
        yield f"network.{fault}"
    if network.architecture == "convnet" and student.resolution >> network.depth == 0:
        yield f"network.depth: {network.depth} blocks halve {student.resolution} pixels to none; lower it"


def _of_method(study: "Study", method: Selector) -> Iterator[str]:
    if method.encoder and study.encoders[method.encoder].kind == "fid":
        yield f"encoder: {method.encoder} is for scoring only; name an encoder of another kind"
    if isinstance(method, Synthesis) and study.generators[method.generator].objective != "adm":
        yield f"generator: {method.generator} has the objective flow, and images are made by one with adm"
    if "surrogate" in method.needs:
        yield from _of_surrogate(study, method)
    if isinstance(method, Doped):
        yield from _of_doped(study, method)
    if isinstance(method, Listed) and not method.file:
        yield "file is missing; name the list of images"


def _of_surrogate(study: "Study", method: Synthesis) -> Iterator[str]:
    student, generator = study.students[method.surrogate], study.generators[method.generator]
    if student.training.keep != "epochs":
        yield f"surrogate: {method.surrogate} keeps no weights of epochs; give its training keep: epochs"
    if student.resolution != generator.resolution:
        yield (
            f"surrogate: {method.surrogate} takes {student.resolution} pixels and {method.generator} makes "
            f"{generator.resolution}; give it the same resolution"
        )


def _of_doped(study: "Study", method: Doped) -> Iterator[str]:
    made = [name for name, its in study.methods.items() if isinstance(its, Synthesis)]
    known = {"made": made, "made_budget": study.budgets, "student": study.students}
    unknown = [key for key, names in known.items() if getattr(method, key) not in names]
    yield from (undefined(key, getattr(method, key), known[key]) for key in unknown)
    if not unknown and method.reference == "teacher" and not study.students[method.student].labels.teachers:
        yield f"reference is teacher, and student {method.student} has none; set it to label"


def _of_generator(study: "Study", generator: "Generator") -> Iterator[str]:
    autoencoder = study.autoencoders.get(generator.autoencoder or "")
    factor = 1 if autoencoder is None else _factor(autoencoder)
    if generator.resolution % factor:
        yield f"resolution is {generator.resolution}; its autoencoder takes multiples of {factor}"
    elif generator.resolution // factor % generator.network.patch:
        side = generator.resolution // factor
        yield f"network.patch is {generator.network.patch}, which does not divide the latent's side, {side}"
    recipe = study.recipes.get(generator.recipe, Recipe())
    depth = generator.network.depth or SIZES[generator.network.size][0]
    if recipe.feature_encoder and recipe.alignment_block > depth:
        yield f"recipe: {generator.recipe} aligns after block {recipe.alignment_block}, and there are {depth}"
    if generator.finetune and generator.objective != "adm":
        origin = generator.finetune.generator
        yield f"finetune: {origin} has the objective {generator.objective}, and finetuning needs one with adm"
    sampling = generator.sampling
    low, high = OBJECTIVES[generator.objective].steps.get(sampling.sampler, (1, None))
    if sampling.steps < low or (high and sampling.steps > high):
        yield f"sampling.steps is {sampling.steps}; {sampling.sampler} takes {low} to {high}"


def _of_autoencoder(autoencoder: Autoencoder) -> Iterator[str]:
    """A folder that is there says what it is."""
    found = _config(autoencoder).get("_class_name", NAMES[autoencoder.kind])
    if found != NAMES[autoencoder.kind]:
        fitting = [kind for kind, name in NAMES.items() if name == found]
        hint = f"set kind to {fitting[0]}" if fitting else "choose another folder"
        yield f"kind is {autoencoder.kind}, and {autoencoder.path} holds an {found}; {hint}"


def _factor(autoencoder: Autoencoder) -> int:
    """Pixels per latent pixel, along a side."""
    config = _config(autoencoder)
    widths = config.get("block_out_channels") or config.get("encoder_block_out_channels")
    return 2 ** (len(widths) - 1) if widths and isinstance(widths, list) else FACTOR


def _config(autoencoder: Autoencoder) -> dict:
    """What the folder of an autoencoder says of it; empty where there is none, or not a readable one."""
    try:
        found = json.loads((Path(autoencoder.path) / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}

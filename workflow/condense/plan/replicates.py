"""Replicates: what a seed of the study draws anew stands beside that of seed 0 under a name of its own.

`gadc.3` is the method gadc as the replicate of seed 3 chooses by it, `cnn.3` the encoder cnn as it is fitted
there. A study's own names have no dot. Whatever nothing is drawn anew for keeps its name, and is made once.
"""

from dataclasses import replace

from condense.base.seeds import seed_of
from condense.config.doping import Doped
from condense.config.groups import Groups
from condense.config.methods import D2c, Selector
from condense.config.names import name_of_group, name_of_seed
from condense.config.settings import Encoder, Sampling
from condense.config.study import Study
from condense.config.synthesis import Synthesis

LARGEST = 2**31  # of the seeds that are handed on


def replicated(study: Study) -> Study:
    """The study with the encoders and methods of each of its seeds."""
    encoders, methods = dict(study.encoders), dict(study.methods)
    for seed in filter(None, study.seeds):
        for name, encoder in study.encoders.items():
            if "encoder" in study.vary and encoder.is_own and name != study.detector:
                encoders[name_of_seed(name, seed)] = _again(encoder, seed)
        for name, method in study.methods.items():
            found = method
            if name_of_seed(str(method.encoder), seed) in encoders:
                found = replace(found, encoder=name_of_seed(method.encoder, seed))
            if "draw" in study.vary and method.draws:
                found = _again(found, seed)
            if "training" in study.vary:
                found = _with_own_generator(found, seed)
            if found != method:
                methods[name_of_seed(name, seed)] = found
    _add_groups(study, methods)
    for seed in filter(None, study.seeds):
        for name, method in study.methods.items():
            if (
                isinstance(method, Doped)
                and (found := _with_own_student(method, seed, methods, study)) != method
            ):
                methods[name_of_seed(name, seed)] = found
    return study.model_copy(update={"encoders": encoders, "methods": methods})


def of_seed(names: dict[str, object], name: str, seed: int | str) -> str:
    """Name of an encoder or a method in the replicate of a seed: its own, or that of all replicates."""
    own = name_of_seed(name, int(seed))
    return own if own in names else name


def training_seed(study: Study, seed: int | str) -> int:
    """Seed of the trainings of a replicate."""
    return int(seed) if "training" in study.vary else 0


def sampling_of(study: Study, sampling: Sampling, seed: int | str) -> Sampling:
    """How a replicate draws its images: with noise of its own, which all its runs share."""
    if "sampling" not in study.vary or not int(seed):
        return sampling
    noise = seed_of("replicate", sampling.noise_seed, int(seed)) % LARGEST
    return replace(sampling, noise_seed=noise)


def _with_own_generator(method: Selector, seed: int) -> Selector:
    """A method that looks at a generator or a student, with the one that is trained in its own replicate."""
    if isinstance(method, D2c) and not method.checkpoint:
        return replace(method, seed=method.seed + seed)
    if isinstance(method, Synthesis) and not method.checkpoint:
        method = replace(method, generator_seed=method.generator_seed + seed)
    if "surrogate" in method.needs:
        method = replace(method, surrogate_seed=method.surrogate_seed + seed)
    return method


def _with_own_student(method: Doped, seed: int, methods: dict[str, Selector], study: Study) -> Doped:
    """A method that dopes, with the images and the student of its own replicate."""
    made = of_seed(methods, method.made, seed)
    again = made != method.made or "training" in study.vary
    return replace(method, made=made, student_seed=method.student_seed + seed * again)


def _add_groups(study: Study, methods: dict[str, Selector]) -> None:
    """Let each choice among groups name the method of its own replicate; add those that draw the groups."""
    for name, method in study.methods.items():
        if not isinstance(method, Groups):
            continue
        for seed in dict.fromkeys([0, *study.seeds]):
            drawn_by = of_seed(methods, method.drawn_by, seed)
            own = name_of_seed(name, seed)
            if own in methods or drawn_by != method.drawn_by:
                methods[own] = replace(methods.get(own, method), drawn_by=drawn_by)
            drawing = methods[drawn_by]
            for group in range(1, method.groups):
                drawn = replace(drawing, seed=seed_of("group", drawing.seed, group) % LARGEST)
                methods[name_of_group(drawn_by, group)] = drawn


def _again(settings: Encoder | Selector, seed: int) -> Encoder | Selector:
    """Settings of something that is drawn, with the seed of a replicate."""
    return replace(settings, seed=seed_of("replicate", settings.seed, seed) % LARGEST)

"""Benchmark files of what making a subset takes, from nothing but the images."""

from condense.config.doping import Doped
from condense.config.groups import Groups
from condense.config.methods import D2c
from condense.config.names import name_of_group
from condense.config.synthesis import Synthesis
from condense.plan.files import Files
from condense.reporting.layout import Making


def making_files(files: Files, method: str, budget: str) -> Making:
    """Patterns below results/benchmarks of the jobs behind a subset; `method` is a replicate's.

    Its own jobs make no other set: all the groups that it chooses among, the made set that it tops up and the
    student that judges. It shares fits of encoders, features, and the trainings of generators and surrogates.
    An imported checkpoint costs nothing here.
    """
    own, shared = _making(files, method, budget)
    return Making(tuple(sorted(own)), tuple(sorted(shared - own)))


def _making(files: Files, method: str, budget: str) -> tuple[set[str], set[str]]:
    """Patterns of a subset's own jobs, and of those that it shares."""
    chosen = files.study.methods[method]
    shared = _looked_at(files, method)
    if isinstance(chosen, Groups):
        own = {f"choose_groups/{method}/{budget}.tsv"}
        for number in range(chosen.groups):
            drawn = _making(files, name_of_group(chosen.drawn_by, number), budget)
            own, shared = own | drawn[0], shared | drawn[1]
        return own, shared
    if isinstance(chosen, Doped):
        own, also = _making(files, chosen.made, chosen.made_budget)
        run = f"{chosen.student}/{chosen.made}/{chosen.made_budget}/seed{chosen.student_seed}"
        own |= {f"relabel/{run}.tsv", f"learn/{run}.tsv", f"confusion/{chosen.reference}/{run}/*.tsv"}
        return own | {f"dope/{method}/{budget}/*.tsv"}, shared | also
    stage = "synthesise" if isinstance(chosen, Synthesis) else "select"
    return {f"{stage}/{method}/{budget}/*.tsv"}, shared


def _looked_at(files: Files, method: str) -> set[str]:
    """Patterns of what a method looks at."""
    chosen, study = files.study.methods[method], files.study
    found = set()
    if chosen.encoder:
        found |= {f"encoder/{chosen.encoder}.tsv", f"embed/{chosen.encoder}/*.tsv"}
    if "probabilities" in chosen.needs:
        found |= {f"head/{chosen.encoder}.tsv", f"classify/{chosen.encoder}/*.tsv"}
    if "margins" in chosen.needs:
        found.add(f"margins/{chosen.encoder}.tsv")
    if "difficulty" in chosen.needs:
        found.add(f"difficulty/{method}/*.tsv")
    if isinstance(chosen, D2c | Synthesis) and not chosen.checkpoint:
        found |= _training(files, chosen.generator, chosen.trained_on, chosen.training_seed)
    if "real" in chosen.needs:
        found.add(_latents(files, chosen.generator, chosen.real))
    if "surrogate" in chosen.needs:
        trained_on = chosen.surrogate_trained_on
        run = f"{chosen.surrogate}/{trained_on}/{study.budget_of(trained_on, '')}"
        found.add(f"learn/{run}/seed{chosen.surrogate_seed}.tsv")
    return found


def _training(files: Files, generator: str, method: str, seed: int) -> set[str]:
    """Patterns of the training of a generator on a method that takes every image, and of its start's."""
    trained = files.trained(generator)
    tuned = files.study.generators[trained].finetune
    run = f"{trained}/{method}/{files.study.budget_of(method, '')}/seed{seed}.tsv"
    found = {_latents(files, generator, method), f"{'finetune' if tuned else 'train'}/{run}"}
    if tuned and not tuned.checkpoint:
        found |= _training(files, tuned.generator, tuned.trained_on, seed)
    return found


def _latents(files: Files, generator: str, method: str) -> str:
    """Pattern of the latents of a method that takes every image."""
    path = files.latents(generator, method, files.study.budget_of(method, ""))
    return f"{path.removeprefix('results/').removesuffix('.h5')}.tsv"

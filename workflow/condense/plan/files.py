"""Files that stand behind the runs of a study, by its names."""

import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from condense.config.learners import Kind, Run
from condense.config.methods import Nothing
from condense.config.study import Study
from condense.config.synthesis import MADE
from condense.plan.replicates import of_seed
from condense.students.recipes import by_images

SCORES: dict[Kind, str] = {
    "generator": "results/scores/{generator}/{method}/{budget}/seed{seed}.csv",
    "student": "results/accuracies/{student}/{method}/{budget}/seed{seed}.csv",
    "judge": "results/appraisals/{judge}/{method}/{budget}/seed{seed}.csv",
}


class Files:
    """Where the results of a study's runs lie."""

    def __init__(self, study: Study, place: Callable[[str], str] = str) -> None:
        self.study = study
        self.place = place  # where a file lies, seen from the folder that Snakemake works in

    def made(self) -> dict[str, str]:
        """Folder of made images as an option, where it is not where the commands look for it."""
        folder = self.place(MADE)
        return {} if folder == MADE else {"made": folder}

    def shards(self, pattern: str) -> list[str]:
        """Files of every shard of the classes, as Snakemake's `gather.classes` names them."""
        count = self.study.shards
        return [pattern.format(scatteritem=f"{number}-of-{count}") for number in range(1, count + 1)]

    def of_runs(self, runs: Iterable[Run], pattern: str, seeds: Sequence[int] | None = None) -> list[str]:
        """Files of some runs, one for each of the `seeds`; for every seed of the study when None."""
        seeds = self.study.seeds if seeds is None else seeds
        return [
            pattern.format(**run.names() | {"method": self.method(run.method, seed)}, seed=seed)
            for run in runs
            for seed in seeds
        ]

    def method(self, method: str, seed: int | str) -> str:
        """Name of a method in the paths of a replicate."""
        return of_seed(self.study.methods, method, seed)

    def encoder(self, encoder: str, seed: int | str) -> str:
        """Name of an encoder in the paths of a replicate."""
        return of_seed(self.study.encoders, encoder, seed)

    def scores(self, runs: Iterable[Run]) -> list[str]:
        """Scores of some runs, a file for every seed."""
        return [path for run in runs for path in self.of_runs([run], SCORES[run.learner.kind])]

    def space(self, generator: str) -> str:
        """Name of the space that a generator works in."""
        return self.study.generators[generator].autoencoder or "pixels"

    def latents(self, generator: str, method: str, budget: str) -> str:
        """File of the latents of a subset, as a generator sees them."""
        place = f"{self.space(generator)}/{self.study.generators[generator].resolution}"
        return f"results/latents/{place}/{method}/{budget}.h5"

    def trained(self, generator: str) -> str:
        """The generator whose training a generator's weights come from."""
        borrowed = self.study.generators[generator].weights
        return borrowed.generator if borrowed else generator

    def weights(self, generator: str, method: str, budget: str, seed: str) -> str:
        """File of a generator's weights: the end of a training, or a milestone on its way."""
        borrowed = self.study.generators[generator].weights
        path = f"results/generators/{self.trained(generator)}/{method}/{budget}/seed{seed}"
        if borrowed is None or borrowed.step is None or isinstance(self.study.methods[method], Nothing):
            return f"{path}.safetensors"
        return f"{path}.milestones/step_{borrowed.step:09d}.safetensors"

    def weights_input(self, generator: str, method: str, budget: str, seed: str) -> str:
        """What a job waits for to have them: a milestone is known to Snakemake by its folder."""
        path = Path(self.weights(generator, method, budget, seed))
        return str(path.parent if path.parent.suffix == ".milestones" else path)

    def generator_of(self, method: str, found: Callable[..., str]) -> str:
        """File of the weights of a method's generator: imported, or as `found` of a run of the study."""
        chosen = self.study.methods[method]
        if chosen.checkpoint:
            return self._imported(chosen.checkpoint)
        budget = self.study.budget_of(chosen.trained_on, "")
        return found(chosen.generator, chosen.trained_on, budget, str(chosen.training_seed))

    def _imported(self, checkpoint: str) -> str:
        """File of an imported checkpoint, one for all that name it: that of the first of them."""
        owners = {f"methods/{name}": vars(its).get("checkpoint") for name, its in self.study.methods.items()}
        owners |= {
            f"generators/{name}": its.finetune and its.finetune.checkpoint
            for name, its in self.study.generators.items()
        }
        first = next(name for name, named in owners.items() if named == checkpoint)
        return f"results/checkpoints/{first}.safetensors"

    def start(self, generator: str, seed: str) -> dict[str, str]:
        """Weights that a finetuning starts from, and the subset that the study trained them on, if it did."""
        chosen = self.study.generators[generator].finetune
        if chosen.checkpoint:
            return {"start": self._imported(chosen.checkpoint)}
        method = self.method(chosen.trained_on, seed)
        budget = self.study.budget_of(method, "")
        return {
            "start": self.weights(chosen.generator, method, budget, seed),
            "start_subset": f"results/subsets/{method}/{budget}.csv",
        }

    def teachers(self, student: str, budget: str, seed: str) -> list[str]:
        """Files of a student's teachers; students that teach learnt from all images, with the same seed."""
        labels = self.study.students[student].labels
        names = labels.teachers
        if labels.teacher_count is not None:
            names = names[: by_images(labels.teacher_count, self.study.budgets.get(budget, math.inf))]
        return [
            f"results/encoders/{self.encoder(name, seed)}.safetensors"
            if name in self.study.encoders
            else self._teaching_student(name, labels.trained_on, seed)
            for name in names
        ]

    def _teaching_student(self, name: str, method: str, seed: str) -> str:
        """File of a student, trained on all images, that teaches others or guides."""
        budget = self.study.budget_of(method, "")
        return f"results/students/{name}/{self.method(method, seed)}/{budget}/seed{seed}.safetensors"

    def surrogate(self, method: str) -> str:
        """File of the student whose gradients guide a method."""
        chosen = self.study.methods[method]
        trained_on, seed = chosen.surrogate_trained_on, chosen.surrogate_seed
        return self._teaching_student(chosen.surrogate, trained_on, str(seed))

    def confusion(self, reference: str, student: str, method: str, budget: str, seed: str) -> list[str]:
        """How much a student confuses each real image, a file per shard."""
        run = f"{reference}/{student}/{method}/{budget}/seed{seed}"
        return self.shards(f"results/confusion/{run}/{{scatteritem}}.h5")

    def head(self, encoder: str) -> str:
        """File that turns an encoder's features into probabilities: its own, or a fitted head."""
        chosen = self.study.encoders[encoder]
        linear = chosen.classifier == "linear" or chosen.kind == "untrained"  # which has none of its own
        return f"results/{'heads' if linear else 'encoders'}/{encoder}.safetensors"

    def detector(self, head: bool = False) -> dict[str, str]:
        """Files of the detector, and of its classifier, that jobs make or fetch."""
        name = self.study.detector
        chosen = self.study.encoders[name]
        if chosen.kind == "fid":
            return {} if chosen.weights else {"encoder": f"results/encoders/{name}.pth"}
        files = {"encoder": f"results/encoders/{name}.safetensors"}
        return files | {"head": self.head(name)} if head else files

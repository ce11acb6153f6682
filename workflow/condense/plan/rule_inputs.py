"""Files that the jobs of a rule depend on, where the study decides; a method is called as its rule."""

from dataclasses import replace

from condense.config.learners import Learner
from condense.config.names import name_of_group
from condense.config.study import Study
from condense.plan.doping_inputs import DopingInputs
from condense.plan.files import Files
from condense.plan.layout import runs
from condense.plan.targets import Targets

INDEX, VALIDATION_INDEX = "results/index.csv", "results/validation_index.csv"


class RuleInputs(DopingInputs):
    """Inputs of each rule; a method takes the wildcards it needs as plain words."""

    def __init__(self, study: Study, files: Files, targets: Targets) -> None:
        self.study = study
        self.files = files
        self.targets = targets

    def encoder(self, encoder: str) -> list[str]:
        """Index files that an encoder is fitted on; none for a pretrained one."""
        fitted = self.study.encoders[encoder].kind == "fit"
        return self.files.shards("results/index/{scatteritem}.csv") if fitted else []

    def classify(self, encoder: str, scatteritem: str) -> dict[str, str]:
        """Features of a shard, and what turns them into probabilities."""
        return {
            "embeddings": f"results/embeddings/{encoder}/{scatteritem}.h5",
            "classifier": self.files.head(encoder),
        }

    def difficulty(self, method: str) -> dict[str, str]:
        """The generator by whose loss a method ranks, and the subset that the study trained it on."""
        return self._generator(method)

    def synthesise(self, method: str) -> dict[str, str]:
        """The generator that makes images, the subset that it was trained on, and what else is looked at."""
        chosen = self.study.methods[method]
        files = self._generator(method)
        if "real" in chosen.needs:
            budget = self.study.budget_of(chosen.real, "")
            files["latents"] = self.files.latents(chosen.generator, chosen.real, budget)
        if "surrogate" in chosen.needs:
            files["surrogate_weights"] = self.files.surrogate(method)
            files["reference_index"] = INDEX
        return files

    def choose_groups(self, method: str, budget: str) -> dict[str, str | list[str]]:
        """Subsets of the methods that draw the groups; the classes of each shard; features, their encoder."""
        chosen = self.study.methods[method]
        groups = [name_of_group(chosen.drawn_by, number) for number in range(chosen.groups)]
        features = f"results/embeddings/{chosen.encoder}/{{scatteritem}}.h5"
        return {
            "group": [f"results/subsets/{name}/{budget}.csv" for name in groups],
            "index": self.files.shards("results/index/{scatteritem}.csv"),
            "features": self.files.shards(features),
            "encoder_file": f"results/encoders/{chosen.encoder}.safetensors",
        }

    def _generator(self, method: str) -> dict[str, str]:
        """Weights of a method's generator, and the subset that the study trained it on."""
        chosen = self.study.methods[method]
        files = {"weights": self.files.generator_of(method, self.files.weights_input)}
        if not chosen.checkpoint:
            budget = self.study.budget_of(chosen.trained_on, "")
            files["subset"] = f"results/subsets/{chosen.trained_on}/{budget}.csv"
        return files

    def select(self, method: str, scatteritem: str) -> dict[str, str]:
        """Files that the selection of a method in a shard depends on."""
        chosen = self.study.methods[method]
        features = {"features": f"results/embeddings/{chosen.encoder}/{scatteritem}.h5"}
        probabilities = f"results/probabilities/{chosen.encoder}/{scatteritem}.h5"
        files = {
            "features": features,
            "probabilities": features | {"probabilities": probabilities},
            "margins": {"scores": f"results/margins/{chosen.encoder}.h5"},
            "difficulty": {"scores": f"results/difficulty/{method}/{scatteritem}.h5"},
            "file": {"file": chosen.file},
        }
        needed = {option: path for need in chosen.needs for option, path in files[need].items()}
        return needed if "features" in needed else self._images(scatteritem) | needed

    def _images(self, scatteritem: str) -> dict[str, str]:
        """File that lists the images of a shard: without the unreadable ones where these are skipped."""
        if self.study.images.unreadable == "skip":
            return {"features": f"results/embeddings/{self.study.detector}/{scatteritem}.h5"}
        return {"index": f"results/index/{scatteritem}.csv"}

    def measure(self) -> dict[str, str | list[str]]:
        """Files of the encoder in whose features subsets are measured."""
        encoder = self._measuring_encoder()
        return {
            "features": self.files.shards(f"results/embeddings/{encoder}/{{scatteritem}}.h5"),
            "probabilities": self.files.shards(f"results/probabilities/{encoder}/{{scatteritem}}.h5"),
            "everything": f"results/moments/{encoder}.h5",
        }

    def merge_measures(self) -> dict[str, list[str]]:
        """What was measured of each row of `results/subsets.csv`, and the subsets, to compare them."""
        patterns = {
            "rows": "results/measures/{method}/{budget}.csv",
            "subsets": "results/subsets/{method}/{budget}.csv",
        }
        return {
            name: self.targets.of_subsets(pattern, self.study.seeds) for name, pattern in patterns.items()
        }

    def plot_map(self) -> list[str]:
        """Features of all images, in which subsets are measured."""
        return self.files.shards(f"results/embeddings/{self._measuring_encoder()}/{{scatteritem}}.h5")

    def _measuring_encoder(self) -> str:
        first = self.files.method(self.study.subsets.measure, self.study.seeds[0])
        return self.study.methods[first].encoder

    def train(self, generator: str, method: str, budget: str, seed: str) -> dict[str, str]:
        """Latents of a subset, and what the generator's recipe attaches to them."""
        resolution = self.study.generators[generator].resolution
        recipe = self.study.recipe_of(generator)
        files = {"latents": self.files.latents(generator, method, budget)}
        if recipe.text_encoder:
            files["captions"] = f"results/captions/{recipe.text_encoder}.h5"
        if recipe.feature_encoder:
            encoder = self.files.encoder(recipe.feature_encoder, seed)
            files["patches"] = f"results/patches/{encoder}/{resolution}/{method}/{budget}.h5"
        return files

    def finetune(self, generator: str, method: str, budget: str, seed: str) -> dict[str, str]:
        """Weights to start from, and latents of a subset."""
        latents = {"latents": self.files.latents(generator, method, budget)}
        return self.files.start(generator, seed) | latents

    def generate(self, generator: str, method: str, budget: str, seed: str) -> str:
        """Weights of a generator."""
        return self.files.weights_input(generator, method, budget, seed)

    def reference(self) -> dict[str, str]:
        """The detector."""
        return self.files.detector()

    def reference_batch(self) -> dict[str, str]:
        """The detector."""
        return self.files.detector()

    def detect(self) -> dict[str, str]:
        """The detector and its classifier."""
        return self.files.detector(head=True)

    def score(self, generator: str, method: str, budget: str, seed: str) -> dict[str, str | list[str]]:
        """Weights of a generator; features of the study's images, and of the reference batch, if any."""
        resolution = self.study.generators[generator].resolution
        references = self.files.shards(f"results/references/{resolution}/{{scatteritem}}.h5")
        if resolution in self.study.references:
            references.append(f"results/references/{resolution}/batch.h5")
        weights = self.files.weights_input(generator, method, budget, seed)
        return {"weights": weights, "references": references}

    def table(self, budget: str) -> list[str]:
        """Scores of every run of a comparison."""
        return self.files.scores(self.study.rows(budget, "generator"))

    def relabel(self, student: str, budget: str, seed: str) -> dict[str, str | list[str]]:
        """All images that can be chosen, and a student's teachers."""
        return {"index": INDEX, "teacher": self.files.teachers(student, budget, seed)}

    def learn(self, student: str, method: str, budget: str, seed: str) -> dict[str, str | list[str]]:
        """All images that can be chosen, those to examine on, and soft labels or those who give them."""
        files: dict[str, str | list[str]] = {"index": INDEX, "validation_index": VALIDATION_INDEX}
        labels = self.study.students[student].labels
        if labels.teachers and labels.view == "image":
            files["soft_labels"] = f"results/labels/{student}/{method}/{budget}/seed{seed}.safetensors"
        elif labels.teachers:
            files["teacher"] = self.files.teachers(student, budget, seed)
        return files

    def accuracies(self, budget: str) -> list[str]:
        """Accuracy of every student of a comparison."""
        return self.files.scores(self.study.rows(budget, "student"))

    def plot_learning(self, budget: str) -> list[str]:
        """Histories of the students of a comparison."""
        pattern = "results/students/{student}/{method}/{budget}/seed{seed}.history.jsonl"
        return self.files.of_runs(self.study.rows(budget, "student"), pattern)

    def appraise(self, judge: str) -> dict[str, str | list[str]]:
        """A judge, and its features of the images to choose from and of held-out ones."""
        place = f"results/embeddings/{judge}"
        return {
            "features": self.files.shards(f"{place}/{{scatteritem}}.h5"),
            "held_out": f"{place}/validation.h5",
            "encoder": f"results/encoders/{judge}.safetensors",
        }

    def tabulate(self, table: str) -> list[str]:
        """Scores of every run of a table."""
        return self.files.scores(runs(self.study, table))

    def agreement(self, table: str) -> list[str]:
        """Scores of every run of a table."""
        return self.tabulate(table)

    def plot_losses(self, budget: str) -> list[str]:
        """Histories of the trainings behind a comparison, each once."""
        trainings = [
            replace(run, learner=Learner("generator", self.files.trained(run.learner.name)))
            for run in self.study.rows(budget, "generator")
        ]
        pattern = "results/generators/{generator}/{method}/{budget}/seed{seed}.history.jsonl"
        return self.files.of_runs(dict.fromkeys(trainings), pattern)

    def plot_methods(self, generator: str, budget: str) -> list[str]:
        """A few images of each method of a comparison, drawn from one generator; of the first seed alone."""
        drawn = [run for run in self.study.rows(budget, "generator") if run.learner.name == generator]
        pattern = "results/figures/samples/{generator}/{method}/{budget}/seed{seed}.npz"
        return self.files.of_runs(drawn, pattern, self.study.seeds[:1])

    def plot_distances(self, budget: str) -> list[str]:
        """Distances of samples to training images, of each run of a comparison; of the first seed alone."""
        pattern = "results/scores/{generator}/{method}/{budget}/seed{seed}.distances.csv"
        return self.files.of_runs(self.study.rows(budget, "generator"), pattern, self.study.seeds[:1])

    def plot_objective(self, budget: str) -> list[str]:
        """Diagnostics of a comparison's methods that minimise an objective."""
        return self.targets.condensed(budget)

    def provenance(self) -> list[str]:
        """Every table of numbers."""
        return self.targets.tables()

    def pack_report(self, which: str) -> list[str]:
        """Tables and figures of one comparison (`_{budget}`), or of all (empty)."""
        return self.targets.shown(which.removeprefix("_"))

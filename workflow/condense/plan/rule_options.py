"""Command-line options of the jobs of a rule, quoted for the shell; a method is called as its rule."""

import json
import shlex
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from condense.config.learners import Kind
from condense.config.names import replicate_of
from condense.config.options import arguments
from condense.config.settings import Autoencoder
from condense.config.study import OWN_BUDGETS, Study
from condense.plan.files import Files
from condense.plan.layout import describe, describe_choice, table_layout
from condense.plan.replicates import sampling_of, training_seed
from condense.plan.words import as_options, joined, named


class RuleOptions:
    """Options of each rule; a method takes the wildcards it needs as plain words."""

    def __init__(self, study: Study, files: Files) -> None:
        self.study = study
        self.files = files

    def index(self) -> str:
        """The images."""
        return as_options(self.study.images)

    def validation_index(self) -> str:
        """The images."""
        return as_options(self.study.images)

    def encoder(self, encoder: str) -> str:
        """The encoder; a fitted one needs the images too."""
        chosen = self.study.encoders[encoder]
        images = [self.study.images] if chosen.kind == "fit" else []
        return as_options(replace(chosen, classifier="own"), *images)

    def embed(self) -> str:
        """The images."""
        return as_options(self.study.images)

    def embed_validation(self) -> str:
        """The images."""
        return as_options(self.study.images)

    def import_checkpoint(self, kind: str, name: str) -> str:
        """The checkpoint of one of the study's methods, or of its generators."""
        owner = self.study.methods[name] if kind == "methods" else self.study.generators[name].finetune
        return named(checkpoint=owner.checkpoint)

    def difficulty(self, method: str) -> str:
        """The weights by whose loss a method ranks, and what their generator sees of an image."""
        generator = self.study.methods[method].generator
        weights = self.files.place(self.files.generator_of(method, self.files.weights))
        seen = named(weights=weights, resolution=self.study.generators[generator].resolution)
        return joined(seen, as_options(self.study.images, self._autoencoder(self.files.space(generator))))

    def select(self, method: str, budget: str) -> str:
        """The method's settings, without those that other stages obey."""
        chosen = self.study.methods[method]
        count = {} if budget in OWN_BUDGETS else {"budget": self.study.budgets[budget]}
        words = arguments(chosen, without={*chosen.elsewhere(), "file"})  # a file is an input of the job
        return joined(named(name=replicate_of(method)[0], budget_name=budget, **count), shlex.join(words))

    def synthesise(self, method: str, budget: str) -> str:
        """The weights, the method's settings without those that other stages obey, and the autoencoder."""
        chosen = self.study.methods[method]
        names = named(
            weights=self.files.place(self.files.generator_of(method, self.files.weights)),
            name=replicate_of(method)[0],
            budget_name=budget,
            budget=self.study.budgets[budget],
            **self.files.made(),
        )
        words = arguments(chosen, without=chosen.elsewhere())
        space = self._autoencoder(self.files.space(chosen.generator))
        words += arguments(space, start="autoencoder_")
        if "surrogate" in chosen.needs:
            words += arguments(self.study.images, start="dataset_")
        return joined(names, shlex.join(words))

    def choose_groups(self, method: str, budget: str) -> str:
        """The method's settings, without those that other stages obey."""
        chosen = self.study.methods[method]
        names = named(name=replicate_of(method)[0], budget_name=budget, **self.files.made())
        return joined(names, shlex.join(arguments(chosen, without=chosen.elsewhere())))

    def measure(self, method: str, budget: str) -> str:
        """Names of the subset, and the objective that it is measured by."""
        objective = self.study.subsets.measure
        name, seed = replicate_of(method)
        names = named(method=name, budget=budget, seed=seed, objective=objective)
        settings = self.study.methods[self.files.method(objective, self.study.seeds[0])]
        return joined(names, as_options(settings))

    def plot_chosen(self) -> str:
        """The images."""
        return joined(as_options(self.study.images), named(**self.files.made()))

    def latents(self, space: str) -> str:
        """The images, and the autoencoder of a space."""
        return joined(as_options(self.study.images, self._autoencoder(space)), named(**self.files.made()))

    def captions(self, text_encoder: str) -> str:
        """The text encoder."""
        return as_options(self.study.text_encoders[text_encoder])

    def patches(self) -> str:
        """The images."""
        return joined(as_options(self.study.images), named(**self.files.made()))

    def train(self, generator: str, seed: str) -> str:
        """Objective, network, training and recipe of a generator, and the seed of its training."""
        chosen = self.study.generators[generator]
        words = as_options(chosen.network, chosen.training, self.study.recipe_of(generator))
        return joined(named(objective=chosen.objective, seed=training_seed(self.study, seed)), words)

    def finetune(self, generator: str, seed: str) -> str:
        """What is trained and by which losses, and the seed of the finetuning."""
        chosen = self.study.generators[generator].finetune
        return joined(as_options(chosen.own()), named(seed=training_seed(self.study, seed)))

    def dope(self, method: str, budget: str) -> str:
        """The method's settings, without those that other stages obey."""
        return self.select(method, budget)

    def confusion(self) -> str:
        """The images."""
        return as_options(self.study.images)

    def relabel(self) -> str:
        """The images."""
        return as_options(self.study.images)

    def learn(self, student: str, seed: str) -> str:
        """The images; network, recipe and resolution of a student, number and first seed of its trainings."""
        chosen = self.study.students[student]
        words = as_options(self.study.images, chosen.network, chosen.training)
        size = named(trainings=chosen.trainings, resolution=chosen.resolution)
        return joined(words, size, named(seed=training_seed(self.study, seed)))

    def examine(self, student: str, method: str, budget: str, seed: str) -> str:
        """The images, and names of the run."""
        names = named(student=student, method=replicate_of(method)[0], budget=budget, seed=seed)
        return joined(as_options(self.study.images), names)

    def appraise(self, judge: str, method: str, budget: str, seed: str) -> str:
        """Names of the run."""
        name, _ = replicate_of(method)
        return named(method=name, judge=judge, budget=budget, seed=seed, **self.files.made())

    def generate(self, generator: str, method: str, budget: str, seed: str) -> str:
        """The weights, and how images are drawn by them."""
        weights = named(weights=self.files.place(self.files.weights(generator, method, budget, seed)))
        return joined(self._sampling(generator, seed), weights)

    def plot_pairs(self) -> str:
        """The images."""
        return as_options(self.study.images)

    def reference(self) -> str:
        """The images and the detector."""
        return joined(as_options(self.study.images), self._detector())

    def reference_batch(self, resolution: str) -> str:
        """The user's file for a resolution, and the detector."""
        return joined(named(images=self.study.references[int(resolution)]), self._detector())

    def detect(self) -> str:
        """The detector and its classifier."""
        return self._detector(head=True)

    def score(self, generator: str, method: str, budget: str, seed: str) -> str:
        """The weights, names of the run, and the settings that make its scores comparable."""
        chosen = self.study.generators[generator]
        names = named(
            weights=self.files.place(self.files.weights(generator, method, budget, seed)),
            method=replicate_of(method)[0],
            generator=generator,
            budget=budget,
            seed=seed,
            resolution=chosen.resolution,
            decoder=self.files.space(generator),
        )
        return joined(names, as_options(sampling_of(self.study, chosen.sampling, seed)))

    def table(self, budget: str) -> str:
        """The budget, and where published values stand beside the measured ones, the generators."""
        about = {"published": json.dumps(self._about(budget, "generator"))} if self.study.published else {}
        return named(budget=budget, **about)

    def accuracies(self, budget: str) -> str:
        """The budget, and where published values stand beside the measured ones, students and methods."""
        if not self.study.published:
            return named(budget=budget)
        compared = self.study.comparisons[budget]
        choices = {method: describe_choice(self.study, method, budget) for method in compared.methods}
        about = json.dumps(self._about(budget, "student"))
        return named(budget=budget, published=about, choices=json.dumps(choices))

    def _about(self, budget: str, kind: Kind) -> dict[str, Any]:
        """Descriptions of a comparison's learners of a kind."""
        learners = self.study.comparisons[budget].learners()
        return {one.name: describe(self.study, one) for one in learners if one.kind == kind}

    def tabulate(self, table: str) -> str:
        """Layout of a table."""
        return named(layout=table_layout(self.study, table).to_json())

    def agreement(self, table: str) -> str:
        """Layout of a table."""
        return self.tabulate(table)

    def plot_table(self, table: str) -> str:
        """What a table is drawn against."""
        return named(against=self.study.tables[table].plot)

    def card(self, generator: str, method: str, budget: str, seed: str) -> str:
        """The weights, settings of method and generator, how to draw from it, and of what images."""
        about = {
            "method": asdict(self.study.methods[method]),
            "generator": self.study.generators[generator].model_dump(mode="json"),
        }
        images = self.study.images
        return named(
            weights=self.files.place(self.files.weights(generator, method, budget, seed)),
            about=json.dumps(about),
            sampling=self._sampling(generator, seed),
            dataset=Path(images.root).name if images.root else f"scikit-learn's {images.source}",
        )

    def _autoencoder(self, space: str) -> Autoencoder:
        """Settings of the autoencoder of a space; those of none for pixels."""
        return self.study.autoencoders.get(space, Autoencoder())

    def _sampling(self, generator: str, seed: str) -> str:
        """How images are drawn from a generator, and by what autoencoder they are decoded."""
        sampling = sampling_of(self.study, self.study.generators[generator].sampling, seed)
        return as_options(sampling, self._autoencoder(self.files.space(generator)))

    def _detector(self, head: bool = False) -> str:
        """The detector, and its classifier."""
        chosen = self.study.encoders[self.study.detector]
        if chosen.kind == "fid":
            file = chosen.weights or self.files.place(self.files.detector()["encoder"])
            return named(encoder=file, resize=chosen.resize)
        return named(**{name: self.files.place(path) for name, path in self.files.detector(head).items()})

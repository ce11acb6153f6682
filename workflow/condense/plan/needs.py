"""What the stages of a study compute and keep: operations, and bytes on disk."""

from collections.abc import Callable, Hashable, Iterable, Iterator
from functools import cache
from typing import NamedTuple

from condense.config.finetuning import Finetuning
from condense.config.learners import Run
from condense.config.methods import D2c, Nothing
from condense.config.objectives import OBJECTIVES
from condense.config.settings import Network
from condense.config.study import Study
from condense.config.synthesis import Synthesis
from condense.plan import sizes
from condense.plan.making import making_operations, makings
from condense.plan.replicates import of_seed
from condense.plan.student_needs import learning_operations, with_teachers
from condense.scoring.metrics import REFERENCE_IMAGES
from condense.selection.difficulty import TIMES

FLOAT, HALF = 4, 2  # bytes of a number
INCEPTION_LOGITS = 1008
OFFICIAL = Network(size="XL")  # ASSUME: an imported checkpoint is DiT-XL/2


class GeneratorRun(NamedTuple):
    """One generator of a study; `budget` is the one in its paths."""

    method: str
    generator: str
    budget: str
    seed: int


class Need(NamedTuple):
    """Operations of a stage, bytes that it keeps, and how many images it looks at."""

    operations: float
    kept: float
    images: int

    @classmethod
    def of(cls, images: int, operations: float, kept: float) -> "Need":
        """Of so many operations and bytes for each image."""
        return cls(images * operations, images * kept, images)


class Needs:
    """Needs of some runs of a replicated study on so many images and classes."""

    def __init__(self, study: Study, images: int, classes: int, runs: Iterable[Run]) -> None:
        self.study, self.images, self.classes = study, images, classes
        replicates = [
            (run.learner, of_seed(study.methods, run.method, seed), run.budget, seed)
            for run in runs
            for seed in study.seeds
        ]
        self.samplings = {
            GeneratorRun(method, learner.name, budget, seed)
            for learner, method, budget, seed in replicates
            if learner.kind == "generator"
        }
        self.learnt = {
            (learner.name, method, budget, seed)
            for learner, method, budget, seed in replicates
            if learner.kind == "student"
        }
        self.chosen = {(method, budget) for _, method, budget, _ in replicates}
        self.methods = {method for method, _ in self.chosen}
        self.trainings = {*self._trainings()}
        self._spaces = cache(
            lambda name, resolution: sizes.space_of(name and study.autoencoders[name], resolution)
        )
        self._encoders = cache(lambda name: sizes.encoder_size(study.encoders[name]))
        self._maps = cache(lambda name, resolution: sizes.map_size(study.encoders[name], resolution))
        self.detector = self._encoders(study.detector)

    def training(self, name: str) -> Need:
        """Of the trainings of one generator: forward and backward, and the weights at end and milestones."""
        generator = self.study.generators[name]
        mine = [run for run in self.trainings if run.generator == name]
        taught = [run for run in mine if not isinstance(self.study.methods[run.method], Nothing)]
        training, network = generator.training, self._network(name)
        if generator.finetune:
            seen = sum(map(self._size, taught)) * _passes(generator.finetune)
        else:
            seen = len(taught) * training.steps * training.batch * 3  # forward and backward
        tokens, width = self._captions(name) or (0, 0)  # of every class in each file
        file = FLOAT * network.numbers + HALF * (self.classes + 1) * tokens * width
        milestones = training.steps // training.milestone_every if training.milestone_every else 0
        files = len(mine) + milestones * len(taught)
        return Need(seen * network.operations, files * file, 0)

    def sampling(self, name: str) -> Need:
        """Of the images of one generator's runs; guidance and second order evaluate the network twice."""
        generator = self.study.generators[name]
        sampling, count = generator.sampling, sum(run.generator == name for run in self.samplings)
        passes = (2 if sampling.guidance > 1 else 1) * (2 if sampling.sampler == "heun" else 1)
        drawing = passes * sampling.steps * self._network(name).operations + self.space(name).decoding
        return Need.of(count * sampling.images, drawing, 3 * generator.resolution**2)

    def stages(self) -> dict[str, Need]:
        """Of each stage that runs share."""
        parts = {
            "embeddings": self._embeddings(),
            "difficulty": self._difficulty(),
            "synthesis": self._synthesis(),
            "latents": self._latents(),
            "patches": self._patches(),
            "references": self._references(),
            "detection": self._detection(),
            "learning": self._learning(),
        }
        found = {name: [*part] for name, part in parts.items()}
        return {name: Need(*map(sum, zip(*part, strict=True))) for name, part in found.items() if part}

    def _embeddings(self) -> Iterator[Need]:
        """Features of every image, by each encoder that a method looks through."""
        names = {self.study.methods[name].encoder for name in self.methods} - {None}
        if self.study.images.unreadable == "skip":  # they tell which images are readable
            names.add(self.study.detector)
        for name in names:
            size = self._encoders(name)
            yield Need.of(self.images, size.operations, FLOAT * size.numbers)

    def _difficulty(self) -> Iterator[Need]:
        """Loss of every image at some times, by each generator that ranks."""
        for method in map(self.study.methods.get, self.methods):
            if isinstance(method, D2c):
                encoding = self.space(method.generator).encoding
                operations = TIMES * self._network_of(method).operations + encoding.operations
                yield Need.of(self.images, operations, FLOAT)

    def _synthesis(self) -> Iterator[Need]:
        """Images made by generators, each of the subset's budget; kept as PNG, at most their pixels."""
        for method, budget, groups in makings(self.study, self.chosen):
            space, made = self.space(method.generator), groups * self.study.budgets[budget]
            real = self.images / self.classes / made
            network, count = self._network_of(method), self.classes
            operations = making_operations(self.study, method, network, space, real, count)
            side = self.study.generators[method.generator].resolution
            yield Need.of(self.classes * made, operations, 3 * side**2)

    def _latents(self) -> Iterator[Need]:
        """Latents of each subset that is trained on, and of its mirror images."""
        for run, count in self._subsets(lambda run: self._place(run.generator)):
            encoding = self.space(run.generator).encoding
            yield Need.of(count, 2 * encoding.operations, 2 * HALF * encoding.numbers)

    def _patches(self) -> Iterator[Need]:
        """Feature maps of the same images, for recipes that align to them."""
        for run, count in self._subsets(lambda run: self._aligned(run.generator)):
            if aligned := self._aligned(run.generator):
                size = self._maps(*aligned)
                yield Need.of(count, 2 * size.operations, 2 * HALF * size.numbers)

    def _references(self) -> Iterator[Need]:
        """Detector's features of every image at each resolution, and of reference batches."""
        sides = {self.study.generators[run.generator].resolution for run in self.samplings}
        count = len(sides) * self.images + len(sides & self.study.references.keys()) * REFERENCE_IMAGES
        yield Need.of(count, self.detector.operations, FLOAT * self.detector.numbers)

    def _detection(self) -> Iterator[Need]:
        """Detector's features and logits of every sample."""
        count = sum(self.study.generators[run.generator].sampling.images for run in self.samplings)
        fid = self.study.encoders[self.study.detector].kind == "fid"
        logits = INCEPTION_LOGITS if fid else self.classes
        yield Need.of(count, self.detector.operations, FLOAT * (self.detector.numbers + logits))

    def _learning(self) -> Iterator[Need]:
        """Views that students are trained on, by their teachers' labels, and epochs that are examined."""
        for student, _, budget, _ in with_teachers(self.study, self.learnt):
            each = self.study.budgets.get(budget, self.images / self.classes)
            counts = self.classes, self.images
            views, operations, numbers = learning_operations(self.study, student, each, *counts)
            yield Need(operations, FLOAT * numbers, views)

    def _trainings(self) -> Iterator[GeneratorRun]:
        """Trainings behind the runs, and those of generators that rank or make images for a method."""
        for run in self.samplings:
            trained = run._replace(generator=self._trained(run.generator))
            yield from (trained, *self._start(trained))
        for method in map(self.study.methods.get, self.methods):
            if isinstance(method, D2c | Synthesis) and not method.checkpoint:
                trained, budget = self._trained(method.generator), self.study.budget_of(method.trained_on, "")
                yield GeneratorRun(method.trained_on, trained, budget, method.training_seed)

    def _start(self, run: GeneratorRun) -> Iterator[GeneratorRun]:
        """The training that a finetuning starts from."""
        tuned = self.study.generators[run.generator].finetune
        if tuned and not tuned.checkpoint:
            budget = self.study.budget_of(tuned.trained_on, "")
            yield GeneratorRun(tuned.trained_on, tuned.generator, budget, run.seed)

    def _trained(self, name: str) -> str:
        """The generator whose training a generator's weights come from."""
        borrowed = self.study.generators[name].weights
        return borrowed.generator if borrowed else name

    def _subsets(self, key: Callable[[GeneratorRun], Hashable]) -> Iterator[tuple[GeneratorRun, int]]:
        """A training of each subset and key, and the number of images of the subset."""
        for run in {(key(run), run.method, run.budget): run for run in self.trainings}.values():
            yield run, self._size(run)

    def _size(self, run: GeneratorRun) -> int:
        """Images of the subset of a run."""
        per_class = self.study.budgets.get(run.budget, 0)
        return self.images if run.budget == "all" else per_class * self.classes

    def _place(self, name: str) -> tuple[str | None, int]:
        """Autoencoder and resolution of a generator."""
        return self.study.generators[name].autoencoder, self.study.generators[name].resolution

    def _aligned(self, name: str) -> tuple[str, int] | None:
        """Encoder to whose feature maps a generator is aligned, and the resolution; none without."""
        encoder = None if self.study.generators[name].finetune else self.study.recipe_of(name).feature_encoder
        return encoder and (encoder, self.study.generators[name].resolution)

    def space(self, name: str) -> sizes.Space:
        """Latents of a generator."""
        return self._spaces(*self._place(name))

    def _captions(self, name: str) -> tuple[int, int] | None:
        """Tokens and width of a generator's captions; none without."""
        encoder = self.study.recipe_of(name).text_encoder
        return encoder and sizes.text_size(self.study.text_encoders[encoder])

    def _network_of(self, method: D2c | Synthesis) -> sizes.Workload:
        """Parameters and operations of the generator that a method looks at, which may be an imported one."""
        if method.checkpoint:
            shape = self.space(method.generator).shape
            return sizes.generator_size(OFFICIAL, shape, self.classes, True)
        return self._network(method.generator)

    def _network(self, name: str) -> sizes.Workload:
        """Parameters of a generator, and the operations of a forward pass."""
        generator, shape = self.study.generators[name], self.space(name).shape
        learn_sigma = OBJECTIVES[generator.objective].learned_variance
        return sizes.generator_size(generator.network, shape, self.classes, learn_sigma, self._captions(name))


def _passes(tuned: Finetuning) -> int:
    """Forward passes that a finetuning is worth for each of its images."""
    inverting = {"none": 0, "ddim": tuned.inversion_steps - 1}.get(tuned.inversion, 1)
    # ASSUME: frozen weights have no gradient, so that a backward pass costs what a forward pass does
    return tuned.epochs * (inverting + (3 if tuned.parameters == "all" else 2))

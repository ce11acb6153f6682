"""The study: one typed, closed model of `config.yaml`, checked before any job starts."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from condense.base.errors import InputError
from condense.config import faults
from condense.config.crossing import Comparison, Subsets, Table
from condense.config.finetuning import Finetune
from condense.config.learners import Kind, Run
from condense.config.mentions import mentions_of_method
from condense.config.methods import Everything, Nothing, Selector
from condense.config.names import Distinct, Name, TableName, undefined
from condense.config.objectives import OBJECTIVES, misfit
from condense.config.published import published_methods
from condense.config.settings import (
    Autoencoder,
    Encoder,
    Gadc,
    Images,
    Method,
    Network,
    Recipe,
    Sampling,
    TextEncoder,
    Training,
)
from condense.config.student import Student
from condense.config.weights import Weights, borrow

Varied = Literal["encoder", "draw", "training", "sampling"]  # fits, draws of methods, trainings, their noise
OWN_BUDGETS = [cls.budget for cls in Selector.__subclasses__() if cls.budget]  # beside those of the study


class Closed(BaseModel):
    """Refuses keys that it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Generator(Closed):
    """One image generator: objective, resolution, network, training and sampling."""

    objective: Literal[*OBJECTIVES] = Field(description="ADM diffusion (DiT) or linear flow matching (SiT).")
    resolution: int = Field(gt=0, description="Side of the images, in pixels.")
    autoencoder: str | None = Field(None, description="Name of the autoencoder; pixels when none.")
    recipe: str = Field(
        "plain", description="Name of the recipe; `plain` is that of images and classes alone."
    )
    network: Network
    training: Training = Training()
    sampling: Sampling = Sampling()
    weights: Weights | None = Field(
        None, description="Takes another generator's weights; with it only `sampling` can be given."
    )
    finetune: Finetune | None = Field(
        None, description="Starts from another generator's weights; with it only `sampling` can be given."
    )

    @model_validator(mode="after")
    def sampler_fits_objective(self) -> "Generator":
        """An ODE solver draws from a flow, a diffusion chain from a diffusion model."""
        if reason := misfit(self.objective, self.sampling.sampler):
            raise ValueError(reason)
        return self


class Study(Closed):
    """Everything a study's results depend on; the machine belongs in a profile."""

    title: str = Field("", description="Heading of the report.")
    images: Images
    shards: int = Field(
        16,
        gt=0,
        le=4096,
        description="Number of pieces the classes are dealt into; of no effect on the numbers.",
    )
    sample_shards: int = Field(
        8,
        gt=0,
        le=4096,
        description="Number of pieces a run's images are generated in; of no effect on the numbers.",
    )
    budgets: dict[Name, Annotated[int, Field(gt=0)]] = Field(description="Images per class, by name.")
    encoders: dict[Name, Encoder] = Field({}, description="Networks whose features are compared.")
    autoencoders: dict[Name, Autoencoder] = Field({}, description="Image autoencoders.")
    text_encoders: dict[Name, TextEncoder] = Field({}, description="Encoders of captions.")
    recipes: dict[Name, Recipe] = Field({}, description="What is attached to the images in training.")
    methods: dict[Name, Annotated[Method, Field(discriminator="kind")]] = Field(
        description="Ways to choose a subset, or to make one."
    )
    generators: dict[Name, Generator] = Field({}, description="Generators trained on the subsets.")
    students: dict[Name, Student] = Field({}, description="Classifiers trained on the subsets.")
    dataset: str | None = Field(
        None, description="Name of these images in papers, as cifar10: to find their accuracies."
    )
    detector: str = Field(description="Encoder in whose features samples are scored.")
    references: dict[int, str] = Field(
        {}, description="ADM reference batch (npz) by resolution; the study's own images where none is given."
    )
    seeds: Distinct[Annotated[int, Field(ge=0)]] = Field(
        [0], min_length=1, description="Replicates of the whole chain; means and intervals are over them."
    )
    vary: Distinct[Varied] = Field(
        [*get_args(Varied)],
        description="What a seed draws anew; the rest is that of seed 0 in all of them.",
    )
    arithmetic: Literal["pinned", "native"] = Field(
        "pinned",
        description="CPU kernels: the same on every machine, or those that each library prefers.",
    )
    published: bool = Field(
        False, description="Print the papers' numbers beside measured ones, where network and training agree."
    )
    comparisons: dict[str, Comparison] = Field(
        description="By budget: what `results/fid_{budget}.csv` and `accuracy_{budget}.csv` compare."
    )
    subsets: Subsets | None = Field(None, description="What `results/subsets.csv` compares.")
    tables: dict[TableName, Table] = Field({}, description="What `results/tables/{table}.csv` shows.")

    @model_validator(mode="before")
    @classmethod
    def weights_are_borrowed(cls, config: Any) -> Any:
        """A generator that begins at another's weights has the settings of that one."""
        if isinstance(config, dict) and isinstance(config.get("generators"), dict):
            return config | {"generators": borrow(config["generators"])}
        return config

    @model_validator(mode="after")
    def students_can_be_examined(self) -> "Study":
        """A student needs images that it has not seen."""
        judged = any(run.learner.kind == "judge" for table in self.tables.values() for run in table.runs())
        if (self.students or judged) and self.images.validation is None:
            raise ValueError("students and judges look at validation images: give images.validation")
        return self

    @model_validator(mode="after")
    def names_exist(self) -> "Study":
        """Every name that is used is defined."""
        for where, name, defined in self._mentions():
            if name not in defined:
                raise ValueError(undefined(where, name, defined))
        return self

    def _mentions(self) -> Iterator[tuple[str, str, Any]]:
        """Each use of a name: the key that uses it, the name, and the names that are defined."""
        yield "detector", self.detector, self.encoders
        whole = [name for name, its in self.methods.items() if isinstance(its, Everything)]
        for name, method in self.methods.items():
            yield from mentions_of_method(self, f"methods.{name}", method, whole)
        for name, generator in self.generators.items():
            yield f"generators.{name}.recipe", generator.recipe, {"plain": None} | self.recipes
            if generator.finetune and not generator.finetune.checkpoint:
                yield f"generators.{name}.finetune.trained_on", generator.finetune.trained_on, whole
            if generator.autoencoder:
                yield f"generators.{name}.autoencoder", generator.autoencoder, self.autoencoders
        for name, student in self.students.items():
            for teacher in student.labels.teachers:
                yield f"students.{name}.labels.teachers", teacher, self.encoders | self.students
            if any(teacher in self.students for teacher in student.labels.teachers):
                yield f"students.{name}.labels.trained_on", student.labels.trained_on, whole
        for name, recipe in self.recipes.items():
            if recipe.text_encoder:
                yield f"recipes.{name}.text_encoder", recipe.text_encoder, self.text_encoders
            if recipe.feature_encoder:
                yield f"recipes.{name}.feature_encoder", recipe.feature_encoder, self.encoders
        if self.subsets:
            measures = [name for name, method in self.methods.items() if isinstance(method, Gadc)]
            sized = [name for name, method in self.methods.items() if not method.budget]
            yield "subsets.measure", self.subsets.measure, measures
            yield from (("subsets.methods", method, sized) for method in self.subsets.methods)
            yield from (("subsets.budgets", budget, self.budgets) for budget in self.subsets.budgets)
        for budget, comparison in self.comparisons.items():
            yield "comparisons", budget, self.budgets
            for method in comparison.methods:
                yield f"comparisons.{budget}.methods", method, self.methods
            for learner in comparison.learners():
                where = f"comparisons.{budget}.{learner.kind}s"
                yield where, learner.name, self.learners()[learner.kind]
        known = [*dict.fromkeys([*self.methods, *(published_methods() if self.published else ())])]
        for name, table in self.tables.items():
            for run in table.runs():
                kind = run.learner.kind
                yield f"tables.{name}.methods", run.method, known
                yield f"tables.{name}.{kind}s", run.learner.name, self.learners()[kind]
                yield f"tables.{name}.budgets", run.budget, self.budgets
            methods = [run.method for run in table.runs()]
            yield from ((f"tables.{name}.pairs", method, methods) for pair in table.pairs for method in pair)
            if table.control is not None:
                yield f"tables.{name}.control", table.control, methods

    def budget_of(self, method: str, budget: str) -> str:
        """Name of the budget in a method's paths: the study's, or the one that the method has."""
        return self.methods[method].budget or budget

    def recipe_of(self, generator: str) -> Recipe:
        """Recipe of a generator."""
        return self.recipes.get(self.generators[generator].recipe, Recipe())

    def learners(self) -> dict[Kind, dict[str, Any]]:
        """What the study uses subsets for: settings by kind and name."""
        return {"generator": self.generators, "student": self.students, "judge": self.encoders}

    def rows(self, budget: str, kind: Kind) -> list[Run]:
        """Run of each row of a comparison of learners of a kind, in order; its budget is that of paths.

        A student learns nothing from no image, so it has no run of a method that takes none.
        """
        if budget not in self.comparisons:
            known = ", ".join(self.comparisons)
            raise InputError(f"config.yaml: comparisons has no budget {budget} (it has: {known}); add one.")
        comparison = self.comparisons[budget]
        return [
            Run(method, learner, self.budget_of(method, budget))
            for learner in comparison.learners()
            for method in comparison.methods
            if learner.kind == kind
            if kind == "generator" or not isinstance(self.methods[method], Nothing)
        ]


def load(config: dict[str, Any]) -> Study:
    """Validate a parsed config; the first fault becomes one sentence that names the key."""
    try:
        study = TypeAdapter(Study).validate_python(config)
    except ValidationError as error:
        raise InputError(faults.sentence(error, config)) from None
    faults.refuse(faults.contradictions(study))
    return study

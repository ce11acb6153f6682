"""Ways to choose a subset: the settings of each, its first field the tag, and what other stages ask of it.

The function of each kind is in `selection.methods`.
"""

import dataclasses
from typing import ClassVar, Literal, Union

from condense.config.options import setting, settings


class Selector:
    """Facts about a way to choose, as they are for one that looks at nothing but the list of images.

    `needs` are what it looks at besides: `features` or `probabilities` of an encoder; scores of the images,
    by the stage `margins` or `difficulty`; a `file`. `budget` is the name of its one budget, where it has but
    one.
    """

    needs: ClassVar[tuple[str, ...]] = ()
    budget: ClassVar[str] = ""
    encoder: ClassVar[str | None] = None
    file: ClassVar[str | None] = None

    @property
    def draws(self) -> bool:
        """Whether images are drawn by a seed of its own."""
        return hasattr(self, "seed") and "seed" not in self.elsewhere()

    @classmethod
    def elsewhere(cls) -> set[str]:
        """Settings that another stage obeys than `select`."""
        return {
            item.name
            for item in dataclasses.fields(cls)
            if "stage" in item.metadata.get("json_schema_extra", ())
        }


@settings
class Everything(Selector):
    """Every image of every class: the ceiling row."""

    kind: Literal["full"]
    budget = "all"


@settings
class Nothing(Selector):
    """No image at all: the floor row, a generator as it was initialised."""

    kind: Literal["none"]
    budget = "zero"


@settings
class Random(Selector):
    """Uniform draw without replacement inside each class."""

    kind: Literal["random"]
    seed: int = setting(0, "Seed of the draw, combined with the class name.", ge=0)


@settings
class Gadc(Selector):
    """Geometry-aware condensation: transport + alpha * statistics + beta * confidence."""

    kind: Literal["gadc"] = setting("gadc", "Way to choose images.")
    encoder: str = setting("", "Name of the encoder whose features are aligned.", stage="embed")
    capacity: float = setting(1.05, "Kappa: an image may receive this multiple of its share.", ge=1)
    epsilon: float = setting(12.0, "Entropic regularisation of the transport.", gt=0)
    epsilon_unit: Literal["absolute", "median"] = setting(
        "absolute", "Unit of epsilon: cost, or the class's median cost."
    )
    dummy_cost: float = setting(
        0.05, "Gamma; cancels in exact arithmetic, accepted and without effect.", ge=0
    )
    iterations: int = setting(20, "Sinkhorn iterations per evaluation.", gt=0)
    tolerance: float | None = setting(
        None, "Stop Sinkhorn at this marginal error instead of after `iterations`.", gt=0
    )
    transport: bool = setting(True, "Keep the transport term.")
    alpha: float = setting(6.0, "Weight of the statistics term.", ge=0)
    statistics: Literal["bures", "paper"] = setting(
        "bures", "Form of the statistics term: as released, or as printed."
    )
    beta: float = setting(1200.0, "Weight of the confidence term.", ge=0)
    confidence: Literal["mean", "candidate"] = setting(
        "mean", "Confidence in the greedy stage: mean of the set, or the release's."
    )
    exchange: Literal["optimal", "released", "none"] = setting(
        "optimal", "Exchange to a 1-swap optimum, as released, or not at all."
    )
    restarts: int = setting(
        8, "Times the optimal exchange disturbs its best subset and exchanges again.", ge=0
    )
    swaps: int = setting(30, "Most swaps of the released exchange.", ge=0)
    columns: int | None = setting(
        None,
        "Representatives that a class is transported onto; when none, all of up to 8,000 images, else 1,024.",
        gt=0,
    )
    precision: Literal["float32", "float64"] = setting(
        "float32", "Arithmetic of the sweeps; decisions are always float64."
    )

    @property
    def needs(self) -> tuple[str, ...]:
        """Probabilities only for the confidence term."""
        return ("features", "probabilities") if self.beta > 0 else ("features",)


@settings
class KCenter(Selector):
    """Greedy k-centre: always the image farthest from its nearest chosen one."""

    kind: Literal["k-center"]
    needs = ("features",)
    encoder: str = setting("", "Name of the encoder whose features are compared.", stage="embed")
    seed: int = setting(0, "Seed of the first image, combined with the class name.", ge=0)


@settings
class Herding(Selector):
    """Herding towards the class mean (`herding`), or with the sign of DeepCore's code (`herding-max`)."""

    kind: Literal["herding", "herding-max"]
    needs = ("features",)
    encoder: str = setting("", "Name of the encoder whose features are compared.", stage="embed")


@settings
class Ccs(Selector):
    """Coverage-centric selection: an even draw over strata of difficulty, without the hardest images."""

    kind: Literal["ccs"]
    encoder: str = setting(
        "", "Name of the encoder whose features or classifier give the score.", stage="embed"
    )
    margin: Literal["classifier", "accumulated"] = setting(
        "classifier",
        "Score: the classifier's margin, or the margin accumulated over a training.",
        stage="margins",
    )
    cut_off: float = setting(0.3, "Share of the hardest images that is left out.", ge=0, lt=1)
    strata: int = setting(50, "Parts of equal width of the range of scores.", gt=0)
    seed: int = setting(0, "Seed of the draws, combined with the class name.", ge=0)

    @property
    def needs(self) -> tuple[str, ...]:
        """The score that is asked for."""
        return ("margins",) if self.margin == "accumulated" else ("probabilities",)


@settings
class Dq(Selector):
    """Dataset quantisation: the same fraction of every bin of a GraphCut partition."""

    kind: Literal["dq"]
    needs = ("features",)
    encoder: str = setting("", "Name of the encoder whose features are compared.", stage="embed")
    bins: int = setting(10, "Number of bins.", gt=0)
    weight: float = setting(1.0, "Weight of representativeness against diversity.", ge=0)
    seed: int = setting(0, "Seed of the draws, combined with the class name.", ge=0)


@settings
class D2c(Selector):
    """D2C: every so many-th image of the ranking by a generator's denoising loss."""

    kind: Literal["d2c"]
    needs = ("difficulty",)
    generator: str = setting(
        "", "Name of the generator whose denoising loss ranks the images.", stage="difficulty"
    )
    trained_on: str = setting(
        "full", "Name of the method on whose images that generator was trained.", stage="difficulty"
    )
    seed: int = setting(0, "Seed of that training.", stage="difficulty", ge=0)
    checkpoint: str | None = setting(
        None, "Use this DiT checkpoint (.pt, .safetensors) in its stead.", stage="difficulty"
    )
    interval: int | None = setting(
        None, "Take every so many-th image; the published interval of the budget when none.", gt=0
    )

    @property
    def training_seed(self) -> int:
        """Seed of the training of its generator."""
        return self.seed


@settings
class Listed(Selector):
    """Somebody else's subset, from a list of images."""

    kind: Literal["list"]
    needs = ("file",)
    file: str = setting("", "List of images: .txt, .json, .csv or .npz, relative to the study.")


Selection = Union[*Selector.__subclasses__()]

"""Ways to make a subset by a diffusion model: the settings of each, its first field the tag.

The function of each kind is in `synthesis.methods`.
"""

from typing import ClassVar, Literal, Union

from condense.config.methods import Selector
from condense.config.options import setting, settings

MADE = "results/synthesised"  # folder of made images in the folder of a study


@settings
class Synthesis(Selector):
    """What all of them share: the generator, and how its chain draws; the defaults are the papers'.

    `needs` are what a way to make looks at besides: `real`, the latents of the class's images.
    """

    needs: ClassVar[tuple[str, ...]] = ()

    kind: str
    generator: str = setting(
        "", "Name of the generator that makes the images; its objective is adm.", stage="train"
    )
    trained_on: str = setting(
        "full", "Name of the method on whose images that generator was trained.", stage="train"
    )
    generator_seed: int = setting(0, "Seed of that training.", stage="train", ge=0)
    checkpoint: str | None = setting(
        None, "Use this DiT checkpoint (.pt, .safetensors) in its stead.", stage="import_checkpoint"
    )
    seed: int = setting(0, "Seed of the noise, combined with class and number of an image.", ge=0)
    steps: int = setting(50, "Steps of the respaced ancestral chain.", ge=2, le=1000)
    guidance: float = setting(4.0, "Classifier-free guidance; 1 is none.", ge=1)
    guided_channels: int | None = setting(3, "Guide only so many leading channels; all when none.", gt=0)
    batch: int = setting(64, "Images per forward pass; of no effect on the numbers.", gt=0)

    @property
    def training_seed(self) -> int:
        """Seed of the training of its generator."""
        return self.generator_seed


@settings
class GuidedSamples(Synthesis):
    """Guided samples as the chain draws them: the control of every other way to make images."""

    kind: Literal["samples"]


@settings
class NoiseOptimisation(Synthesis):
    """DsCo: the step noises of a class's images are optimised together, so that their features spread.

    The defaults are the release's, but for the level, which is the paper's.
    """

    kind: Literal["nopt"]
    data: bool = setting(
        True, "Align with real latents; else with plain samples, and no real image is opened."
    )
    real: str = setting("full", "Name of the method with whose images samples are aligned.", stage="latents")
    start: Literal["lattice", "jitter", "normal"] | None = setting(
        None, "Starting noise: a Latin hypercube or normal; lattice with real data, else normal, when none."
    )
    level: Literal["output", "input"] = setting(
        "output", "Real latents are diffused to the level of a step's result; the release's is one noisier."
    )
    draws: int = setting(5, "Least number of noises of each real latent.", gt=0)
    runs: int | None = setting(
        None, "Compute this many targets, which budgets that divide it share; the budget when none.", gt=0
    )
    groups: int = setting(16, "Groups of the projector, which has 128 features for each.", gt=0)
    projector_seed: int = setting(0, "Seed of the projector and of what it is shown.", ge=0)
    projectors: Literal["own", "one"] | None = setting(
        None, "Each class has its own projector, or all have one; own with real data, else one, when none."
    )
    align: bool = setting(True, "Keep the alignment of features.")
    keep_norm: bool = setting(True, "Keep the term that holds the norm of the noise.")
    weight: float = setting(
        5e-4, "Lambda, with real data; scale it as 2048 / features, which keeps the speed.", ge=0
    )
    templates: int = setting(200, "Plain samples of a class that give statistics, without real data.", gt=1)
    occupation: float = setting(10.0, "Weight of cosines to the nearest sample, without real data.", ge=0)
    template_mean: float = setting(1e-3, "Weight of the means of features, likewise.", ge=0)
    template_deviation: float = setting(1e-3, "Weight of the deviations of features, likewise.", ge=0)
    iterations: int = setting(200, "Iterations of gradient descent at each step of the chain.", gt=0)
    learning_rate: float = setting(0.1, "Its learning rate.", gt=0)
    momentum: float = setting(0.9, "Its momentum.", ge=0, lt=1)
    mode: Literal["released", "fast"] = setting(
        "released", "Renew the gradient at each iteration; or `passes` times, with the noise's norm fixed."
    )
    passes: int = setting(25, "Times that the mode fast computes the gradient.", gt=0, le=40)
    unoptimised: int = setting(0, "Last steps before the very last whose noise stays as drawn.", ge=0)
    classes_at_once: int | None = setting(
        None,
        "Classes that are optimised together, which changes last bits; one on a CPU, else ten, when none.",
        gt=0,
    )

    @property
    def needs(self) -> tuple[str, ...]:
        """Real latents only to align with."""
        return ("real",) if self.data and self.align else ()

    @property
    def start_form(self) -> str:
        """Starting noise."""
        return self.start or ("lattice" if self.data else "normal")

    @property
    def one_projector(self) -> bool:
        """Whether all classes share a projector."""
        return not self.data if self.projectors is None else self.projectors == "one"


Making = Union[*Synthesis.__subclasses__()]

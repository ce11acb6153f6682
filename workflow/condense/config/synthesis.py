"""Ways to make a subset by a diffusion model: the settings of each, its first field the tag.

The function of each kind is in `synthesis.methods`.
"""

from typing import ClassVar, Literal, Union

from condense.config.methods import Selector
from condense.config.options import setting, settings


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


Making = Union[*Synthesis.__subclasses__()]

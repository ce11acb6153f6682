"""Settings of a finetuning: a generator made from another one's weights, for making small image sets."""

from dataclasses import fields
from typing import Literal

from condense.config.options import setting, settings


@settings
class Finetuning:
    """What is trained and by which losses; the defaults are Minimax diffusion's (Gu et al. 2024).

    IMS3 adds `inversion: code`.
    """

    parameters: Literal["difffit", "all"] = setting(
        "difffit", "Train biases, class vectors and scale factors of 14 blocks, or everything."
    )
    epochs: int = setting(8, "Passes over the images, without what is left over of a batch.", gt=0)
    batch: int = setting(8, "Images per step.", gt=0)
    learning_rate: float = setting(1e-3, "AdamW's learning rate.", gt=0)
    weight_decay: float = setting(0.0, "AdamW's weight decay.", ge=0)
    class_dropout: float = setting(0.1, "Share of labels replaced by the null class.", ge=0, lt=1)
    flip: bool = setting(True, "Draw each image or its mirror image with equal chance.")
    ema: float = setting(
        0.9999, "Decay of the moving average of the weights, which begins at the start's.", ge=0, lt=1
    )
    weights: Literal["ema", "raw"] = setting(
        "ema",
        "Which weights are kept: the average, far behind in a short finetuning, or the last.",
    )
    representativeness: float = setting(
        0.002, "Weight of 1 less the smallest cosine with a remembered real latent of the class.", ge=0
    )
    diversity: float = setting(
        0.008, "Weight of the largest cosine with a remembered estimate of the class.", ge=0
    )
    memory: int = setting(64, "Latents remembered of each class.", gt=0)
    inversion: Literal["none", "code", "paired", "ddim"] = setting(
        "none",
        "Inversion matching: none, as IMS3's code does it, by image, or by image to an inversion's end.",
    )
    inversion_weight: float = setting(0.002, "Weight of its cosine.", ge=0)
    inversion_steps: int = setting(20, "ddim: steps from a clean latent to noise.", ge=2, le=1000)
    checkpoint_every: int = setting(1000, "Steps between saved states; the newest two are kept.", gt=0)


@settings
class Finetune(Finetuning):
    """A generator made from another one's weights: whose, and how."""

    generator: str = setting(description="Generator whose weights it starts from; its objective is adm.")
    trained_on: str = setting("full", "Name of the method on whose images that generator was trained.")
    checkpoint: str | None = setting(None, "Start from this DiT checkpoint (.pt, .safetensors) in its stead.")

    def own(self) -> Finetuning:
        """The settings of the finetuning itself."""
        return Finetuning(**{item.name: getattr(self, item.name) for item in fields(Finetuning)})

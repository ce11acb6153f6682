"""Every setting of the study, once: config key, command-line option, default, bounds and meaning.

Imports nothing heavy: the Snakefile reads it at each start. Defaults are the paper's or the release's.
"""

from typing import Literal

from condense.config.doping import Doped
from condense.config.encoders import Encoder
from condense.config.groups import Groups
from condense.config.guidance import InfluenceGuided, TransportGuided
from condense.config.methods import Gadc, Selection
from condense.config.objectives import SAMPLERS
from condense.config.options import setting, settings
from condense.config.synthesis import Making as Unguided

Making = Unguided | InfluenceGuided | TransportGuided
# ways to choose images, to make them, to mix both, and to choose among sets
Method = Selection | Making | Doped | Groups

# --- images ---------------------------------------------------------------------------------------------


@settings
class Images:
    """Where the images are; a class is a folder, an image is named by its path relative to the root."""

    source: Literal["imagefolder", "parquet", "tar", "digits"] = setting(
        "imagefolder",
        "What `root` is: a tree class/file, Parquet files, tar shards, or scikit-learn's digits.",
    )
    root: str | None = setting(
        None,
        "Folder with a folder of images per class; files, as x-*.parquet or x-*.tar; relative to the study.",
    )
    revision: str | None = setting(
        None,
        "parquet, tar: commit on Hugging Face's hub; `root` is then owner/name, or owner/name/x-*.parquet.",
    )
    unlabelled: bool = setting(False, "Take all images for one class, whatever their folders or labels.")
    validation: float | str | None = setting(
        None,
        "Images to examine students on, which are never chosen: another root, or a share held out by name.",
        union_mode="left_to_right",
    )
    image_column: str = setting("image", "parquet: column of the images.")
    label_column: str = setting("label", "parquet: column of the classes; tar: field of key.json.")
    unreadable: Literal["fail", "skip"] = setting("fail", "What to do with an image that cannot be decoded.")
    per_class: int | None = setting(None, "Use at most this many images of each class; all when none.", gt=0)
    classes: int | None = setting(None, "Use at most this many classes; all when none.", gt=0)

    def __post_init__(self) -> None:
        if isinstance(self.validation, float) and not 0 < self.validation < 1:
            raise ValueError("a share of `validation` lies between 0 and 1")
        if self.unlabelled and self.source == "digits":
            raise ValueError("digits are not `unlabelled`; they are a data set of ten classes")


# --- generators -----------------------------------------------------------------------------------------


SIZES = {  # published: number of blocks, channels of a token, attention heads
    "S": (12, 384, 6),
    "B": (12, 768, 12),
    "L": (24, 1024, 16),
    "XL": (28, 1152, 16),
}


@settings
class Network:
    """The transformer: a published size or a free one."""

    size: Literal[*SIZES] | None = setting(None, "Published size; or give depth, width and heads.")
    depth: int | None = setting(None, "Number of blocks.", gt=0)
    width: int | None = setting(None, "Channels of a token.", gt=0)
    heads: int | None = setting(None, "Attention heads; they divide the width.", gt=0)
    patch: int = setting(2, "Side of a patch, in latent pixels.", gt=0)

    def __post_init__(self) -> None:
        free = (self.depth, self.width, self.heads)
        if (self.size is None) != all(free) or (self.size and any(free)):
            raise ValueError("give either size, or depth, width and heads")
        if self.size is None and self.width % self.heads:
            raise ValueError(f"heads {self.heads} does not divide width {self.width}")


@settings
class Training:
    """Optimisation of the generator; the defaults are the paper's."""

    steps: int = setting(100_000, "Optimiser steps.", ge=0)
    batch: int = setting(128, "Images per step over all GPUs.", gt=0)
    learning_rate: float = setting(1e-4, "AdamW's learning rate.", gt=0)
    beta2: float = setting(0.999, "AdamW's decay of the squared gradients.", gt=0, lt=1)
    weight_decay: float = setting(0.0, "AdamW's weight decay.", ge=0)
    warmup: int = setting(0, "Steps over which the learning rate rises from zero.", ge=0)
    clip: float | None = setting(None, "Largest gradient norm; no clipping when none.", gt=0)
    ema: float = setting(0.9999, "Decay of the exponential moving average of the weights.", ge=0, lt=1)
    ema_warmup: bool = setting(False, "Let the decay rise as (1 + step) / (10 + step) up to `ema`.")
    class_dropout: float = setting(0.1, "Share of labels replaced by the null class.", ge=0, lt=1)
    flip: bool = setting(True, "Draw each image or its mirror image with equal chance.")
    microbatch: int | None = setting(
        None, "Images of a GPU per forward pass, to save memory; all at once when none.", gt=0
    )
    checkpoint_every: int = setting(5000, "Steps between saved states; the newest two are kept.", gt=0)
    milestone_every: int | None = setting(
        None, "Keep the averaged weights of every multiple of so many steps.", gt=0
    )


@settings
class Recipe:
    """What a generator is trained with besides classes; `plain` has none of it, the paper's has both."""

    text_encoder: str | None = setting(None, "Name of the text encoder of the classes' captions.")
    feature_encoder: str | None = setting(None, "Name of the encoder whose patch features are aligned to.")
    dropout: Literal["independent", "joint"] = setting(
        "independent", "Whether a class and its caption are dropped apart, as released, or together."
    )
    alignment_weight: float = setting(0.5, "Weight of the alignment loss.", ge=0)
    alignment_block: int = setting(8, "Block after which tokens are aligned.", gt=0)
    alignment_hidden: int = setting(2048, "Hidden width of the alignment's projection.", gt=0)


@settings
class Sampling:
    """How images are drawn from a trained generator; the defaults are the paper's."""

    images: int = setting(50_000, "Number of images.", gt=0)
    sampler: Literal[*SAMPLERS] = setting(
        "ddpm", "ODE or SDE solver of the flow, or respaced diffusion chain."
    )
    steps: int = setting(250, "Network evaluations per image (twice that for Heun).", gt=0)
    guidance: float = setting(1.5, "Classifier-free guidance; 1 is none.", ge=1)
    guided_channels: int | None = setting(None, "Guide only this many leading channels; all when none.", gt=0)
    labels: Literal["balanced", "random"] = setting(
        "balanced", "Equal number of images per class in shuffled order, or uniform draws."
    )
    noise_seed: int = setting(0, "Seed of the starting noise; image i has its own stream.", ge=0)
    batch: int = setting(64, "Images per forward pass; of no effect on the numbers.", gt=0)


@settings
class Autoencoder:
    """Image autoencoder whose latents the generator learns, loaded by diffusers."""

    kind: Literal["kl", "tiny"] = setting("kl", "AutoencoderKL, or the deterministic AutoencoderTiny.")
    path: str = setting("", "Local folder in diffusers' layout, or a name on the hub.")
    revision: str | None = setting(None, "Commit on the hub; required for a name on the hub.")


@settings
class TextEncoder:
    """T5 encoder that reads the caption of each class, loaded by transformers."""

    path: str = setting(description="Local folder in transformers' layout, or a name on the hub.")
    revision: str | None = setting(None, "Commit on the hub; required for a name on the hub.")
    tokens: int = setting(16, "Tokens to which a caption is cut or padded.", gt=0)
    captions: str | None = setting(
        None, "Table class,caption (CSV); WordNet's names, else the folders' names, when none."
    )


__all__ = [
    "Autoencoder",
    "Encoder",
    "Gadc",
    "Images",
    "InfluenceGuided",
    "Making",
    "Method",
    "Network",
    "Recipe",
    "Sampling",
    "Selection",
    "TextEncoder",
    "Training",
    "TransportGuided",
]

"""Ways to make images by guiding the steps of a chain; the function behind them is in `synthesis.guided`."""

from typing import Literal

from condense.config.options import setting, settings
from condense.config.synthesis import Synthesis

OFFICIAL = 4096  # numbers of a latent of DiT at 256 pixels, for which weights of the deviation are published


@settings
class Guiding:
    """What IGD and OT-DD share; the defaults are those of IGD for ImageNette, in 50 images per class."""

    surrogate: str = setting(
        "", "Name of the student whose gradients guide; its training has keep: epochs.", stage="learn"
    )
    surrogate_trained_on: str = setting(
        "full", "Name of the method on whose images the surrogate was trained.", stage="learn"
    )
    surrogate_seed: int = setting(0, "Seed of that training.", stage="learn", ge=0)
    reference_images: int = setting(
        200, "First so many images of a class, by name, give the gradient that made ones are to have.", gt=0
    )
    checkpoints: tuple[int, ...] | None = setting(
        None,
        "Epochs of the surrogate that guide, 0 its start; chosen by `similarity` when none.",
        min_length=1,
    )
    similarity: float = setting(
        0.7, "An epoch guides if its gradients' cosine to those of the last one that does is lower.", le=1
    )
    influence_weight: float = setting(5.0, "Weight k of the influence; 0 needs no surrogate.", ge=0)
    influence_size: float = setting(
        0.0015, "RMS of the move at weight 1, as a share of that of the predicted noise.", gt=0
    )
    influence_through: Literal["network", "estimate"] = setting(
        "network", "Differentiate the generator; or hold the noise it predicts constant, which is faster."
    )
    gradients_at_once: int = setting(
        12, "Images whose gradients are taken together: 1, or a multiple of 4; it changes last bits.", gt=0
    )
    deviation_weight: float = setting(
        120.0, "Weight gamma of the cosine to the nearest finished latent.", ge=0
    )
    deviation_unit: Literal["scaled", "absolute"] = setting(
        "scaled", f"Weigh by gamma * d / {OFFICIAL} for latents of d numbers, or by gamma."
    )
    memory: int = setting(64, "Last finished latents of a class to which the deviation looks.", gt=0)
    window: tuple[int, int] = setting((612, 917), "First and last time of 0 to 999 that is guided.")
    repeat: int = setting(1, "Times that a guided step is taken, noised again in between.", gt=0)
    ghost: bool = setting(
        False, "As released: average the loss of an image with that of a second one, of other noise."
    )

    def __post_init__(self) -> None:
        _check_window("window", self.window)
        if self.gradients_at_once > 1 and self.gradients_at_once % 4:
            raise ValueError("`gradients_at_once` is 1 or a multiple of 4")
        if self.checkpoints and min(self.checkpoints) < 0:
            raise ValueError("`checkpoints` are epochs from 0")

    @property
    def needs(self) -> tuple[str, ...]:
        """The surrogate, if it guides."""
        return ("surrogate",) if self.influence_weight else ()


@settings
class InfluenceGuided(Guiding, Synthesis):
    """IGD: guided by the influence of an image on a classifier, and away from finished ones."""

    kind: Literal["igd"]


@settings
class TransportGuided(Guiding, Synthesis):
    """OT-DD: IGD guided also by the entropic transport of finished latents and this one to real ones."""

    kind: Literal["otg"]
    # ASSUME: of all settings below the paper names only that the cost is L1 and that there are two weights
    real: str = setting("full", "Name of the method whose images are the real latents.", stage="latents")
    transport_weight: float = setting(0.1, "Weight of the transport.", ge=0)
    transport_unit: Literal["relative", "gradient", "sigma"] = setting(
        "relative",
        "What the weight multiplies: the gradient brought to the RMS of the noise in the latent; the "
        "gradient; the gradient times the step's deviation, as DMGD does.",
    )
    transport_window: tuple[int, int] | None = setting(
        None, "First and last time that the transport guides; `window` when none."
    )
    transport_from: int = setting(
        1, "First image that it guides; the very first, alone, it draws to the median.", gt=0
    )
    transport_point: Literal["estimate", "noisy"] = setting(
        "estimate", "What is transported: the clean estimate at constant noise, or the noisy latent itself."
    )
    support: Literal["drawn", "redrawn", "all", "k-means"] = setting(
        "drawn",
        "Real latents: drawn once for a class, for each image, all, or centres with the masses of clusters.",
    )
    support_size: int = setting(64, "Number of them, unless all.", gt=0)
    cost: Literal["l1", "squared", "sphere"] = setting(
        "l1", "Mean absolute or squared difference, or the distance of directions."
    )
    epsilon: float = setting(0.05, "Entropic regularisation of the transport.", gt=0)
    epsilon_unit: Literal["mean", "absolute"] = setting("mean", "Unit of epsilon: the mean cost, or cost.")
    transport_iterations: int | None = setting(
        None, "Sinkhorn iterations; until the marginals are right to 1e-6 when none.", gt=0
    )
    transport_gradient: Literal["envelope", "unrolled", "debiased"] = setting(
        "envelope",
        "Gradient: by the envelope theorem, of the linear cost through all iterations, or of the divergence.",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.transport_window:
            _check_window("transport_window", self.transport_window)

    @property
    def needs(self) -> tuple[str, ...]:
        """The surrogate and real latents, as far as they guide."""
        return (*super().needs, *["real"] * bool(self.transport_weight))


def _check_window(name: str, window: tuple[int, int]) -> None:
    if not 0 <= window[0] <= window[1] <= 999:
        raise ValueError(f"`{name}` is two times from 0 to 999, the smaller first")

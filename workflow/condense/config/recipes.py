"""Settings of how a student is trained: one list of them, and the recipes of papers as its other defaults."""

from dataclasses import fields
from typing import Any, Literal, get_args, get_type_hints

from condense.config.options import setting, settings


def check_table(name: str, value: Any) -> None:
    """A number by images per class is positive, and defined for any number of images."""
    if isinstance(value, tuple):
        limits = [limit for limit, _ in value]
        rising = None not in limits[:-1] and sorted(limits[:-1]) == limits[:-1]
        if not rising or limits[-1:] != [None]:
            raise ValueError(
                f"the pairs of `{name}` rise by images per class, and the last has none, for more"
            )
    if min(number for _, number in value) <= 0 if isinstance(value, tuple) else value <= 0:
        raise ValueError(f"`{name}` is above 0")


ByImages = int | tuple[tuple[int | None, int], ...]  # a number, or pairs (images per class at most, number)


@settings
class Dc:
    """Recipe of Zhao, Mopuri and Bilen 2021; the other recipes change its settings and add none."""

    recipe: Literal["dc"] = setting("dc", "Whose recipe; every other setting can be given besides.")
    optimiser: Literal["sgd", "adamw"] = setting("sgd", "Optimiser.")
    learning_rate: float = setting(0.01, "Learning rate at the start.", gt=0)
    momentum: float = setting(0.9, "sgd: momentum.", ge=0, lt=1)
    beta2: float = setting(0.999, "adamw: decay of the squared gradients.", gt=0, lt=1)
    weight_decay: float = setting(5e-4, "Weight decay.", ge=0)
    decayed: Literal["all", "matrices"] = setting(
        "all", "Parameters that decay: every one, or those of more than one dimension."
    )
    batch: ByImages = setting(256, "Images per step; or pairs [images per class at most, images].")
    smallest_batch: int | None = setting(
        None, "Lower the batch, not below this, until it divides the images, and the rate with it.", gt=0
    )
    epochs: ByImages = setting(300, "Passes over the images; or pairs [images per class at most, passes].")
    reduced_classes: int | None = setting(
        None, "With exactly so many classes take two thirds of the epochs, cut to hundreds.", gt=0
    )
    schedule: Literal["steps", "cosine", "half-cosine", "half-linear", "warm-cosine", "cut-cosine"] = setting(
        "steps",
        "Course of the rate: in steps; to zero; to its half; to its half, linearly; after a rise of a tenth "
        "of the epochs to zero; towards its half until 5/6 of the epochs, then linearly to zero.",
    )
    milestones: tuple[tuple[int, int], ...] = setting(
        ((1, 2),), "steps: shares of the epochs, as fractions, at which the rate drops."
    )
    drop: float = setting(0.1, "steps: factor of a drop.", gt=0, le=1)
    fresh_optimiser: bool = setting(True, "steps: forget the optimiser's moments at a drop.")
    ema: float | None = setting(
        None, "Decay of an average of the weights, which is examined; the weights when none.", ge=0, lt=1
    )
    resize: float = setting(
        1.0, "Shorter sides are resized to this multiple of the resolution, then cropped to it.", ge=1
    )
    keep_margin: bool = setting(False, "Crop images to train on only where the augmentation does.")
    crop: tuple[float, float] | None = setting(
        None, "Smallest and largest share of the area that a random crop keeps; no crop when none."
    )
    crop_ratio: tuple[float, float] = setting(
        (3 / 4, 4 / 3), "Smallest and largest ratio of a random crop's sides."
    )
    flip: bool = setting(False, "Mirror each image with even chance.")
    brightness: float = setting(0.0, "Largest change of the brightness.", ge=0)
    contrast: float = setting(0.0, "Largest change of the contrast.", ge=0)
    saturation: float = setting(0.0, "Largest change of the saturation.", ge=0)
    colour: Literal["image", "batch"] = setting(
        "image", "Draw colours for each image; or for the batch, and wrongly, as in the release of Minimax."
    )
    lighting: float = setting(0.0, "Deviation of the noise along ImageNet's principal colours.", ge=0)
    patch_shuffle: int = setting(1, "Shuffle the tiles of a grid of so many rows and columns.", gt=0)
    cutmix: float = setting(0.0, "Chance that a batch is mixed by CutMix.", ge=0, le=1)
    cutmix_beta: float = setting(1.0, "Both parameters of the Beta law of CutMix.", gt=0)
    mean: tuple[float, float, float] | None = setting(
        None, "Mean of each colour, to standardise; that of the images to choose from when none."
    )
    std: tuple[float, float, float] | None = setting(None, "Deviation of each colour, likewise.")
    loss: Literal["ce", "kl", "mse"] = setting(
        "ce", "Of hard labels: cross-entropy. Of soft ones: divergence, or squared error plus cross-entropy."
    )
    temperature: float = setting(20.0, "kl: temperature of student and teachers.", gt=0)
    ce_weight: float = setting(0.025, "mse: weight of the cross-entropy.", ge=0)
    matching_weight: float = setting(
        0.0, "Weight of the transport between student's and teachers' outputs of a batch of 100.", ge=0
    )
    matching_temperature: float = setting(2.0, "Temperature of these outputs.", gt=0)
    matching_epsilon: float = setting(0.1, "Entropic regularisation of this transport.", gt=0)
    matching_iterations: int = setting(20, "Sinkhorn iterations of this transport.", gt=0)
    evaluate_every: float = setting(
        1.0, "Epochs between evaluations; below 1 a share of all. The last epoch is always evaluated.", gt=0
    )
    evaluate_from: float = setting(1.0, "Share of the epochs before the first evaluation.", ge=0, le=1)
    keep: Literal["ends", "epochs"] = setting(
        "ends", "Weights to keep: of the best and the last epoch; or of every epoch too, and of the start."
    )
    checkpoint_minutes: float = setting(2.0, "Minutes between saved states; of no effect.", gt=0)

    def __post_init__(self) -> None:
        check_table("batch", self.batch)
        check_table("epochs", self.epochs)
        if (self.mean is None) != (self.std is None):
            raise ValueError("`mean` and `std` are given together or not at all")
        if self.std and min(self.std) <= 0:
            raise ValueError("`std` is positive in each colour")
        if self.crop and not 0 < self.crop[0] <= self.crop[1] <= 1:
            raise ValueError("`crop` is two shares of an area, above 0 and up to 1, the smaller first")
        if self.keep_margin and not self.crop:
            raise ValueError("`keep_margin` needs `crop`, which alone removes the margin")
        if not 0 < self.crop_ratio[0] <= self.crop_ratio[1]:
            raise ValueError("`crop_ratio` is two ratios above 0, the smaller first")
        if not all(0 < above <= below for above, below in self.milestones):
            raise ValueError("`milestones` are fractions above 0 and up to 1, as [[2, 3], [5, 6]]")


def _recipe(name: str, start: type, source: str, **changed: Any) -> type:
    """The settings of another recipe: those of `start` with other defaults, no more and no fewer."""
    declared, hints = {field.name: field for field in fields(start)}, get_type_hints(start)
    body: dict[str, Any] = {"__doc__": f"Recipe of {source}.", "__module__": __name__}
    body["__annotations__"] = {"recipe": Literal[name]} | {key: hints[key] for key in changed}
    body["recipe"] = setting(description="Whose recipe.")
    body |= {key: setting(value, **declared[key].metadata) for key, value in changed.items()}
    return settings(type(name.title().replace("-", ""), (start,), body))


IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
NO_COLOUR = {"brightness": 0.0, "contrast": 0.0, "saturation": 0.0, "lighting": 0.0}

Minimax = _recipe(
    "minimax",
    Dc,
    "Minimax diffusion (Gu et al. 2024), for up to 100 classes",
    batch=64,
    epochs=((1, 3000), (10, 2000), (50, 1500), (200, 1000), (500, 500), (None, 300)),
    reduced_classes=100,
    milestones=((2, 3), (5, 6)),
    drop=0.2,
    fresh_optimiser=False,
    resize=8 / 7,
    crop=(0.5, 1.0),
    flip=True,
    **{"brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "lighting": 0.1},
    cutmix=1.0,
    **IMAGENET,
    evaluate_every=0.01,
    evaluate_from=0.0,
)
MinimaxLarge = _recipe(
    "minimax-large",
    Minimax,
    "Minimax diffusion for more than 100 classes",
    learning_rate=0.1,
    weight_decay=1e-4,
    batch=128,
)
Igd = _recipe(
    "igd",
    Minimax,
    "influence-guided diffusion (Chen et al. 2025), made for 256 pixels",
    optimiser="adamw",
    learning_rate=1e-3,
    weight_decay=0.01,
    mean=(0.5, 0.5, 0.5),
    std=(0.5, 0.5, 0.5),
)
Dsco = _recipe(
    "dsco",
    Igd,
    "DsCo for hard labels",
    smallest_batch=32,
    epochs=((1, 3000), (10, 2000), (50, 1500), (200, 1000), (None, 500)),
    reduced_classes=None,
    keep_margin=True,
    **IMAGENET,
    evaluate_every=10.0,
    evaluate_from=2 / 3,
)
DscoSoft = _recipe(
    "dsco-soft",
    Dsco,
    "DsCo for soft labels",
    epochs=((200, 1000), (None, 500)),
    schedule="half-cosine",
    loss="kl",
)
Rded = _recipe(
    "rded",
    DscoSoft,
    "RDED (Sun et al. 2024), with ResNet-18's learning rate",
    decayed="matrices",
    batch=((10, 100), (None, 200)),
    smallest_batch=None,
    epochs=300,
    **NO_COLOUR,
    patch_shuffle=2,  # its images are collages of 2 x 2
    evaluate_from=0.8,
)
Edc = _recipe(
    "edc",
    Rded,
    "EDC (Shao et al. 2024)",
    batch=100,
    schedule="half-linear",  # RELEASE: asked for a cosine, its scheduler is overwritten by a line
    ema=0.99,
    loss="mse",
    evaluate_every=30.0,
    evaluate_from=0.0,
)
IgdSurrogate = _recipe(
    "igd-surrogate",
    Minimax,
    "the network by whose gradients IGD guides (Chen et al. 2025), made for 256 pixels",
    epochs=50,
    reduced_classes=None,
    milestones=(),
    mean=(0.5, 0.5, 0.5),
    std=(0.5, 0.5, 0.5),
    cutmix=0.0,
    evaluate_every=1.0,
    keep="epochs",
)
StudentTraining = Dc | Minimax | MinimaxLarge | Igd | Dsco | DscoSoft | Rded | Edc | IgdSurrogate


def as_published(name: str) -> StudentTraining:
    """Settings of the recipe of a name, none of them changed."""
    recipes = {get_args(get_type_hints(cls)["recipe"])[0]: cls for cls in get_args(StudentTraining)}
    return recipes[name](recipe=name)

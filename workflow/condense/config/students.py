"""Settings of students: the classifiers that are trained on a subset, and by which recipe."""

import json
from dataclasses import asdict
from typing import Any, Literal

from condense.config.options import setting, settings
from condense.config.recipes import ByImages, as_published, check_table

# what a recipe leaves to data and machine
UNCHANGED = ("recipe", "mean", "std", "keep", "checkpoint_minutes")
WIDTHS = {"convnet": 128, "resnet": 64, "resnet-ap": 64}  # channels of the first block in the papers
DEPTHS = {"resnet": (10, 18, 34), "resnet-ap": (10, 18, 34)}  # of residual networks with basic blocks


@settings
class StudentNetwork:
    """Network of a student: the papers' own, or any of torchvision or timm."""

    architecture: Literal["convnet", "resnet-ap", "resnet", "torchvision", "timm"] = setting(
        "convnet", "Family; resnet-ap pools by averages where resnet strides."
    )
    model: str | None = setting(None, "torchvision, timm: name of the model.")
    weights: str | None = setting(
        None, "torchvision, timm: start from this local file, whose head may have other classes."
    )
    options: dict[str, Any] | None = setting(None, 'torchvision, timm: arguments, as {"pad_type": "same"}.')
    depth: int = setting(3, "convnet: number of blocks; resnet, resnet-ap: 10, 18 or 34 layers.", gt=0)
    width: int | None = setting(
        None, "Channels of the first block; 128 for convnet, 64 for the others when none.", gt=0
    )
    norm: Literal["instance", "batch", "none"] = setting(
        "instance", "Normalisation of convnet, resnet and resnet-ap; instance is group norm of one channel."
    )

    def __post_init__(self) -> None:
        foreign = self.architecture in ("torchvision", "timm")
        if foreign != (self.model is not None):
            raise ValueError("`model` goes with architecture torchvision or timm, and with these alone")
        if not foreign and (self.weights or self.options):
            raise ValueError("`weights` and `options` go with architecture torchvision or timm alone")
        depths = DEPTHS.get(self.architecture)
        if depths and self.depth not in depths:
            raise ValueError(f"depth of {self.architecture} is one of {', '.join(map(str, depths))}")


@settings
class Labels:
    """What students are taught: the classes of the images, or what teachers say of them."""

    teachers: tuple[str, ...] = setting(
        (), "Names of encoders or students whose mean logits are the labels; the classes when none."
    )
    teacher_count: ByImages | None = setting(
        None, "Take the first so many teachers, or pairs [images per class at most, teachers]; all when none."
    )
    trained_on: str = setting("full", "Name of the method on whose images teaching students were trained.")
    view: Literal["augmented", "image"] = setting(
        "augmented", "Teachers see each augmented and mixed view; or each image once, before the training."
    )

    def __post_init__(self) -> None:
        if self.teacher_count is not None:
            check_table("teacher_count", self.teacher_count)


def check_side(network: StudentNetwork, side: int) -> None:
    """ValueError for a residual network whose last maps are single pixels, less their own mean: zero."""
    if network.architecture in DEPTHS and network.norm == "instance" and side <= 8:
        raise ValueError(
            f"a {network.architecture} of {side} pixels ends in maps of one, which network.norm instance "
            "makes constant: set it to batch, or take a larger resolution"
        )


def recipe_name(recipe: dict[str, Any]) -> str:
    """Name of the recipe that a student was trained by, and which of its settings were changed."""
    own = asdict(as_published(recipe["recipe"]))
    written, own = (json.loads(json.dumps(settings)) for settings in (recipe, own))  # without tuples
    changed = [key for key, value in own.items() if key not in UNCHANGED and written.get(key) != value]
    return " ".join([recipe["recipe"], *(["with other", ", ".join(changed)] if changed else [])])


def network_name(network: dict[str, Any]) -> str:
    """Name such as convnet-3, with the width and the normalisation where these are not the papers'."""
    if network["model"]:
        return network["model"] + (" from weights" if network["weights"] else "")
    usual = WIDTHS[network["architecture"]]
    width = f"-w{network['width']}" if network["width"] not in (None, usual) else ""
    norm = f"-{network['norm']}-norm" if network["norm"] != "instance" else ""
    return f"{network['architecture']}-{network['depth']}{width}{norm}"

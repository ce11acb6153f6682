"""Choice of one of several groups of images for each class, which another method of the study draws."""

from typing import Literal

from condense.config.methods import Selector
from condense.config.options import setting, settings


@settings
class Groups(Selector):
    """S3 of IMS3: of each class the group that is near its real images and far from the others' groups.

    The defaults are the release's, but for `pairs`, which is the paper's. Random groups are the same in the
    control `choice: random` and where the ascent starts with them.
    """

    kind: Literal["groups"]
    needs = ("features",)
    drawn_by: str = setting(
        "", "Name of the method that draws the groups, each with a seed of its own.", stage="synthesise"
    )
    groups: int = setting(5, "Groups of a class; the first is what that method draws.", gt=0, stage="plan")
    encoder: str = setting("", "Name of the encoder whose features are compared.", stage="embed")
    choice: Literal["s3", "closest", "random"] = setting(
        "s3", "By both terms; by closeness alone; or any group, the control."
    )
    closeness: float = setting(0.4, "Weight of -log of a group's distance to its class's real images.", ge=0)
    separation: float = setting(0.9, "Weight of log of the distances to the groups of other classes.", ge=0)
    pairs: Literal["mean", "sum"] = setting(
        "mean", "Separation is a mean over the other classes; or a sum over pairs, as released."
    )
    offset: float = setting(0.0, "Added to distances before their logarithm.", ge=0)
    search: Literal["ascent", "exact"] = setting(
        "ascent", "Change one class's group at a time; or compare all choices."
    )
    start: Literal["closest", "random"] = setting(
        "closest", "ascent: begin with the closest groups, as released, or with random ones, as in the paper."
    )
    rounds: int = setting(5, "Most rounds of the ascent over all classes.", gt=0)
    real: int = setting(200, "Real images of a class that are looked at, at most.", gt=0)
    seed: int = setting(0, "Seed of the draws of real images and groups, combined with the class.", ge=0)

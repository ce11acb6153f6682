"""Settings of doped sets: made images and the real ones that a student trained on them confuses most."""

from typing import Literal

from condense.config.methods import Selector
from condense.config.options import setting, settings


@settings
class Doped(Selector):
    """DsCo's doping; where its release differs, a setting says so.

    The student learnt from the made set of the budget `made_budget`; its last epoch judges.
    """

    kind: Literal["doped"]
    needs = ("confusion",)
    made: str = setting("", "Name of the method whose images are topped up.", stage="confusion")
    made_budget: str = setting("", "Name of the budget of that method's images.", stage="confusion")
    student: str = setting("", "Name of the student that judges.", stage="confusion")
    student_seed: int = setting(0, "Seed of its training.", stage="confusion", ge=0)
    reference: Literal["label", "teacher"] = setting(
        "label",
        "An image is confused with others than its label; or, as released, than what the teacher sees.",
        stage="confusion",
    )
    scope: Literal["classwise", "global"] = setting(
        "classwise", "Add as many to each class; or, as released, as many in all, from one ranking."
    )
    after: int = setting(0, "Leave out so many of the most confused images, per class.", ge=0)

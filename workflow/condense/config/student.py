"""A student as a config declares it; its settings are in `config.students`."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from condense.config.recipes import Dc, StudentTraining
from condense.config.students import Labels, StudentNetwork, check_side


class Student(BaseModel):
    """A classifier that is trained on subsets: network, resolution, recipe and labels."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    resolution: int = Field(gt=0, description="Side of the images, in pixels.")
    network: StudentNetwork = StudentNetwork()
    training: Annotated[StudentTraining, Field(discriminator="recipe")] = Dc()
    labels: Labels = Labels()
    trainings: int = Field(
        1,
        gt=0,
        description="Networks trained on each subset, in one job; a replicate's accuracy is their mean.",
    )

    @model_validator(mode="before")
    @classmethod
    def recipe_has_a_default(cls, config: Any) -> Any:
        """A training that names no recipe is by `dc`."""
        if isinstance(config, dict) and isinstance(config.get("training"), dict):
            return config | {"training": {"recipe": Dc.recipe} | config["training"]}
        return config

    @model_validator(mode="after")
    def network_tells_images_apart(self) -> "Student":
        """Its last maps are not constant."""
        check_side(self.network, self.resolution)
        return self

    @model_validator(mode="after")
    def labels_fit_loss(self) -> "Student":
        """Soft labels need a loss of soft labels, and such a loss needs teachers."""
        if bool(self.labels.teachers) != (self.training.loss != "ce"):
            needs = "needs labels.teachers" if self.training.loss != "ce" else "takes no labels.teachers"
            raise ValueError(f"loss {self.training.loss} of recipe {self.training.recipe} {needs}")
        return self

"""The parts in order of importance: what each shows, and the minutes after which it is stopped."""

from dataclasses import dataclass
from importlib import import_module

from benchmarks.gpu.figures import Figure, Place


@dataclass(frozen=True)
class Part:
    """Figures of one process: those that a module of this folder gives for some arguments."""

    name: str
    title: str
    minutes: float
    module: str
    given: tuple[str | int, ...] = ()

    def figures(self, place: Place) -> list[Figure]:
        """What the part measures, in order; nothing heavy is made yet."""
        return import_module(f"benchmarks.gpu.{self.module}").figures(place, *self.given)


PARTS = (
    Part("checks", "Each path on the device against the CPU, or against its definition", 3.75, "checks"),
    Part("training-dit", "Training of DiT-L/2 at 256 pixels", 5, "training", ("adm",)),
    Part("training-sit", "Training of SiT-L/2 at 256 pixels", 5, "training", ("flow",)),
    Part("sampling", "Sampling at 256 pixels, 250 steps, guidance 1.5", 3, "sampling"),
    Part("selection", "GADC on 100 classes of 1,300 images, 2,048 features", 4, "selection"),
    Part("scoring", "Scoring of 50,000 samples against 50,000 images, 2,048 features", 1.75, "scoring"),
    Part("embedding", "Features of photographs, from JPEG files", 1.5, "embedding"),
    Part("cifar10-subsets", "CIFAR-10: encoders and subsets", 3.5, "cifar10_subsets"),
    Part("cifar10-trainings-0", "CIFAR-10: generators, first replicate", 5.5, "cifar10_trainings", (0,)),
    Part("cifar10-trainings-1", "CIFAR-10: generators, second replicate", 5.5, "cifar10_trainings", (1,)),
    Part("cifar10-samples", "CIFAR-10: samples and their FID", 4, "cifar10_samples"),
    Part("cifar10-students", "CIFAR-10: students of made and of real images", 2.5, "cifar10_students"),
)

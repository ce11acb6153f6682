"""Accuracy of a ConvNet-3 on herded images of CIFAR-10, by the features that they are herded in.

    python benchmarks/herding_features.py --features untrained --seeds 0 1 2 --budgets 1 10

Papers print the accuracy of herded images and not what they were herded in. Recipe `dc` on one thread; a set
of images for each seed of the features. Half a minute, three and twelve minutes for each training with 1, 10
and 50 images of each class.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from condense.base.arithmetic import prepare

prepare([])  # before torch is imported

import torch  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from condense.base.memory import keep_freed_memory  # noqa: E402
from condense.config.options import build  # noqa: E402
from condense.config.recipes import StudentTraining  # noqa: E402
from condense.config.settings import Images  # noqa: E402
from condense.config.students import StudentNetwork  # noqa: E402
from condense.selection.baselines import herding  # noqa: E402
from condense.students.augment import Augmentation  # noqa: E402
from condense.students.data import ImageSet, prepared, training_set, validation_set  # noqa: E402
from condense.students.learner import StudentTrainer  # noqa: E402
from condense.students.networks import initialised  # noqa: E402
from condense.students.recipes import Course  # noqa: E402

DATA = Path(__file__).parents[1] / "examples/cifar10/data/cifar10"
SIDE, EPOCHS = 32, 8  # epochs of a network that is trained for its features
MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)
ROOM = 250  # images per pass


def trainer(data: ImageSet, seed: int, epochs: int | None = None) -> StudentTrainer:
    """The training of a ConvNet-3 by the recipe, at its start."""
    chosen = build(StudentTraining, {"recipe": "dc"} | ({} if epochs is None else {"epochs": epochs}))
    network = initialised(StudentNetwork(), SIDE, len(data.classes), seed)
    augmentation = Augmentation(chosen, SIDE, torch.tensor(MEAN), torch.tensor(STD), seed)
    return StudentTrainer(network, data, augmentation, Course.of(chosen, len(data), len(data.classes)), seed)


def trained(data: ImageSet, validation: ImageSet, seed: int, epochs: int | None = None) -> StudentTrainer:
    """The same at its end."""
    learner = trainer(data, seed, epochs)
    while not learner.done:
        learner.advance(validation)
    return learner


@torch.inference_mode()
def of_network(network: nn.Module, images: Tensor) -> Tensor:
    """Last feature maps, flat [n, d], of images uint8 [n, 3, h, h]."""
    mean, std = (torch.tensor(value)[:, None, None] for value in (MEAN, STD))
    parts = ((part / 255 - mean) / std for part in images.split(ROOM))
    return torch.cat([network.eval().features(part)[-1].flatten(1) for part in parts])


def features(kind: str, data: ImageSet, validation: ImageSet, seed: int) -> Tensor:
    """Features [n, d] of all images."""
    if kind == "pixels":
        return data.images.flatten(1).float()
    if kind == "untrained":
        return of_network(trainer(data, seed).network, data.images)
    learner = trained(data, validation, seed, EPOCHS)
    print(f"ConvNet-3 trained on all images: {learner.best_accuracy:.2f}% of the test images", flush=True)
    return of_network(learner.network, data.images)


def of_each_class(data: ImageSet, keep: Callable[[Tensor], Tensor]) -> ImageSet:
    """Images that are kept of each class: `keep` turns the numbers [n] of all into those of some."""
    kept = [keep((data.labels == label).nonzero()[:, 0]) for label in range(len(data.classes))]
    rows = torch.cat(kept)
    return ImageSet(data.images[rows], data.labels[rows], [data.paths[row] for row in rows], data.classes)


def herded(data: ImageSet, found: Tensor, budget: int) -> ImageSet:
    """The images that herding chooses of each class in features [n, d]."""
    return of_each_class(data, lambda rows: rows[herding(found[rows], budget)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA, help="CIFAR-10's train-*.parquet, test-*.parquet")
    parser.add_argument("--features", choices=["untrained", "trained", "pixels"], default="untrained")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="of the features")
    parser.add_argument("--budgets", type=int, nargs="+", default=[1], help="images of each class")
    parser.add_argument("--networks", type=int, default=3, help="trained on each set")
    parser.add_argument("--candidates", type=int, help="images of each class to choose from; all when none")
    given = parser.parse_args()
    if not [*given.data.glob("train-*.parquet")]:
        print(f"{given.data} holds no train-*.parquet: give the folder of CIFAR-10 with --data")
        sys.exit(given.data != DATA)
    keep_freed_memory()
    files = {"root": f"{given.data}/train-*.parquet", "validation": f"{given.data}/test-*.parquet"}
    images = Images(source="parquet", image_column="img", **files)
    preprocess = prepared(SIDE, 1)
    data, validation = training_set(images, None, None, preprocess), validation_set(images, None, preprocess)
    if given.candidates:
        data = of_each_class(data, lambda rows: rows[:: len(rows) // given.candidates][: given.candidates])
    for seed in given.seeds:
        found = features(given.features, data, validation, seed)
        for budget in given.budgets:
            chosen = herded(data, found, budget)
            runs = [trained(chosen, validation, number) for number in range(given.networks)]
            accuracies = torch.tensor([run.best_accuracy for run in runs])
            told = ", ".join(f"{accuracy:.2f}" for accuracy in accuracies.tolist())
            where = f"{given.features}, seed {seed}, {budget} of each class"
            print(f"{where}: {accuracies.mean():.1f}% ({told})", flush=True)


if __name__ == "__main__":
    main()

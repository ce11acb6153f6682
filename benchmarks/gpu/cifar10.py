"""Part 4, what its modules share: the study's files, and its settings at real and at toy size.

A replicate is a seed of the whole chain: of the encoder, of a random draw, of the generator and its noise, of
the students.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from benchmarks.gpu.drawn import draw
from benchmarks.gpu.figures import Place
from benchmarks.gpu.pack import table_of, write
from condense.base.errors import InputError
from condense.config.encoders import Encoder
from condense.config.methods import Everything, Gadc, Herding, Random, Selection
from condense.config.settings import Autoencoder, Images, Network, Recipe, Sampling, Training

REPLICATES = (0, 1)
METHODS = ("full", "random", "herding", "gadc")
DETECTOR = 100  # its seed: the network in whose features samples are compared chooses no image
PIXELS = Autoencoder(path="")


@dataclass(frozen=True)
class Study:
    """CIFAR-10 in a folder of the output; in a rehearsal without its images a few that are drawn."""

    place: Place

    @property
    def folder(self) -> Path:
        """Where all of it is kept."""
        return self.place.folder / "cifar10"

    @cached_property
    def data(self) -> Path:
        """Folder of train.parquet and test.parquet."""
        if self.place.rehearsal:
            made = self.folder / "images"
            for split, count in (("train", 8), ("test", 4)):
                labels = np.repeat(np.arange(3), count)
                images = np.stack([draw(label, number, 32, 32) for number, label in enumerate(labels)])
                if not (made / f"{split}.parquet").exists():
                    write(table_of(images, labels, ["a", "b", "c"]), made / f"{split}.parquet")
            return made
        if not (self.place.data / "train.parquet").is_file():
            raise InputError(
                f"{self.place.data} has no train.parquet: make it where CIFAR-10 is, by "
                "python -m benchmarks.gpu.pack --source FOLDER, and bring it here."
            )
        return self.place.data

    @property
    def images(self) -> Images:
        """The images to choose from, and those to examine students on."""
        files = {"root": str(self.data / "train.parquet"), "validation": str(self.data / "test.parquet")}
        return Images(source="parquet", image_column="img", **files)

    @property
    def index(self) -> Path:
        """Index of the images to choose from."""
        return self.folder / "index.csv"

    @property
    def budget(self) -> int:
        """Images per class of a subset."""
        return self.place.size(50, 3)

    def encoder(self, seed: int) -> Encoder:
        """Small network that is fitted on the images, for choosing or for scoring."""
        epochs = self.place.size(3 if seed == DETECTOR else 2, 1)
        return Encoder(kind="fit", side=32, epochs=epochs, seed=seed)

    def method(self, name: str, seed: int) -> Selection:
        """Settings of a method, in a replicate."""
        return {
            "full": Everything(kind="full"),
            "random": Random(kind="random", seed=seed),
            "herding": Herding(kind="herding"),
            "gadc": Gadc(epsilon=0.05, epsilon_unit="median", beta=1.0),
        }[name]

    @property
    def network(self) -> Network:
        """The generator: SiT-S/2 on pixels."""
        return self.place.size(Network(size="S"), Network(depth=1, width=16, heads=2, patch=4))

    def training(self, steps: int) -> Training:
        """Its training; the average follows the weights more closely than over 100,000 steps."""
        training = Training(steps=steps, batch=self.place.size(128, 4), ema=0.999, ema_warmup=True)
        return replace(training, learning_rate=2e-4, warmup=200, clip=1.0, checkpoint_every=2000)

    def sampling(self, seed: int) -> Sampling:
        """How its images are drawn."""
        images, steps, batch = self.place.size((3000, 40, 500), (6, 2, 4))
        return Sampling(images=images, sampler="euler", steps=steps, noise_seed=seed, batch=batch)

    def subset(self, method: str, seed: int) -> Path:
        """Subset of a method, in a replicate."""
        return self.folder / f"subsets/{method}-{seed}.csv"

    def arm(self, method: str, seed: int) -> Path:
        """Folder of what is made of a subset."""
        return self.folder / f"arms/{method}-{seed}"


RECIPE = Recipe()

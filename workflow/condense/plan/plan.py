"""What the rules ask of a study: names, command-line options and the files that a job depends on."""

import json
import os
import shlex
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from condense.config import published, study
from condense.config.learners import Learner
from condense.config.options import arguments
from condense.config.settings import Autoencoder
from condense.plan import layout
from condense.plan.catalogue import Catalogue


def environment(repository: str) -> str:
    """Shell prefix of every job: this package, run by Snakemake's Python unless an environment has one."""
    os.environ["PATH"] = os.pathsep.join(
        [str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]
    )
    return f"export PYTHONPATH={shlex.quote(str(Path(repository) / 'workflow'))}; "


class Plan(Catalogue):
    """A validated study as the rules see it; every method takes the wildcards it needs as plain words."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__(study.load(config))

    def names(self, kind: str) -> str:
        """Closed list of names as a wildcard constraint."""
        names = {
            "budgets": [*self.study.budgets, *study.OWN_BUDGETS],
            "spaces": ["pixels", *self.study.autoencoders],
        }.get(kind) or [*getattr(self.study, kind)]
        return "|".join(names) or "(?!x)x"  # no name: matches nothing

    def options(self, *chosen: Any) -> str:
        """Settings as command-line options, quoted for the shell."""
        return shlex.join(word for item in chosen if item is not None for word in arguments(item))

    def listing(self, shard: str) -> str:
        """Fingerprint of the folders of a shard: an image added or removed makes its index anew."""
        from condense.images.index import fingerprint

        return fingerprint(self.study.images, shard)

    def encoding(self, encoder: str) -> str:
        """Options of `encoder`: a fitted one needs the images too."""
        chosen = self.study.encoders[encoder]
        return self.options(
            replace(chosen, classifier="own"), self.study.images if chosen.kind == "fit" else None
        )

    def encoding_inputs(self, encoder: str, gather: Callable[[str], list[str]]) -> list[str]:
        """Index files that an encoder is fitted on; none for a pretrained one."""
        fitted = self.study.encoders[encoder].kind == "fit"
        return gather("results/index/{scatteritem}.csv") if fitted else []

    def latents(self, space: str) -> str:
        """Options of `latents` and `generate` that name the autoencoder."""
        return self.options(self.study.autoencoders.get(space, Autoencoder()))

    def space(self, generator: str) -> str:
        """Name of the space that a generator works in."""
        return self.study.generators[generator].autoencoder or "pixels"

    def selection(self, method: str, budget: str) -> str:
        """Options of `select`: the method's settings, without those that other stages obey."""
        chosen = self.study.methods[method]
        count = [] if budget in study.OWN_BUDGETS else ["--budget", str(self.study.budgets[budget])]
        words = arguments(chosen, without={*chosen.elsewhere(), "file"})  # a file is an input of the job
        return shlex.join(["--name", method, "--budget-name", budget, *count, *words])

    def selection_inputs(self, method: str, scatteritem: str) -> dict[str, str]:
        """Files that the selection of a method in a shard depends on."""
        chosen = self.study.methods[method]
        features = {"features": f"results/embeddings/{chosen.encoder}/{scatteritem}.h5"}
        probabilities = f"results/probabilities/{chosen.encoder}/{scatteritem}.h5"
        files = {
            "features": features,
            "probabilities": features | {"probabilities": probabilities},
            "margins": {"scores": f"results/margins/{chosen.encoder}.h5"},
            "difficulty": {"scores": f"results/difficulty/{method}/{scatteritem}.h5"},
            "file": {"file": chosen.file},
        }
        needed = {option: path for need in chosen.needs for option, path in files[need].items()}
        return needed if "features" in needed else self._images(scatteritem) | needed

    def _images(self, scatteritem: str) -> dict[str, str]:
        """File that lists the images of a shard: without the unreadable ones where these are skipped."""
        if self.study.images.unreadable == "skip":
            return {"features": f"results/embeddings/{self.study.detector}/{scatteritem}.h5"}
        return {"index": f"results/index/{scatteritem}.csv"}

    def difficulty_inputs(self, method: str) -> dict[str, str]:
        """The generator by whose loss a method ranks."""
        return {"weights": self._ranking_weights(method, self.weights_input)}

    def difficulty(self, method: str) -> str:
        """Options of `difficulty`: what the generator sees of an image."""
        generator = self.study.methods[method].generator
        weights = shlex.quote(self._ranking_weights(method, self.weights))
        resolution = self.study.generators[generator].resolution
        seen = f"{self.options(self.study.images)} {self.latents(self.space(generator))}".strip()
        return f"--weights {weights} --resolution {resolution} {seen}"

    def _ranking_weights(self, method: str, found: Callable[..., str]) -> str:
        """File of the weights by whose loss a method ranks: imported, or as `found` of a run of the study."""
        chosen = self.study.methods[method]
        if chosen.checkpoint:
            return f"results/checkpoints/{method}.safetensors"
        budget = self.study.budget_of(chosen.trained_on, "")
        return found(chosen.generator, chosen.trained_on, budget, str(chosen.seed))

    def classification_inputs(self, encoder: str, scatteritem: str) -> dict[str, str]:
        """Files that the probabilities of a shard depend on."""
        return {
            "embeddings": f"results/embeddings/{encoder}/{scatteritem}.h5",
            "classifier": self.head(encoder),
        }

    def head(self, encoder: str) -> str:
        """File that turns an encoder's features into probabilities: its own, or a fitted head."""
        linear = self.study.encoders[encoder].classifier == "linear"
        return f"results/{'heads' if linear else 'encoders'}/{encoder}.safetensors"

    @staticmethod
    def flags(files: Any) -> str:
        """Named input files of a job as command-line options, repeated where a name stands for several."""
        named = ((name, [found] if isinstance(found, str) else found) for name, found in files.items())
        return shlex.join(word for name, paths in named for path in paths for word in (f"--{name}", path))

    def facts(self) -> str:
        """Digest of the published values, where the study prints them: corrected ones make tables anew."""
        return published.digest() if self.study.published else ""

    def training(self, generator: str) -> str:
        """Options of `train`."""
        chosen, recipe = self.study.generators[generator], self.study.recipe_of(generator)
        return f"--objective {chosen.objective} {self.options(chosen.network, chosen.training, recipe)}"

    def training_inputs(self, generator: str, method: str, budget: str) -> dict[str, str]:
        """Files that a training depends on: latents, and what the generator's recipe attaches to them."""
        resolution, recipe = self.study.generators[generator].resolution, self.study.recipe_of(generator)
        files = {"latents": f"results/latents/{self.space(generator)}/{resolution}/{method}/{budget}.h5"}
        if recipe.text_encoder:
            files["captions"] = f"results/captions/{recipe.text_encoder}.h5"
        if recipe.feature_encoder:
            files["patches"] = f"results/patches/{recipe.feature_encoder}/{resolution}/{method}/{budget}.h5"
        return files

    def sampling(self, generator: str) -> str:
        """Options of `generate`."""
        chosen = self.study.generators[generator]
        return f"{self.options(chosen.sampling)} {self.latents(self.space(generator))}".strip()

    def detector_inputs(self, head: bool = False) -> dict[str, str]:
        """Files of the detector, and of its classifier, that jobs make or fetch."""
        name = self.study.detector
        chosen = self.study.encoders[name]
        if chosen.kind == "fid":
            return {} if chosen.weights else {"encoder": f"results/encoders/{name}.pth"}
        files = {"encoder": f"results/encoders/{name}.safetensors"}
        return files | {"head": self.head(name)} if head else files

    def detector(self, head: bool = False) -> str:
        """Options that name the detector, and its classifier."""
        chosen = self.study.encoders[self.study.detector]
        if chosen.kind == "fid":
            file = chosen.weights or self.detector_inputs()["encoder"]
            return shlex.join(["--encoder", file, "--resize", chosen.resize])
        return self.flags(self.detector_inputs(head))

    def reference_batch(self, resolution: str) -> str:
        """Options of `reference-batch`: the user's file for a resolution."""
        return shlex.join(["--images", self.study.references[int(resolution)]])

    def references(self, generator: str, gather: Callable[[str], list[str]]) -> list[str]:
        """Features of the study's images at a generator's resolution, and of its reference batch, if any."""
        resolution = self.study.generators[generator].resolution
        own = gather(f"results/references/{resolution}/{{scatteritem}}.h5")
        return (
            [*own, f"results/references/{resolution}/batch.h5"]
            if resolution in self.study.references
            else own
        )

    def context(self, method: str, generator: str, budget: str, seed: str) -> str:
        """Options of `score`: names of the run, and the settings that make its numbers comparable."""
        chosen = self.study.generators[generator]
        names = {"method": method, "generator": generator, "budget": budget, "seed": seed}
        names |= {"resolution": chosen.resolution, "decoder": self.space(generator)}
        return (
            shlex.join([*(word for name, value in names.items() for word in (f"--{name}", str(value)))])
            + " "
            + self.options(chosen.sampling)
        )

    def measure(self, method: str, budget: str) -> str:
        """Options of `measure`: names of the subset, and the objective that it is measured by."""
        name = self.study.subsets.measure
        names = ["--method", method, "--budget", budget, "--objective", name]
        return f"{shlex.join(names)} {self.options(self.study.methods[name])}"

    def measured_features(self, gather: Callable[[str], list[str]]) -> dict[str, Any]:
        """Files of the encoder in whose features subsets are measured."""
        encoder = self.study.methods[self.study.subsets.measure].encoder
        return {
            "features": gather(f"results/embeddings/{encoder}/{{scatteritem}}.h5"),
            "probabilities": gather(f"results/probabilities/{encoder}/{{scatteritem}}.h5"),
            "everything": f"results/moments/{encoder}.h5",
        }

    def card(self, method: str, generator: str) -> str:
        """Options of `card`: settings of method and generator, and how to draw from it."""
        about = {"method": asdict(self.study.methods[method])}
        about["generator"] = self.study.generators[generator].model_dump(mode="json")
        images = self.study.images
        dataset = Path(images.root).name if images.root else f"scikit-learn's {images.source}"
        words = ["--about", json.dumps(about), "--sampling", self.sampling(generator), "--dataset", dataset]
        return shlex.join(words)

    def comparison(self, budget: str) -> str:
        """Options of `table`: where published values stand beside the measured ones, the generators."""
        words = ["--budget", budget]
        if self.study.published:
            learners = [Learner("generator", name) for name in self.study.comparisons[budget].generators]
            about = {learner.name: layout.describe(self.study, learner) for learner in learners}
            words += ["--published", json.dumps(about)]
        return shlex.join(words)

    def table(self, name: str) -> str:
        """What `tabulate` is told of a table."""
        return shlex.join(["--layout", layout.table_layout(self.study, name).to_json()])

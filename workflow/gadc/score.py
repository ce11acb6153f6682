"""Stage score: every metric of a run from cached features, in one row with what makes it comparable."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import h5py
import numpy as np
import pandas as pd
import typer

from gadc.artefacts import read_artefact
from gadc.errors import InputError
from gadc.frechet import Gaussian, Moments, fit, frechet_distance
from gadc.inception_score import inception_score
from gadc.kernel_distance import kernel_distance
from gadc.manifold import compare
from gadc.memorisation import Copies
from gadc.merge import read_table, write_table
from gadc.options import take
from gadc.settings import Sampling
from gadc.shards import open_shard, read_text

REFERENCE_IMAGES = 10_000  # ADM's evaluator measures precision and recall against so many
NEIGHBOURS, WIDE_NEIGHBOURS = 3, 5  # of precision and recall (ADM), of density and coverage
PAIRS = 24  # closest pairs that are listed


@dataclass(frozen=True)
class Samples:
    """What a detector saw of generated images: features [n, d]; logits [n, k] and labels [n] where known.

    `columns` [classes] tells which logit is a class's; `spatial` are the statistics of spatial features.
    """

    features: Any
    logits: Any = None
    labels: Any = None
    columns: Any = None
    spatial: Gaussian | None = None


@dataclass(frozen=True)
class Reference:
    """What the same detector saw of real images: statistics of all, features [m, d] of those compared singly.

    `spatial`, `subset` and `copies` where they are known: statistics of spatial features and of the training
    images, and the samples' distances to the latter.
    """

    name: str
    statistics: Gaussian
    features: Any
    spatial: Gaussian | None = None
    subset: Gaussian | None = None
    copies: Copies | None = None


def score_features(samples: Samples, reference: Reference) -> dict[str, Any]:
    """Every metric of samples against a reference, and what it takes to compare it; None where undefined."""
    kernel = kernel_distance(samples.features, reference.features)
    manifold = compare(samples.features, reference.features, NEIGHBOURS, WIDE_NEIGHBOURS)
    inception = None if samples.logits is None else inception_score(samples.logits)
    copies = reference.copies
    return {
        "fid": frechet_distance(fit(samples.features), reference.statistics),
        "sfid": reference.spatial
        and samples.spatial
        and frechet_distance(samples.spatial, reference.spatial),
        "inception_score": inception and inception.mean,
        **asdict(manifold),
        "kid": kernel.mean,
        "agreement": _agreement(samples),
        "copy_rate": copies.rate if copies and copies.judged else None,
        "subset_fid": reference.subset and frechet_distance(reference.subset, reference.statistics),
        "samples": len(samples.features),
        "inception_split": inception and inception.split_size,
        "kid_subset": kernel.subset_size,
        "neighbours": f"{NEIGHBOURS} and {WIDE_NEIGHBOURS}",
        "copies_judged": copies.judged if copies else None,
        "reference": reference.name,
        "manifold_reference": len(reference.features),
    }


def _agreement(samples: Samples) -> float | None:
    """Share of samples whose likeliest class is the one they were drawn for."""
    if samples.logits is None or samples.labels is None or samples.columns is None:
        return None
    predicted = np.asarray(samples.logits)[:, np.asarray(samples.columns)].argmax(1)
    return float((predicted == np.asarray(samples.labels)).mean())


def read_samples(file: h5py.File) -> Samples:
    """Samples as `detect` cached them."""
    return Samples(*(file[name][()] for name in ("features", "logits", "labels", "columns")))


def read_reference(
    shards: list[h5py.File], chosen: set[str], samples: Samples
) -> tuple[Reference, list[str]]:
    """The study's images as reference, and the path of each sample's nearest image among the `chosen` ones.

    Features are read once, a class at a time; those of an even spread of images are kept.
    """
    everything, subset, kept, seen = Moments(), Moments(), [], set()
    copies, nearest = Copies(samples.features, samples.labels), [""] * len(samples.features)
    picked = spread(sum(len(group["paths"]) for shard in shards for group in shard.values()))
    for label, features, paths in _classes(shards):
        inside, here = np.array([path in chosen for path in paths]), picked - everything.count
        kept.append(features[here[(here >= 0) & (here < len(features))]])
        seen.add(label)
        everything.add(features)
        subset.add(features[inside])
        copies.add(label, features, inside)
        if inside.any():
            for sample in np.flatnonzero(np.asarray(samples.labels) == label):
                nearest[sample] = paths[copies.nearest[sample]]
    if unknown := set(np.unique(samples.labels).tolist()) - seen:
        raise InputError(f"samples have class index {min(unknown)}, of which the reference has no image.")
    reference = Reference(
        name=f"the study's {everything.count} images",
        statistics=everything.gaussian(),
        features=np.concatenate(kept),
        subset=subset.gaussian() if subset.count > 1 else None,
        copies=copies,
    )
    return reference, nearest


def spread(count: int) -> np.ndarray:
    """Places of at most `REFERENCE_IMAGES` images, spread evenly over `count` in the order of the index."""
    # ASSUME: ADM's reference batch holds 10,000 random images; an even spread serves every class alike
    return np.linspace(0, count - 1, min(count, REFERENCE_IMAGES)).round().astype(int)


def closest_pairs(copies: Copies, nearest: list[str], count: int = PAIRS) -> pd.DataFrame:
    """Generated images nearest to a training image: place, class index, path of the latter, distance."""
    places = copies.closest(count).tolist()
    rows = [(i, int(copies.labels[i]), nearest[i], float(copies.distances[i])) for i in places]
    return pd.DataFrame(rows, columns=["sample", "class_index", "path", "distance"])


def _classes(shards: list[h5py.File]) -> Iterator[tuple[int, np.ndarray, list[str]]]:
    """(class index, features [n, d], paths) of each class, in order."""
    for shard in shards:
        for group in sorted(shard.values(), key=lambda group: group.attrs["class_index"]):
            yield int(group.attrs["class_index"]), group["features"][()], read_text(group["paths"])


@take(sampling=Sampling)
def score(
    references: Annotated[
        list[Path], typer.Argument(help="Features of the study's images, a file per shard.")
    ],
    features: Annotated[
        Path, typer.Option(help="Features, logits and labels of the samples, from `detect`.")
    ],
    subset: Annotated[Path, typer.Option(help="Subset that the generator was trained on.")],
    weights: Annotated[Path, typer.Option(help="Generator, from `train`.")],
    output: Annotated[Path, typer.Option(help="One row of scores (CSV).")],
    method: Annotated[str, typer.Option(help="Name of the method.")],
    generator: Annotated[str, typer.Option(help="Name of the generator.")],
    budget: Annotated[str, typer.Option(help="Name of the budget.")],
    seed: Annotated[int, typer.Option(help="Seed of the training.")],
    resolution: Annotated[int, typer.Option(help="Side of the images, in pixels.")],
    decoder: Annotated[str, typer.Option(help="Name of the space that the generator works in.")],
    sampling: Sampling,
    pairs: Annotated[
        Path | None, typer.Option(help="Samples nearest to training images, and those (CSV).")
    ] = None,
) -> None:
    """Score a run's samples against the study's images."""
    trained, _ = read_artefact(weights, "a generator of `gadc train`", only="nothing")
    with open_shard(features) as cached, ExitStack() as stack:
        shards = [stack.enter_context(open_shard(path)) for path in references]
        for path, shard in zip(references, shards, strict=True):
            if shard.attrs["digest"] != cached.attrs["digest"]:
                raise InputError(f"{path} and {features} are features of different detectors; delete both.")
        chosen, samples = read_table(subset), read_samples(cached)
        reference, nearest = read_reference(shards, set(chosen["path"]), samples)
        row = {"method": method, "generator": generator, "budget": budget, "seed": seed}
        row |= {"subset_images": len(chosen)}
        row |= score_features(samples, reference)
        row |= {"resolution": resolution, "decoder": decoder, "objective": trained["objective"]}
        row |= {"training_steps": trained["steps"], "ema": trained["ema"]}
        row |= {"sampler": sampling.sampler, "steps": sampling.steps, "guidance": sampling.guidance}
        row |= {"labels": sampling.labels, "sampling_seed": sampling.seed}
        row |= {"detector": cached.attrs["detector"], "detector_digest": cached.attrs["digest"][:12]}
    write_table(pd.DataFrame([row]), output)
    if pairs:
        write_table(closest_pairs(reference.copies, nearest), pairs)

"""Stage score: every metric of a run from cached features, in one row with what makes it comparable."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import h5py
import numpy as np
import pandas as pd
import typer

from gadc.errors import InputError
from gadc.frechet import Moments, fit, frechet_distance
from gadc.inception_score import inception_score
from gadc.manifold import compare
from gadc.merge import read_table, write_table
from gadc.options import take
from gadc.settings import Sampling
from gadc.shards import open_shard, read_text

REFERENCE_IMAGES = 10_000  # ADM's evaluator measures precision and recall against so many


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
) -> None:
    """Score a run's samples against the study's images."""
    from safetensors import safe_open

    with safe_open(weights, "pt") as file:
        trained = file.metadata()
    with open_shard(features) as samples, ExitStack() as stack:
        shards = [stack.enter_context(open_shard(path)) for path in references]
        for path, shard in zip(references, shards, strict=True):
            if shard.attrs["digest"] != samples.attrs["digest"]:
                raise InputError(f"{path} and {features} are features of different detectors; delete both.")
        chosen = read_table(subset)
        row = {"method": method, "generator": generator, "budget": budget, "seed": seed}
        row |= {"subset_images": len(chosen)}
        row |= score_features(samples, shards, set(chosen["path"]))
        row |= {"resolution": resolution, "decoder": decoder, "objective": trained["objective"]}
        row |= {"training_steps": int(trained["steps"]), "ema": trained["ema"]}
        row |= {"samples": len(samples["features"]), "sampler": sampling.sampler, "steps": sampling.steps}
        row |= {"guidance": sampling.guidance, "labels": sampling.labels, "sampling_seed": sampling.seed}
        row |= {"detector": samples.attrs["detector"], "detector_digest": samples.attrs["digest"][:12]}
    write_table(pd.DataFrame([row]), output)


def score_features(samples: h5py.File, shards: list[h5py.File], chosen: set[str]) -> dict[str, Any]:
    """Metrics of samples against the images of reference shards; `chosen` are the paths of the subset."""
    everything, subset = Moments(), Moments()
    for features, paths in _groups(shards):
        everything.add(features)
        inside = np.array([path in chosen for path in paths])
        if inside.any():
            subset.add(features[inside])
    reference = everything.gaussian()
    manifold = compare(samples["features"][()], spread(shards, everything.count))
    inception = inception_score(samples["logits"][()])
    predicted = samples["logits"][()][:, samples["columns"][()]].argmax(1)
    return {
        "fid": frechet_distance(fit(samples["features"]), reference),
        "inception_score": inception.mean,
        **{key: value for key, value in asdict(manifold).items() if isinstance(value, float)},
        "agreement": float((predicted == samples["labels"][()]).mean()),
        "subset_fid": frechet_distance(subset.gaussian(), reference) if subset.count > 1 else None,
        "inception_split": inception.split_size,
        "reference": f"the study's {everything.count} images",
        "manifold_reference": min(REFERENCE_IMAGES, everything.count),
    }


def spread(shards: list[h5py.File], count: int) -> np.ndarray:
    """At most `REFERENCE_IMAGES` features [n, d], spread evenly over all images in the order of the index."""
    # ASSUME: ADM's reference batch holds 10,000 random images; an even spread serves every class alike
    every = np.concatenate([features for features, _ in _groups(shards)])
    return every[np.linspace(0, count - 1, min(count, REFERENCE_IMAGES)).round().astype(int)]


def _groups(shards: list[h5py.File]) -> Iterator[tuple[np.ndarray, list[str]]]:
    """(features [n, d], paths) of each class, in order."""
    for shard in shards:
        for group in sorted(shard.values(), key=lambda group: group.attrs["class_index"]):
            yield group["features"][()], read_text(group["paths"])

"""Stage score: every metric of a run, or of any two sets of images, with what makes it comparable."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import h5py
import numpy as np
import pandas as pd
import typer

from condense.base.errors import AGAIN, InputError
from condense.base.gaussian import Gaussian, Moments
from condense.base.shards import open_shard, read_text
from condense.base.tables import write_table
from condense.config.options import setting, settings, take
from condense.config.settings import Sampling
from condense.diffusion.generator import read_description
from condense.images.subset import read_subset
from condense.scoring.memorisation import Copies, closest_pairs
from condense.scoring.metrics import Reference, Samples, score_features, spread


@settings
class RunNames:
    """What a run is called: the first columns of its row."""

    method: str | None = setting(None, "Name of the method.")
    generator: str | None = setting(None, "Name of the generator.")
    budget: str | None = setting(None, "Name of the budget.")
    seed: int | None = setting(None, "Seed of the training.")
    decoder: str | None = setting(None, "Name of the space that the generator works in.")


@take(run=RunNames, sampling=Sampling)
def score(
    run: RunNames,
    sampling: Sampling,
    references: Annotated[list[Path] | None, typer.Argument(help="The same as --reference.")] = None,
    samples: Annotated[
        Path | None, typer.Option("--samples", "--features", help="Folder, .npz archive, or from `detect`.")
    ] = None,
    reference: Annotated[
        list[Path] | None, typer.Option(help="Folder, .npz archive, ADM reference batch; or features.")
    ] = None,
    detector: Annotated[Path | None, typer.Option(help="For images: encoder, or FID Inception.")] = None,
    resize: Annotated[str, typer.Option(help="FID Inception: tensorflow or clean.")] = "tensorflow",
    resolution: Annotated[
        int | None, typer.Option(help="Side of the images; those of the reference are cropped to it.")
    ] = None,
    subset: Annotated[Path | None, typer.Option(help="Subset that the generator was trained on.")] = None,
    weights: Annotated[Path | None, typer.Option(help="Generator, from `train`.")] = None,
    pairs: Annotated[
        Path | None, typer.Option(help="Samples nearest to training images, and those (CSV).")
    ] = None,
    distances: Annotated[
        Path | None, typer.Option(help="Histogram of distances to training images (CSV).")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="One row of scores (CSV); printed when not given.")
    ] = None,
) -> None:
    """Score generated images against real ones: images on disk, by a detector, or cached features."""
    given = [*(references or []), *(reference or [])]
    if samples is None or not given:
        raise InputError("two sets of images are needed: give --samples and --reference.")
    chosen = None if subset is None else read_subset(subset)
    paths = {row.path for row in chosen or () if not row.made}
    read = SETS["features" if samples.suffix == ".h5" else "pictures"]
    seen, real, nearest, names = read(samples, given, paths, detector, resize, resolution)
    row = vars(run) | ({} if chosen is None else {"subset_images": len(chosen)})
    row |= score_features(seen, real) | {"resolution": resolution}
    if weights is not None:
        check(seen, sampling, samples)
        row |= _training(weights, sampling)
    _write(pd.DataFrame([row | names]), output)
    _write_copies(real.copies, nearest, pairs, distances)


def detect_both(
    samples: Path, references: list[Path], _: set[str], detector: Path | None, resize: str, resolution: int
) -> tuple[Samples, Reference, list[str], dict[str, str]]:
    """A detector's outputs for two sets of images on disk, no nearest images, its name and digest."""
    from condense.encoders.detectors import open_detector
    from condense.scoring.image_sets import detect_images, detect_reference

    if detector is None or resize not in ("tensorflow", "clean") or len(references) != 1:
        raise InputError(
            "images are scored by --detector FILE, an encoder or the FID Inception, "
            "with --resize tensorflow or clean, against one --reference."
        )
    opened = open_detector(detector, resize)
    seen, real = detect_images(samples, opened), detect_reference(references[0], opened, resolution)
    return seen, real, [], {"detector": opened.name, "detector_digest": opened.digest[:12]}


def read_cached(
    features: Path, references: list[Path], chosen: set[str], *_: object
) -> tuple[Samples, Reference, list[str], dict[str, str]]:
    """Cached features of samples and reference, each sample's nearest `chosen` image, the detector's name."""
    with open_shard(features) as cached, ExitStack() as stack:
        shards = [stack.enter_context(open_shard(path)) for path in references]
        for path, shard in zip(references, shards, strict=True):
            if shard.attrs["digest"] != cached.attrs["digest"]:
                raise InputError(f"{path} and {features} are features of different detectors; use one.")
        samples = read_samples(cached)
        groups = [group for _, group in _groups(shards) if "unreadable" in group]
        unreadable = {path for group in groups for path in read_text(group["unreadable"])}
        reference, nearest = read_reference(shards, chosen - unreadable, samples)
        names = {"detector": cached.attrs["detector"], "detector_digest": cached.attrs["digest"][:12]}
        names["unreadable_images"] = len(unreadable)
        return samples, reference, nearest, names


def read_samples(file: h5py.File) -> Samples:
    """Samples as `detect` cached them; logits, columns and spatial statistics only where they are."""
    arrays = {name: _read(file, name) for name in ("features", "logits", "labels", "columns") if name in file}
    return Samples(**arrays, spatial=_statistics(file, "spatial_"))


SETS = {"features": read_cached, "pictures": detect_both}  # by what the samples are


def read_reference(
    shards: list[h5py.File], chosen: set[str], samples: Samples
) -> tuple[Reference, list[str]]:
    """The study's images as reference, and the path of each sample's nearest image among the `chosen` ones.

    Features are read once, a class at a time; those of an even spread of images are kept. The features of a
    reference batch, in a file beside the study's, take their place but for what concerns the chosen images:
    then only these are summed, and classes without one are not read.
    """
    batch = next((shard for shard in shards if "features" in shard), None)
    shards = [shard for shard in shards if shard is not batch]
    everything, subset = Moments(), Moments()
    kept: list[np.ndarray] = []
    known: set[int] = set()
    copies = Copies(samples.features, samples.labels)
    nearest = [""] * len(samples.features)
    strange = set(chosen) if shards else set()
    picked = spread(sum(len(group["paths"]) for _, group in _groups(shards)))
    for label, group in _groups(shards):
        known.add(label)
        paths = read_text(group["paths"])
        strange.difference_update(paths)
        inside = np.array([path in chosen for path in paths], bool)
        if batch is not None and not inside.any():
            continue
        features = _read(group, "features")
        if batch is None:
            here = picked - everything.count
            kept.append(features[here[(here >= 0) & (here < len(features))]])
            everything.add(features)
        subset.add(features[inside])
        copies.add(label, features, inside)
        if inside.any():
            for sample in np.flatnonzero(np.asarray(samples.labels) == label):
                nearest[sample] = paths[copies.nearest[sample]]
    unknown = set(np.unique(samples.labels).tolist()) - known
    if shards and unknown:
        raise InputError(f"samples have class index {min(unknown)}, of which the reference has no image.")
    if strange:
        raise InputError(f"the subset names {min(strange)!r}, of which the references have no features.")
    own = {"subset": subset.gaussian() if subset.count > 1 else None, "copies": copies}
    if batch is not None:
        held = (_statistics(batch), _read(batch, "features"), _statistics(batch, "spatial_"))
        return Reference(batch.attrs["name"], *held, **own), nearest
    name = f"the study's {everything.count} images"
    return Reference(name, everything.gaussian(), np.concatenate(kept), **own), nearest


def check(samples: Samples, sampling: Sampling, where: Path) -> None:
    """Refuse samples of another number, or of unequally many per class, than the settings say."""
    count = len(samples.features)
    if count != sampling.images:
        raise InputError(f"{where} holds {count} images, and {sampling.images} are asked for; {AGAIN}.")
    if sampling.labels == "balanced" and samples.labels is not None:
        counts = np.bincount(samples.labels, minlength=0 if samples.columns is None else len(samples.columns))
        few, many = int(counts.argmin()), int(counts.argmax())
        if counts[few] != counts[many]:
            raise InputError(
                f"{where}: class index {few} has {counts[few]} images and class index {many} {counts[many]}, "
                f"though labels are balanced; {AGAIN}."
            )


def _groups(shards: list[h5py.File]) -> Iterator[tuple[int, h5py.Group]]:
    """(class index, group) of each class of the study's images, in order."""
    for shard in shards:
        if "features" not in shard:  # a reference batch has no classes
            for group in sorted(shard.values(), key=lambda group: group.attrs["class_index"]):
                yield int(group.attrs["class_index"]), group


def _read(group: h5py.Group, name: str) -> np.ndarray:
    """An array all of whose numbers are finite."""
    values = group[name][()]
    if not np.isfinite(values).all():
        where = f"{group.file.filename}{group.name.rstrip('/') and f', class {group.name[1:]}'}"
        raise InputError(f"{where}: {name} are not finite; look for broken images; {AGAIN}.")
    return values


def _statistics(file: h5py.File, prefix: str = "") -> Gaussian | None:
    """Statistics that a file of features holds."""
    held = f"{prefix}mean" in file
    return Gaussian.of(file[f"{prefix}mean"][()], file[f"{prefix}covariance"][()]) if held else None


def _training(weights: Path, sampling: Sampling) -> dict[str, Any]:
    """How the generator was trained and its images drawn."""
    trained = read_description(weights)
    return {
        "device": trained.device,
        "arithmetic": trained.arithmetic,
        "gpus": 0 if trained.device == "cpu" else trained.workers,
        "objective": trained.objective,
        "training_steps": trained.steps,
        "ema": trained.ema,
        "sampler": sampling.sampler,
        "steps": sampling.steps,
        "guidance": sampling.guidance,
        "labels": sampling.labels,
        "noise_seed": sampling.noise_seed,
    }


def _write(row: pd.DataFrame, output: Path | None) -> None:
    if output:
        write_table(row, output)
    else:
        print(row.T.dropna().to_string(header=False))


def _write_copies(copies: Copies, nearest: list[str], pairs: Path | None, distances: Path | None) -> None:
    """Write the closest pairs and the histogram of distances, where files are given."""
    if pairs:
        write_table(closest_pairs(copies, nearest), pairs)
    if distances:
        write_table(
            pd.DataFrame(copies.histogram(), columns=["low", "high", "generated", "held_out"]), distances
        )

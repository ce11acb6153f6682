"""Stage 2: features of every image of a shard, class by class, resumable after any interruption."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer

from condense.base.errors import InputError
from condense.base.memory import keep_freed_memory
from condense.base.progress import say, track
from condense.base.shards import write_shard
from condense.config.options import take
from condense.config.settings import Images
from condense.encoders.encoder import FrozenEncoder
from condense.images.decoding import centre_crop
from condense.images.finished import Finished, resumable
from condense.images.index import Row, read_index, validation_images
from condense.images.sources import Decoded, batches, source

NAMED = 5  # bad images that one sentence names


def embed_classes(
    classes: dict[str, list[Row]], encoder: FrozenEncoder, images: Images, size: int | None, workers: int
) -> Iterator[tuple[str, np.ndarray, list[str], list[tuple[str, str]]]]:
    """Yield (class, features float32 [n, d], their paths, (path, reason) of unreadable images), in order.

    `size` crops images as a generator of that resolution sees them before the encoder's own preprocessing.
    Raises InputError for a feature that is not finite.
    """
    step = encoder.batch  # batches never span classes, so that one class does not change another's last bits
    groups = [
        [row.path for row in rows[start : start + step]]
        for rows in classes.values()
        for start in range(0, len(rows), step)
    ]
    stream = iter(
        track(
            batches(groups, _reader(images, encoder, size), workers), f"embed, batches of {step}", len(groups)
        )
    )
    for name, rows in classes.items():
        parts = [next(stream) for _ in range(0, len(rows), step)]
        features = [_encode(encoder, batch) for batch in parts if batch.paths]
        paths = [path for batch in parts for path in batch.paths]
        unreadable = [bad for batch in parts for bad in batch.unreadable]
        yield name, np.concatenate(features) if features else np.empty((0, 0)), paths, unreadable


def _reader(images: Images, encoder: FrozenEncoder, size: int | None) -> Callable[[str], np.ndarray]:
    """Function from a path to the encoder's input, for the decoding threads."""
    opened = source(images)
    if size is None:
        return lambda path: encoder.prepare(opened.open(path, encoder.preprocess.resize))
    return lambda path: encoder.prepare(centre_crop(opened.open(path), size))


def _encode(encoder: FrozenEncoder, batch: Decoded) -> np.ndarray:
    """Features of a batch, one row per image, all finite."""
    features = encoder.encode(batch.pixels).cpu().numpy()
    if len(features) != len(batch.paths):
        raise InputError(f"Encoder {encoder.name} gave {len(features)} rows for {len(batch.paths)} images.")
    finite = np.isfinite(features).all(axis=1)
    if not finite.all():
        path = batch.paths[int(np.argmin(finite))]
        raise InputError(
            f"Encoder {encoder.name} gives features that are not finite for {path}: "
            "use precision float32, or check the weights and the image."
        )
    return features


def _refuse(unreadable: list[tuple[str, str]], total: int) -> None:
    """Name the images that cannot be read in one sentence."""
    named = "; ".join(reason for _, reason in unreadable[:NAMED])
    more = f"; and {len(unreadable) - NAMED} more" if len(unreadable) > NAMED else ""
    raise InputError(
        f"{len(unreadable)} of {total} images cannot be read: {named}{more}; "
        "repair or remove them, or set images.unreadable: skip."
    )


def embed_shard(
    index: Path,
    encoder: FrozenEncoder,
    images: Images,
    state: Path,
    size: int | None = None,
    workers: int = 2,
) -> list[tuple[str, int, dict]]:
    """Groups of an embeddings shard: (class, class index, {features, paths, unreadable}).

    Each class is kept in `state` as soon as it is done, so that an interrupted run goes on with the next.
    Raises InputError that names unreadable images, unless they are skipped, and a class left empty.
    """
    classes, finished = read_index(index), Finished(state, encoder.digest, size)
    kept = {name: finished.read(rows) for name, rows in classes.items()}
    done = {name: _restored(**arrays) for name, arrays in kept.items() if arrays}
    if done:
        say(f"embed: {len(done)} of {len(classes)} classes are there from an earlier run")
    missing = {name: rows for name, rows in classes.items() if name not in done}
    for name, features, paths, bad in embed_classes(missing, encoder, images, size, workers):
        named = {"paths": np.array(paths, str), "unreadable": np.array(bad, str)}
        finished.write(classes[name], features=features, **named)
        done[name] = features, paths, bad
    unreadable = [bad for name in classes for bad in done[name][2]]
    if unreadable and images.unreadable == "fail":
        _refuse(unreadable, sum(map(len, classes.values())))
    for name, (_, paths, _) in done.items():
        if not paths:
            raise InputError(f"No image of class {name!r} can be read: remove the folder or fill it.")
    for path, reason in unreadable:
        say(f"skipped {path}: {reason}")
    return [_group(name, rows[0].class_index, done[name]) for name, rows in classes.items()]


def _restored(
    features: np.ndarray, paths: np.ndarray, unreadable: np.ndarray
) -> tuple[np.ndarray, list[str], list[tuple[str, str]]]:
    """A class embedded in an earlier run: features, their paths, (path, reason) of the unreadable."""
    bad = [(str(path), str(reason)) for path, reason in unreadable.reshape(-1, 2)]
    return features, [str(path) for path in paths], bad


def _group(name: str, number: int, kept: tuple) -> tuple[str, int, dict]:
    """One class as a group of a shard."""
    features, paths, bad = kept
    return name, number, {"features": features, "paths": paths, "unreadable": [path for path, _ in bad]}


@take(images=Images)
def embed(
    index: Annotated[Path, typer.Option(help="Index file of the shard.")],
    encoder: Annotated[Path, typer.Option(help="Encoder artefact.")],
    output: Annotated[Path, typer.Option(help="HDF5 file to write.")],
    state: Annotated[
        Path, typer.Option(help="Folder for what an interrupted run has done; emptied at the end.")
    ],
    images: Images,
    size: Annotated[
        int | None, typer.Option(help="Crop images to this side first, as a generator does.")
    ] = None,
    workers: Annotated[int, typer.Option(help="Decoding threads; of no effect on the numbers.", min=1)] = 2,
) -> None:
    """Embed a shard of images; where it was interrupted it goes on with the classes that are missing."""
    _embed(index, encoder, output, state, images, size, workers)


@take(images=Images)
def embed_validation(
    index: Annotated[Path, typer.Option(help="Index of the validation images.")],
    encoder: Annotated[Path, typer.Option(help="Encoder artefact.")],
    output: Annotated[Path, typer.Option(help="HDF5 file to write.")],
    state: Annotated[Path, typer.Option(help="Folder from which an interrupted run goes on.")],
    images: Images,
) -> None:
    """Embed the validation images, which no index of a shard lists."""
    _embed(index, encoder, output, state, validation_images(images), None, 2)


def _embed(
    index: Path,
    encoder: Path,
    output: Path,
    state: Path,
    images: Images,
    size: int | None,
    workers: int,
) -> None:
    keep_freed_memory()
    network = FrozenEncoder(encoder, "cuda" if torch.cuda.is_available() else "cpu")
    with resumable(state):
        groups = embed_shard(index, network, images, state, size, workers)
        write_shard(output, {"encoder": network.name, "digest": network.digest}, groups)
    skipped = sum(len(arrays["unreadable"]) for *_, arrays in groups)
    count = sum(len(arrays["paths"]) for *_, arrays in groups)
    say(f"{count} images embedded, {skipped} skipped as unreadable -> {output}")

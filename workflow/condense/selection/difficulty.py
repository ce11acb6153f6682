"""Stage difficulty: how hard a trained generator finds each image, by its denoising loss, class by class."""

import math
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from torch import Tensor

from condense.base.digest import code
from condense.base.errors import InputError
from condense.base.memory import keep_freed_memory
from condense.base.progress import say, track
from condense.base.seeds import stream
from condense.base.shards import write_shard
from condense.base.storage import file_digest
from condense.config.options import take
from condense.config.settings import Autoencoder, Images
from condense.diffusion import autoencoders
from condense.diffusion.adm import Predict
from condense.diffusion.generator import label_of, read_generator
from condense.diffusion.objectives import process_of
from condense.images.finished import Finished, resumable
from condense.images.index import Row, read_index
from condense.images.sources import batches, centre_crop, source

TIMES = 10  # at which the loss of an image is measured, evenly spaced
BATCH = 32  # images


@take(images=Images, autoencoder=Autoencoder)
def difficulty(
    index: Annotated[Path, typer.Option(help="Index of the images of a shard.")],
    weights: Annotated[Path, typer.Option(help="Generator, from `train` or `import-checkpoint`.")],
    resolution: Annotated[int, typer.Option(help="Side of the images that the generator knows, in pixels.")],
    output: Annotated[Path, typer.Option(help="Denoising loss of each image (HDF5).")],
    state: Annotated[Path, typer.Option(help="Folder from which an interrupted run goes on.")],
    images: Images,
    autoencoder: Autoencoder,
) -> None:
    """Measure how hard a generator finds each image: its denoising loss, the mean over noise levels."""
    keep_freed_memory()
    classes = read_index(index)
    with resumable(state):
        known = (code("selection.difficulty.difficulty"), file_digest(weights), resolution, autoencoder)
        finished = Finished(state, *known)
        found = {name: finished.read(rows) for name, rows in classes.items()}
        missing = {name: rows for name, rows in classes.items() if found[name] is None}
        if len(missing) < len(classes):
            say(f"difficulty: {len(classes) - len(missing)} of {len(classes)} classes are there already")
        for name, paths, losses in measure_classes(missing, weights, resolution, images, autoencoder):
            found[name] = {"score": np.array(losses, np.float32), "paths": np.array(paths, str)}
            finished.write(classes[name], **found[name])
        groups = [
            (name, rows[0].class_index, found[name] | {"paths": [str(path) for path in found[name]["paths"]]})
            for name, rows in classes.items()
            if len(found[name]["paths"])
        ]
        write_shard(output, {"generator": str(weights)}, groups)
    say(f"{sum(len(arrays['paths']) for *_, arrays in groups)} images -> {output}")


def measure_classes(
    classes: dict[str, list[Row]], weights: Path, resolution: int, images: Images, autoencoder: Autoencoder
) -> Iterator[tuple[str, list[str], list[float]]]:
    """Yield (class, paths of its readable images, denoising loss of each), in order.

    Raises InputError for an image that cannot be read, unless such are skipped, and for a shape or a class
    that the generator does not know.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network, captions, about = read_generator(weights, device)
    model = autoencoders.load(autoencoder, device)
    opened = source(images)
    groups = [
        [row.path for row in rows[at : at + BATCH]]
        for rows in classes.values()
        for at in range(0, len(rows), BATCH)
    ]
    decoded = batches(groups, lambda path: np.asarray(centre_crop(opened.open(path), resolution)))
    stream_of = iter(track(decoded, "difficulty", len(groups)))
    for name, rows in classes.items():
        paths, losses = [], []
        for batch in islice(stream_of, math.ceil(len(rows) / BATCH)):
            if batch.unreadable and images.unreadable == "fail":
                raise InputError(
                    f"{batch.unreadable[0][1]}; repair or remove it, or set images.unreadable: skip."
                )
            if not batch.paths:
                continue
            number = label_of(name, rows[0].class_index, about, weights)
            label = torch.full((len(batch.paths),), number, device=device)
            text = {} if captions is None else {"text": captions[label]}
            pixels = torch.from_numpy(batch.pixels).to(device).permute(0, 3, 1, 2)
            clean, _ = model.encode(pixels / 127.5 - 1)
            if clean.shape[1:] != about.shape:
                raise InputError(f"{weights} takes {about.shape}, the images give {tuple(clean.shape[1:])}.")
            predict = _conditioned(network, label, text)
            losses += denoising_losses(predict, clean, about.objective, tuple(batch.paths)).tolist()
            paths += batch.paths
        yield name, paths, losses


@torch.inference_mode()
def denoising_losses(predict: Predict, clean: Tensor, objective: str, names: tuple[str, ...]) -> Tensor:
    """Mean squared error of the prediction [b] over `TIMES` evenly spaced times; low is easy.

    One draw of noise per image, keyed on its name, serves every time, so that the ranking is reproducible.
    Source: Huang et al. 2025 (D2C), algorithm 2: squared error between the noise and its prediction.
    """
    # ASSUME: the paper leaves number and placement of the times and the draws of noise open
    noise = torch.stack(
        [torch.randn(clean.shape[1:], generator=stream("difficulty", name)) for name in names]
    )
    noise, total = noise.to(clean), torch.zeros(len(clean), device=clean.device)
    process = process_of(objective)
    for number in range(TIMES):
        t = torch.full((len(clean),), process.time_at((number + 0.5) / TIMES), device=clean.device)
        total += process.errors(predict, clean, t, noise)
    return total / TIMES


def _conditioned(network: torch.nn.Module, label: Tensor, text: dict[str, Tensor]) -> Callable:
    def predict(x: Tensor, t: Tensor) -> Tensor:
        with torch.autocast(x.device.type, torch.bfloat16, enabled=x.device.type == "cuda"):
            return network(x, t, label, **text).float()

    return predict

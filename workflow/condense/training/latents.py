"""Stage latents: latents of a subset, posterior mean and deviation of each image and its mirror image.

They are computed once: a latent cannot be flipped, and encoding would cost more than a training step.
"""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer

from condense.base.errors import InputError
from condense.base.memory import keep_freed_memory
from condense.base.progress import say, track
from condense.base.shards import create, put
from condense.base.storage import replacing
from condense.config.options import take
from condense.config.settings import Autoencoder, Images
from condense.diffusion import autoencoders
from condense.images.sources import centre_crop, source

BATCH = 32
ROUND_TRIPS = 1000  # about so many images tell what the autoencoder loses


@take(images=Images, autoencoder=Autoencoder)
def latents(
    subset: Annotated[Path, typer.Option(help="Subset table with columns path and class_index.")],
    index: Annotated[Path, typer.Option(help="Index of all images: gives the number of classes.")],
    output: Annotated[Path, typer.Option(help="Latents (HDF5).")],
    resolution: Annotated[int, typer.Option(help="Side of the images, in pixels.")],
    images: Images,
    autoencoder: Autoencoder,
) -> None:
    """Encode the images of a subset, and their mirror images, for training."""
    keep_freed_memory()
    chosen, classes = read_subset(subset, index)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = autoencoders.load(autoencoder, device)
    with replacing(output) as beside, create(beside) as file:
        file.attrs["classes"] = classes
        put(file, "path", [*chosen])
        put(file, "label", np.array([*chosen.values()], dtype=np.int64))
        _encode(file, model, images, [*chosen], resolution, device)


def _encode(file, model, images, paths, resolution, device) -> None:
    """Write moments [n, 2, c, h, w] of images and mirror images; an empty subset leaves its shape alone."""
    probe, _ = model.encode(torch.zeros(1, 3, resolution, resolution, device=device))
    shape = (len(paths), 2, *probe.shape[1:])
    pieces = {"chunks": (1, 1, *shape[2:]), "fletcher32": True} if paths else {}
    stored = {"mean": file.create_dataset("mean", shape, np.float16, **pieces)}
    opened, scale, error = source(images), [], []
    thinning = 1 + len(paths) // ROUND_TRIPS  # decoding costs as much as encoding
    for start in track(range(0, len(paths), BATCH), "encoding"):
        names = paths[start : start + BATCH]
        pixels = np.stack([centre_crop(opened.open(name), resolution) for name in names])
        clean = torch.from_numpy(pixels).to(device).permute(0, 3, 1, 2).float() / 127.5 - 1
        for mirror, view in enumerate((clean, clean.flip(3))):
            moments = dict(zip(("mean", "deviation"), model.encode(view), strict=True))
            for name, value in moments.items():
                if value is None:
                    continue
                if not value.half().isfinite().all():
                    raise InputError(
                        f"{', '.join(names[:3])}, …: a latent is not finite; check the autoencoder."
                    )
                if name not in stored:
                    stored[name] = file.create_dataset(name, shape, np.float16, **pieces)
                stored[name][start : start + len(names), mirror] = value.half().cpu().numpy()
        scale.append(moments["mean"].square().mean().item())
        if start // BATCH % thinning == 0:
            error.append((model.decode(moments["mean"]) - view).square().mean().item())
    if scale:
        decibel = 10 * np.log10(4 / max(np.mean(error), 1e-12))
        say(
            f"latents: root mean square {np.sqrt(np.mean(scale)):.2f} (near 1 is right), "
            f"PSNR of the round trip {decibel:.1f} dB"
        )


def read_subset(subset: Path, index: Path) -> tuple[dict[str, int], int]:
    """Class index of each chosen image, by path, and the number of classes.

    Raises InputError for a file that is not a subset, and for an image that the index does not have.
    """
    rows = [(row["path"], row["class_index"]) for row in _rows(subset)]
    chosen = dict(rows)
    if len(chosen) < len(rows):
        raise InputError(f"{subset} names an image twice: correct it, or delete it and run again.")
    known, classes = {}, set()
    for row in _rows(index):
        classes.add(row["class_index"])
        if row["path"] in chosen:
            known[row["path"]] = row["class_index"]
    for path, number in chosen.items():
        if known.get(path) != number:
            raise InputError(
                f"{subset} names {path!r} of class index {number}, which {index} does not list: "
                "correct it, or delete it and run again."
            )
    return {path: int(number) for path, number in chosen.items()}, len(classes)


def _rows(path: Path) -> Iterator[dict[str, str]]:
    """Rows of a CSV with columns path and class_index."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = csv.DictReader(file, strict=True)
            if not {"path", "class_index"} <= set(rows.fieldnames or ()):
                raise ValueError("a column path or class_index is missing")
            for row in rows:
                if None in row or None in row.values() or not row["class_index"].isdecimal():
                    raise ValueError(f"line {rows.line_num} is not whole")
                yield row
    except (ValueError, csv.Error) as error:
        raise InputError(
            f"{path} is not a table of the pipeline ({error}): delete it and run again."
        ) from None

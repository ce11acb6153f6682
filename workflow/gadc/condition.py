"""Stage condition: latents of a subset, posterior mean and deviation of each image and its mirror image.

They are computed once: a latent cannot be flipped, and encoding would cost more than a training step.
"""

import csv
from pathlib import Path
from typing import Annotated

import h5py
import numpy as np
import torch
import typer

from gadc import autoencoders
from gadc.errors import InputError
from gadc.images import centre_crop, source
from gadc.options import take
from gadc.progress import say, track
from gadc.settings import Autoencoder, Images
from gadc.storage import replacing

BATCH = 32


@take(images=Images, autoencoder=Autoencoder)
def condition(
    subset: Annotated[Path, typer.Option(help="Subset table with columns path and class_index.")],
    index: Annotated[Path, typer.Option(help="Index of all images: gives the number of classes.")],
    output: Annotated[Path, typer.Option(help="Latents (HDF5).")],
    resolution: Annotated[int, typer.Option(help="Side of the images, in pixels.")],
    images: Images,
    autoencoder: Autoencoder,
) -> None:
    """Encode the images of a subset, and their mirror images, for training."""
    with subset.open(newline="") as file:
        rows = list(csv.DictReader(file))
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = autoencoders.load(autoencoder if autoencoder.path else None, device)
    with replacing(output) as beside, h5py.File(beside, "w") as file:
        file.attrs["classes"] = count_classes(index)
        file["path"] = np.array([row["path"] for row in rows], dtype=h5py.string_dtype())
        file["label"] = np.array([int(row["class_index"]) for row in rows], dtype=np.int64)
        _encode(file, model, images, [row["path"] for row in rows], resolution, device)


def _encode(file, model, images, paths, resolution, device) -> None:
    """Write moments [n, 2, c, h, w] of images and mirror images; an empty subset leaves its shape alone."""
    probe, _ = model.encode(torch.zeros(1, 3, resolution, resolution, device=device))
    shape = (len(paths), 2, *probe.shape[1:])
    stored = {"mean": file.create_dataset("mean", shape, np.float16)}
    opened, scale, error = source(images), [], []
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
                    stored[name] = file.create_dataset(name, shape, np.float16)
                stored[name][start : start + len(names), mirror] = value.half().cpu().numpy()
        scale.append(moments["mean"].square().mean().item())
        error.append((model.decode(moments["mean"]) - view).square().mean().item())
    if scale:
        decibel = 10 * np.log10(4 / max(np.mean(error), 1e-12))
        say(
            f"latents: root mean square {np.sqrt(np.mean(scale)):.2f} (near 1 is right), "
            f"PSNR of the round trip {decibel:.1f} dB"
        )


def count_classes(index: Path) -> int:
    """Number of classes of an index table."""
    with index.open(newline="") as file:
        return len({row["class_index"] for row in csv.DictReader(file)})

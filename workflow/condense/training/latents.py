"""Stage latents: latents of a subset, posterior mean and deviation of each image and its mirror image.

They are computed once: a latent cannot be flipped, and encoding would cost more than a training step.
"""

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
from condense.images.index import class_names
from condense.images.sources import centre_crop, source
from condense.images.subset import MADE, MadeFolder, open_chosen, read_subset

BATCH = 32
ROUND_TRIPS = 1000  # about so many images tell what the autoencoder loses


@take(images=Images, autoencoder=Autoencoder)
def latents(
    subset: Annotated[Path, typer.Option(help="Subset: path, class and class_index of each image.")],
    index: Annotated[Path, typer.Option(help="Index of all images: gives the number of classes.")],
    output: Annotated[Path, typer.Option(help="Latents (HDF5).")],
    resolution: Annotated[int, typer.Option(help="Side of the images, in pixels.")],
    images: Images,
    autoencoder: Autoencoder,
    made: MadeFolder = MADE,
) -> None:
    """Encode the images of a subset, and their mirror images, for training."""
    keep_freed_memory()
    chosen = read_subset(subset, index=index, made=made)
    opened = source(images)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = autoencoders.load(autoencoder, device)
    with replacing(output) as beside, create(beside) as file:
        file.attrs["classes"] = len(class_names(index))
        put(file, "path", [row.path for row in chosen])
        put(file, "label", np.array([row.class_index for row in chosen], dtype=np.int64))
        _encode(file, model, chosen, lambda row: open_chosen(row, opened, made), resolution, device)


def _encode(file, model, chosen, read, resolution, device) -> None:
    """Write moments [n, 2, c, h, w] of images and mirror images; an empty subset leaves its shape alone."""
    probe, _ = model.encode(torch.zeros(1, 3, resolution, resolution, device=device))
    shape = (len(chosen), 2, *probe.shape[1:])
    pieces = {"chunks": (1, 1, *shape[2:]), "fletcher32": True} if chosen else {}
    stored = {"mean": file.create_dataset("mean", shape, np.float16, **pieces)}
    scale, error = [], []
    thinning = 1 + len(chosen) // ROUND_TRIPS  # decoding costs as much as encoding
    for start in track(range(0, len(chosen), BATCH), "encoding"):
        rows = chosen[start : start + BATCH]
        pixels = np.stack([centre_crop(read(row), resolution) for row in rows])
        clean = torch.from_numpy(pixels).to(device).permute(0, 3, 1, 2).float() / 127.5 - 1
        for mirror, view in enumerate((clean, clean.flip(3))):
            moments = dict(zip(("mean", "deviation"), model.encode(view), strict=True))
            for name, value in moments.items():
                if value is None:
                    continue
                if not value.half().isfinite().all():
                    first = ", ".join(row.path for row in rows[:3])
                    raise InputError(f"{first}, …: a latent is not finite; check the autoencoder.")
                if name not in stored:
                    stored[name] = file.create_dataset(name, shape, np.float16, **pieces)
                stored[name][start : start + len(rows), mirror] = value.half().cpu().numpy()
        scale.append(moments["mean"].square().mean().item())
        if start // BATCH % thinning == 0:
            error.append((model.decode(moments["mean"]) - view).square().mean().item())
    if scale:
        decibel = 10 * np.log10(4 / max(np.mean(error), 1e-12))
        say(
            f"latents: root mean square {np.sqrt(np.mean(scale)):.2f} (near 1 is right), "
            f"PSNR of the round trip {decibel:.1f} dB"
        )

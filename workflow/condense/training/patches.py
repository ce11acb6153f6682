"""Stage patches: feature maps of a subset's images and mirror images, targets of the feature alignment.

Both orientations are kept, so that a training step flips image and target together (Yu et al. 2025).
"""

from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import torch.nn.functional as F
import typer
from torch import Tensor

from condense.base.errors import InputError
from condense.base.precision import full_precision
from condense.base.progress import track
from condense.base.shards import create_around
from condense.base.storage import replacing
from condense.config.options import take
from condense.config.settings import Images
from condense.encoders.encoder import FrozenEncoder
from condense.images.sources import centre_crop, source
from condense.images.subset import MADE, MadeFolder, open_chosen, read_subset

BATCH = 32
PIXELS = 16  # image pixels along a side of a token: 8 of the autoencoder times the patch of 2


@take(images=Images)
def patches(
    subset: Annotated[Path, typer.Option(help="Subset: path, class and class_index of each image.")],
    encoder: Annotated[Path, typer.Option(help="Encoder, from `encoder`.")],
    output: Annotated[Path, typer.Option(help="Feature maps (HDF5).")],
    resolution: Annotated[int, typer.Option(help="Side of the images, in pixels.")],
    images: Images,
    made: MadeFolder = MADE,
) -> None:
    """Compute the features of each patch of a subset's images, and of their mirror images."""
    opened = source(images)
    chosen = read_subset(subset, images=opened, made=made)
    model = FrozenEncoder(encoder, "cuda" if torch.cuda.is_available() else "cpu")
    side = input_side(model, resolution)
    width, *grid = features(model, np.zeros((1, resolution, resolution, 3), np.uint8), side).shape[1:]
    paths = [row.path for row in chosen]
    shape = (len(chosen), 2, *grid, width)
    with (
        replacing(output) as beside,
        create_around(beside, "features", shape, np.float16, {"path": paths}) as file,
    ):
        for start in track(range(0, len(chosen), BATCH), "aligning"):
            rows = chosen[start : start + BATCH]
            pixels = np.stack([centre_crop(open_chosen(row, opened, made), resolution) for row in rows])
            views = [features(model, view, side) for view in (pixels, pixels[:, :, ::-1])]
            found = torch.stack(views, 1).permute(0, 1, 3, 4, 2).half().contiguous()
            if not found.isfinite().all():
                first = ", ".join(row.path for row in rows[:3])
                raise InputError(f"{first}, …: a feature is not finite; check {encoder}.")
            file.write(found.cpu().numpy().data)


def input_side(encoder: FrozenEncoder, resolution: int) -> int:
    """Side of the encoder's input: one patch for each token of the generator where the encoder allows it.

    A transformer of timm with `dynamic_img_size` does: DINOv2 with patches of 14 sees 256 pixels as 224 and
    512 as 448. Any other sees what it was made for.
    """
    network = encoder.network
    if getattr(network, "dynamic_img_size", False):
        return resolution * network.patch_embed.patch_size[0] // PIXELS
    return encoder.preprocess.side


@torch.inference_mode()
@full_precision()
def features(encoder: FrozenEncoder, pixels: np.ndarray, side: int) -> Tensor:
    """Features [b, d, h, w] of uint8 images [b, r, r, 3], resized to `side` as the alignment's authors do."""
    batch = torch.from_numpy(np.ascontiguousarray(pixels)).to(encoder.device)
    batch = encoder.preprocess.normalise(batch)
    if batch.shape[2] != side:
        batch = F.interpolate(batch, (side, side), mode="bicubic")
    if not hasattr(encoder.network, "forward_features"):
        raise InputError(f"encoder {encoder.name} gives no feature map; align to a timm model.")
    found = encoder.network.forward_features(batch).float()
    if found.dim() == 3:
        found = found[:, getattr(encoder.network, "num_prefix_tokens", 0) :].transpose(1, 2)
        found = found.unflatten(2, (round(found.shape[2] ** 0.5), -1))
    return found

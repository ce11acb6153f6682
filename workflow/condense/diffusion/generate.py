"""Stage generate: images from a trained generator, each from its own random stream.

Label, starting noise and step noise of image i depend on the seed, i and the number of images alone, so batch
size, shards and machines change nothing but the last bits of float arithmetic.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from torch import Tensor

from condense.base.compile import compile_network
from condense.base.errors import InputError
from condense.base.memory import keep_freed_memory
from condense.base.progress import track
from condense.base.seeds import seed_of, stream
from condense.base.storage import replacing
from condense.config.objectives import misfit
from condense.config.options import take
from condense.config.settings import Autoencoder, Sampling
from condense.diffusion import autoencoders
from condense.diffusion.adm import Predict
from condense.diffusion.generator import read_generator
from condense.diffusion.parts import read_part
from condense.diffusion.samplers import SAMPLERS, guide
from condense.images.adm_files import write_samples


@take(sampling=Sampling, autoencoder=Autoencoder)
def generate(
    weights: Annotated[Path, typer.Option(help="Trained generator, from `train`.")],
    output: Annotated[Path, typer.Option(help="Images, labels and ids of this shard (npz).")],
    shard: Annotated[str, typer.Option(help="Which part of the images, such as 2-of-8.")],
    sampling: Sampling,
    autoencoder: Autoencoder,
) -> None:
    """Draw one shard of a run's images."""
    keep_freed_memory()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network, captions, about = read_generator(weights, device)
    if reason := misfit(about.objective, sampling.sampler):
        raise InputError(f"{weights}: {reason}.")
    labels = labels_of(about.classes, sampling)
    compiled = compile_network(network, device)
    model = autoencoders.load(autoencoder, device)
    part, parts = map(int, shard.split("-of-"))
    bounds = [sampling.images * i // parts for i in range(parts + 1)]
    ids = range(bounds[part - 1], bounds[part])  # none, where there are more parts than images
    _, channels, height, width = model.decode(torch.zeros(1, *about.shape, device=device)).shape
    images = np.empty((len(ids), height, width, channels), np.uint8)
    for start in track(range(0, len(ids), sampling.batch), "generating"):
        chosen = list(ids[start : start + sampling.batch])
        # a smaller last batch would be compiled anew: fill it with copies of its last image
        filling = min(sampling.batch, len(ids)) - len(chosen) if compiled else 0
        drawn = chosen + chosen[-1:] * filling
        given = labels[drawn].to(device)
        text = None if captions is None else captions[given]
        predict = guide(network, given, sampling.guidance, sampling.guided_channels, text)
        latents = draw(predict, device, drawn, about.shape, sampling)[: len(chosen)]
        images[start : start + len(chosen)] = to_pixels(model.decode(latents.float()), chosen, weights)
    with replacing(output) as beside, beside.open("wb") as file:
        numbers = np.array(ids, dtype=np.int64)
        np.savez(file, images=images, labels=labels.numpy()[numbers], ids=numbers)


def merge_samples(
    parts: Annotated[list[Path], typer.Argument(help="Parts of a run's samples, in order (npz).")],
    output: Annotated[Path, typer.Option(help="All of them in the format of ADM's evaluator (npz).")],
) -> None:
    """Put the parts of a run's samples into one file for other programs, one part in memory at a time."""
    count = sum(len(ids) for path in parts for ids in read_part(path, "ids"))
    pieces = (read_part(path, "images", "labels") for path in track(parts, "merging"))
    write_samples(output, pieces, count)


def labels_of(classes: int, sampling: Sampling) -> Tensor:
    """Labels [images] of a run: each class equally often in shuffled order, or uniform draws.

    In turn the classes would balance each split of the inception score exactly, which raises it by 3 to 8%.
    """
    if sampling.labels == "random":
        return torch.tensor(
            [seed_of("label", sampling.noise_seed, i) % classes for i in range(sampling.images)]
        )
    if sampling.images % classes:
        raise InputError(
            f"sampling.images is {sampling.images}, which {classes} classes do not divide into equal shares; "
            "change it or set sampling.labels to random."
        )
    order = torch.randperm(sampling.images, generator=stream("labels", sampling.noise_seed))
    return order % classes


@torch.inference_mode()
def draw(
    predict: Predict, device: torch.device, ids: list[int], shape: Sequence[int], sampling: Sampling
) -> Tensor:
    """Latents [b, *shape] of images with given ids, by a network that is guided already."""
    streams = [stream("sample", sampling.noise_seed, i) for i in ids]

    def noise(step: int) -> Tensor:
        return torch.stack([torch.randn(shape, generator=own) for own in streams]).to(device)

    with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
        return SAMPLERS[sampling.sampler](predict, noise(-1), sampling.steps, noise)


def to_pixels(images: Tensor, ids: list[int], weights: Path) -> np.ndarray:
    """Images [b, 3, h, w] about in [-1, 1] -> uint8 [b, h, w, 3]; non-finite ones are an error."""
    finite = images.isfinite().flatten(1).all(1)
    if not finite.all():
        bad = [ids[i] for i in (~finite).nonzero().flatten().tolist()]
        raise InputError(
            f"{weights} draws images that are not finite (ids {bad[:8]}); train with a lower learning rate."
        )
    # RELEASE: uint8 = clamp(127.5 x + 128), truncated
    return (images.float() * 127.5 + 128).clamp(0, 255).byte().permute(0, 2, 3, 1).cpu().numpy()

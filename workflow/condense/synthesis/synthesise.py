"""Stage synthesise: images of a shard's classes, made by a diffusion model; they are a subset like any other.

An image depends on its class, its number, the settings and the images of its class before it, so shards
and batches change nothing but the last bits of float arithmetic.
"""

import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from PIL import Image, PngImagePlugin
from torch import Tensor

from condense.base.digest import code
from condense.base.errors import InputError
from condense.base.memory import keep_freed_memory
from condense.base.progress import say
from condense.base.storage import file_digest, replacing_folder
from condense.base.tables import write_rows
from condense.config.options import take
from condense.config.settings import Autoencoder, Images, Making
from condense.images.finished import Finished, resumable
from condense.images.index import Row, read_index
from condense.images.subset import MADE, Chosen, MadeFolder, write_subset
from condense.synthesis.chain import Chain, Target, open_chain, targets
from condense.synthesis.given import Given
from condense.synthesis.methods import MAKERS

DIAGNOSTICS = ("method", "budget", "class", "images", "chosen", "seconds")


@take("autoencoder", "dataset", method=Making, autoencoder=Autoencoder, dataset=Images)
def synthesise(
    method: Making,
    autoencoder: Autoencoder,
    dataset: Images,
    index: Annotated[Path, typer.Option(help="Index of the images of a shard: gives its classes.")],
    weights: Annotated[Path, typer.Option(help="Generator, from `train` or `import-checkpoint`.")],
    budget: Annotated[int, typer.Option(help="Images of each class.", min=1)],
    images: Annotated[Path, typer.Option(help="Folder to write, below that of the made images.")],
    output: Annotated[Path, typer.Option(help="Subset of the made images to write (CSV).")],
    state: Annotated[Path, typer.Option(help="Folder from which an interrupted run goes on.")],
    latents: Annotated[Path | None, typer.Option(help="Latents of real images, from `latents`.")] = None,
    references: Annotated[
        Path | None, typer.Option(help="Folder of features that nopt compares with, kept for other jobs.")
    ] = None,
    surrogate_weights: Annotated[
        Path | None, typer.Option(help="Student whose gradients guide, from `learn`.")
    ] = None,
    reference_index: Annotated[
        Path | None, typer.Option(help="Index of all images that the surrogate looks at.")
    ] = None,
    diagnostics: Annotated[Path | None, typer.Option(help="Table of one row per class.")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the method in the table.")] = None,
    budget_name: Annotated[str | None, typer.Option(help="Name of the budget in the table.")] = None,
    made: MadeFolder = MADE,
) -> None:
    """Make the images of each class by a generator."""
    keep_freed_memory()
    if not images.is_relative_to(made):
        raise InputError(f"--images {images} does not lie below --made {made}, from where subsets are read.")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    chain, about = open_chain(weights, method, autoencoder, device)
    rows = read_index(index)
    classes = targets({cls: found[0].class_index for cls, found in rows.items()}, about, weights)
    files = (weights, latents, surrogate_weights, reference_index)
    seen = [path and file_digest(path) for path in files]
    given = Given(device, latents, references, seen[0], surrogate_weights, reference_index, dataset)
    with resumable(state):
        known = (code("synthesis.synthesise.synthesise"), *seen, method, autoencoder, dataset, budget)
        drawn, seconds = _make(chain, classes, budget, method, given, rows, Finished(state, *known))
        about_all = {"method": name or method.kind, "settings": repr(asdict(method))}
        chosen = _write_images(images, chain, classes, drawn, about_all, made)
        write_subset(chosen, output)
        if diagnostics:
            counts = [(target, len(rows[target.name]), len(drawn[target.name])) for target in classes]
            told = (
                (name or method.kind, budget_name or budget, target.name, real, count, seconds)
                for target, real, count in counts
            )
            write_rows(diagnostics, DIAGNOSTICS, told)
    say(f"{len(chosen)} images of {len(classes)} classes in {seconds * len(classes):.1f} s -> {images}")


def _make(
    chain: Chain,
    classes: Sequence[Target],
    budget: int,
    method: Making,
    given: Given,
    rows: dict[str, list[Row]],
    kept: Finished,
) -> tuple[dict[str, Tensor], float]:
    """Latents [budget, c, h, w] of each class, and the seconds of this process for one class."""
    read = {target.name: kept.read(rows[target.name]) for target in classes}
    drawn = {cls: torch.from_numpy(found["latents"]).to(chain.device) for cls, found in read.items() if found}
    if drawn:
        say(f"synthesise: {sum(map(len, drawn.values()))} of {budget * len(classes)} images are there")
    began = time.perf_counter()
    for cls, more in MAKERS[method.kind](chain, classes, budget, method, given, dict(drawn)):
        if not more.isfinite().all():
            raise InputError(
                f"{method.kind} made images of class {cls!r} that are not finite: look at the generator, or "
                "weaken what guides it."
            )
        drawn[cls] = torch.cat([drawn[cls], more]) if cls in drawn else more
        kept.write(rows[cls], latents=drawn[cls].cpu().numpy())
    return drawn, (time.perf_counter() - began) / max(len(classes), 1)


def _write_images(
    folder: Path,
    chain: Chain,
    classes: Sequence[Target],
    drawn: dict[str, Tensor],
    about: dict[str, str],
    made: Path,
) -> list[Chosen]:
    """Decode and write the images, class/number.png, the folder as a whole; tell which there are."""
    chosen = []
    with replacing_folder(folder) as beside:
        for target in classes:
            (beside / target.name).mkdir(parents=True)
            for number, latent in enumerate(drawn[target.name]):
                pixels = to_pixels(chain.decode(latent[None]))[0]
                own = {"class": target.name, "class_index": str(target.index), "number": str(number)}
                file = f"{target.name}/{number:05d}.png"
                Image.fromarray(pixels).save(beside / file, pnginfo=_text(about | own))
                path = (folder / file).relative_to(made).as_posix()
                chosen.append(Chosen(path, target.name, target.index, number, made=True))
    return chosen


def to_pixels(images: Tensor) -> np.ndarray:
    """Images [b, 3, h, w] about in [-1, 1] -> uint8 [b, h, w, 3], rounded: what was encoded comes back."""
    return ((images.float() + 1) * 127.5).round().clamp(0, 255).byte().permute(0, 2, 3, 1).cpu().numpy()


def _text(values: dict[str, str]) -> PngImagePlugin.PngInfo:
    """Text chunks of a PNG."""
    chunks = PngImagePlugin.PngInfo()
    for key, value in values.items():
        chunks.add_itxt(key, value)
    return chunks

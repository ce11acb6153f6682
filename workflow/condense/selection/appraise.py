"""Stage appraise: how near a subset comes to held-out images, in an encoder's features, untrained."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import torch
import typer
from torch import Tensor

from condense.base.errors import InputError
from condense.base.gaussian import Moments
from condense.base.hardware import describe
from condense.base.memory import keep_freed_memory
from condense.base.progress import say
from condense.base.tables import write_table
from condense.encoders.detectors import open_detector
from condense.images.subset import MADE, MadeFolder, by_class, read_subset
from condense.scoring.frechet import frechet_distance
from condense.scoring.manifold import compare
from condense.scoring.memorisation import Copies
from condense.scoring.neighbours import Points, nearest
from condense.selection.embedded import features_of, read_embedded

NEIGHBOURS, WIDE_NEIGHBOURS = 3, 5  # as for samples; one less than its images where a set is smaller


def appraise(
    subset: Annotated[Path, typer.Option(help="Subset to look at.")],
    features: Annotated[list[Path], typer.Option(help="Embeddings of the images to choose from, by shard.")],
    held_out: Annotated[Path, typer.Option(help="Embeddings of held-out images, from `embed-validation`.")],
    encoder: Annotated[Path, typer.Option(help="The encoder of both: it embeds made images.")],
    output: Annotated[Path, typer.Option(help="One row (CSV).")],
    method: Annotated[str, typer.Option(help="Name of the method that chose or made the subset.")] = "",
    judge: Annotated[str, typer.Option(help="Name of the encoder.")] = "",
    budget: Annotated[str, typer.Option(help="Name of the budget.")] = "",
    seed: Annotated[int, typer.Option(help="Seed of the study's replicate.", min=0)] = 0,
    resize: Annotated[str, typer.Option(help="FID Inception: tensorflow or clean.")] = "tensorflow",
    made: MadeFolder = MADE,
) -> None:
    """Appraise a subset by held-out images, without training anything."""
    keep_freed_memory()
    chosen = by_class(read_subset(subset, made=made))
    detector = open_detector(encoder, resize)
    unseen = dict(read_embedded([held_out], detector))
    sets, rows = [], []
    for name, (paths, values) in read_embedded(features, detector):
        if name not in unseen:
            raise InputError(f"{held_out} has no image of class {name!r}; embed the validation images anew.")
        if own := chosen.pop(name, []):
            mine = features_of(own, paths, values, detector, made, subset)
            sets.append((mine, unseen[name][1]))
            rows.append(appraise_class(mine, values, unseen[name][1], all(row.made for row in own)))
    if chosen or not sets:
        missing = next(iter(chosen), "any")
        raise InputError(f"{subset} names class {missing!r}, which is not embedded; make it anew.")
    row: dict[str, Any] = {"method": method, "judge": judge, "budget": budget, "seed": seed}
    row |= {"subset_images": sum(len(mine) for mine, _ in sets)}
    row |= pd.DataFrame(rows).mean().to_dict() | _together(sets)
    held = sum(len(theirs) for _, theirs in sets)
    row |= {"detector": detector.name, "reference": f"{held} held-out images"}
    row |= {"neighbours": f"{NEIGHBOURS} and {WIDE_NEIGHBOURS}", "arithmetic": describe()}
    write_table(pd.DataFrame([row]), output)
    say(f"energy distance {row['energy']:.4f}, OT distance {row['transport']:.4f} -> {output}")


def appraise_class(mine: Tensor, real: Tensor, unseen: Tensor, made: bool) -> dict[str, float | None]:
    """What a subset's images [m, d] have in common with held-out ones [h, d] of their class.

    `real` [n, d] are the images that could be chosen; how often made ones copy them is the chance that the
    nearest of as many real as held-out images is nearer than the nearest held-out one.
    """
    found: dict[str, float | None] = {"energy": energy_distance(mine, unseen)}
    found["transport"] = transport_distance(mine, unseen)
    narrow, wide = min(NEIGHBOURS, len(mine) - 1), min(WIDE_NEIGHBOURS, len(unseen) - 1)
    if narrow > 0 and wide > 0:
        found |= vars(compare(mine, unseen, min(narrow, wide), wide))
    found["copy_rate"] = copy_rate(mine, real, unseen) if made else None
    return found


def energy_distance(mine: Tensor, theirs: Tensor) -> float | None:
    """2 E|x - y| - E|x - x'| - E|y - y'| over different images, zero in expectation for equal laws.

    None for a set of one image, which says nothing of its spread. Source: Székely and Rizzo (2013).
    """
    if min(len(mine), len(theirs)) < 2:
        return None
    across = torch.cdist(mine.double(), theirs.double()).mean()
    spreads = [torch.pdist(values.double()).mean() for values in (mine, theirs)]
    return (2 * across - sum(spreads)).item()


def transport_distance(mine: Tensor, theirs: Tensor) -> float:
    """Exact optimal transport of equal masses at Euclidean cost: the Wasserstein-1 distance."""
    import ot

    cost = torch.cdist(mine.double(), theirs.double()).numpy()
    masses = [np.full(size, 1 / size) for size in cost.shape]
    return float(ot.emd2(*masses, cost, numItermax=1_000_000))


def copy_rate(mine: Tensor, real: Tensor, unseen: Tensor) -> float:
    """From 1/2 (no copies) to 1: see `appraise_class`; Platzer and Reutterer (2021).

    Where there are h held-out and n > h real images, copies of single ones reach about (1 + h/n) / 2.
    """
    copies = Copies(mine, torch.zeros(len(mine), dtype=torch.long))
    enough = len(real) >= len(unseen)  # the larger set is the one that is drawn from
    known = torch.arange(len(real) + len(unseen)) < len(real)
    copies.add(0, torch.cat([real, unseen]), ~known if enough else known)
    return 1 - copies.rate if enough else copies.rate


def _together(sets: Sequence[tuple[Tensor, Tensor]]) -> dict[str, float]:
    """Of all classes: Fréchet distance to the held-out images, and how well they are classified by it.

    A held-out image is classified by its nearest image of the subset, in per cent of all.
    """
    moments = [Moments(), Moments()]
    for pair in sets:
        for found, values in zip(moments, pair, strict=True):
            found.add(values.numpy())
    labels = torch.cat([torch.full((len(mine),), number) for number, (mine, _) in enumerate(sets)])
    truth = torch.cat([torch.full((len(theirs),), number) for number, (_, theirs) in enumerate(sets)])
    mine, theirs = (torch.cat(values) for values in zip(*sets, strict=True))
    centre = theirs.mean(0)
    _, index = nearest(Points.of(theirs, centre), Points.of(mine, centre), 1)
    right = (labels[index[:, 0]] == truth).double().mean().item()
    distance = frechet_distance(*(found.gaussian() for found in moments))
    return {"fid": distance, "nearest_accuracy": 100 * right}

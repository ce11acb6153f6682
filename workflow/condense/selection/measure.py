"""Stage measure: what can be said of a subset before anything is trained on it, in one encoder's features."""

import dataclasses
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Annotated

import pandas as pd
import torch
import typer
from torch import Tensor

from condense.base.errors import InputError
from condense.base.gaussian import Gaussian, Moments
from condense.base.memory import keep_freed_memory
from condense.base.shards import create, open_shard
from condense.base.storage import replacing
from condense.base.tables import read_table, write_table
from condense.config.options import take
from condense.config.settings import Gadc
from condense.images.subset import Chosen, by_class, read_subset
from condense.scoring.frechet import frechet_distance
from condense.scoring.manifold import compare
from condense.selection.candidates import ImageClass, open_features
from condense.selection.embedded import positions
from condense.selection.objective import Objective

NEIGHBOURS, WIDE_NEIGHBOURS = 3, 5  # as for samples; one less than its images where a subset is smaller


def moments(
    embeddings: Annotated[list[Path], typer.Argument(help="All embeddings shards of an encoder.")],
    output: Annotated[Path, typer.Option(help="Mean and covariance of the features (HDF5).")],
) -> None:
    """Compute mean and covariance of an encoder's features of all images."""
    found = Moments()
    for path in embeddings:
        with open_shard(path) as file:
            for group in file.values():
                found.add(group["features"][()])
    with replacing(output) as beside, create(beside) as file:
        for name, values in found.gaussian().arrays().items():
            file[name] = values
        file.attrs["complete"] = True


@take(settings=Gadc)
def measure(
    settings: Gadc,
    features: Annotated[list[Path], typer.Option(help="Embeddings, a file per shard.")],
    probabilities: Annotated[list[Path], typer.Option(help="Probabilities, a file per shard, as ordered.")],
    everything: Annotated[Path, typer.Option(help="Moments of those embeddings, from `moments`.")],
    subset: Annotated[Path, typer.Option(help="Subset to look at.")],
    diagnostics: Annotated[Path, typer.Option(help="Diagnostics of its selection.")],
    output: Annotated[Path, typer.Option(help="One row (CSV).")],
    method: Annotated[str, typer.Option(help="Name of the method that chose the subset.")],
    budget: Annotated[str, typer.Option(help="Name of its budget.")],
    objective: Annotated[str, typer.Option(help="Name of the objective that the settings define.")],
    seed: Annotated[int, typer.Option(help="Replicate of the study whose subset it is.", min=0)] = 0,
    made_features: Annotated[
        list[Path] | None, typer.Option(help="Embeddings of the subset's made images, in whatever files.")
    ] = None,
    made_probabilities: Annotated[
        list[Path] | None, typer.Option(help="Probabilities of its made images, in as many files.")
    ] = None,
) -> None:
    """Measure a subset against its dataset, class by class, without training anything."""
    keep_freed_memory()
    chosen = by_class(read_subset(subset))
    made = read_made(chosen, made_features or [], made_probabilities or [], subset)
    rows, seen = [], Moments()
    for images in _classes(features, probabilities):
        own = chosen.pop(images.name, [])
        if not own:
            raise InputError(f"{subset} holds no image of class {images.name}; select anew.")
        at = positions(images.paths, [row.path for row in own if not row.made], subset)
        values = torch.from_numpy(images.features())
        nll = -torch.from_numpy(images.log_probability).double()
        added = made.get(images.name, (values[:0], nll[:0])) if made else None
        seen.add(values[at] if added is None else torch.cat([values[at], added[0]]))
        rows.append(measure_class(values, nll, at, settings, added))
    if chosen:
        raise InputError(f"{subset} names class {next(iter(chosen))}, which is not embedded; select anew.")
    with open_shard(everything) as file:
        whole = Gaussian.of(file["mean"][()], file["covariance"][()])
    row = {"method": method, "budget": budget, "seed": seed, "images": seen.count}
    row["fid"] = frechet_distance(seen.gaussian(), whole)
    row |= pd.DataFrame(rows).mean().to_dict()
    row |= {"seconds": read_table(diagnostics)["seconds"].sum()}
    row |= {"measured_by": objective, "encoder": settings.encoder, "classes": len(rows)}
    row |= {"neighbours": f"{NEIGHBOURS} and {WIDE_NEIGHBOURS}"}
    write_table(pd.DataFrame([row]), output)


def merge_measures(
    rows: Annotated[list[Path], typer.Option(help="Row of each subset, in the order of the table.")],
    subsets: Annotated[list[Path], typer.Option(help="The subsets, in the same order.")],
    output: Annotated[Path, typer.Option(help="Table of subsets.")],
) -> None:
    """Gather what was measured of the subsets, and say how much they have in common."""
    table = pd.concat([read_table(path) for path in rows], ignore_index=True)
    chosen = [frozenset((row.path, row.made) for row in read_subset(path)) for path in subsets]
    write_table(table.assign(**overlaps(table, chosen)), output)


def overlaps(table: pd.DataFrame, chosen: Sequence[frozenset]) -> dict[str, list[float | None]]:
    """Shares of each subset's images that other subsets of its budget have too, None where there are none.

    `overlap_seeds`: mean over the other replicates of its method. `overlap_measure`: with the subset that the
    method `measured_by` chose in the same replicate; with its mean over replicates, where one of the two
    chooses once for all of them.
    """
    rows = list(zip(table["method"], table["budget"], table["seed"], chosen, strict=True))
    found: dict[str, list[float | None]] = {"overlap_seeds": [], "overlap_measure": []}
    for (method, budget, seed, images), judge in zip(rows, table["measured_by"], strict=True):
        shares = {
            (other, at): len(images & its) / len(images) for other, size, at, its in rows if size == budget
        }
        again = [share for (other, at), share in shares.items() if other == method and at != seed]
        judged = {at: share for (other, at), share in shares.items() if other == judge != method}
        beside = [judged[seed]] if again and seed in judged else judged.values()
        found["overlap_seeds"].append(_mean(again))
        found["overlap_measure"].append(_mean(beside))
    return found


def _mean(values: Collection[float]) -> float | None:
    return sum(values) / len(values) if values else None


def read_made(
    chosen: dict[str, list[Chosen]], features: Sequence[Path], probabilities: Sequence[Path], origin: Path
) -> dict[str, tuple[Tensor, Tensor]]:
    """Features [m, d] and -log p [m] of the made images of each class that has any."""
    wanted = {name: [row.path for row in rows if row.made] for name, rows in chosen.items()}
    found = {}
    for images in _classes(features, probabilities):
        if paths := wanted.pop(images.name, []):
            at = positions(images.paths, paths, origin)
            nll = -torch.from_numpy(images.log_probability).double()
            found[images.name] = torch.from_numpy(images.features())[at], nll[at]
    if lost := next((paths for paths in wanted.values() if paths), None):
        raise InputError(f"{origin} names the made image {lost[0]}: give its features by --made-features.")
    return found


def measure_class(
    features: Tensor,
    nll: Tensor,
    chosen: Tensor,
    settings: Gadc,
    made: tuple[Tensor, Tensor] | None = None,
) -> dict[str, float]:
    """Terms of the objective and overlap of the chosen images [m] with their class [n, d].

    Precision, recall, density and coverage (Kynkäänniemi et al. 2019, Naeem et al. 2020) take the subset for
    the generated images; the precision of real images is one, since they are images of the class. A subset
    with `made` images (features and -log p) has no objective, which is one of choosing among the class.
    """
    found = {}
    subset = features[chosen]
    own = nll[chosen]
    if made is None:
        mean = dataclasses.replace(settings, confidence="mean")
        objective = Objective(features[None], nll[None], mean)
        terms = objective.terms(torch.zeros(1, dtype=torch.long), chosen[None])
        found["objective"] = objective.total(terms).item()
        found |= {"transport": terms.transport.item(), "statistics": terms.statistics.item()}
    else:
        subset = torch.cat([subset, made[0]])
        own = torch.cat([own, made[1]])
    found["confidence"] = own.mean().item()
    found["overlap_chance"] = len(subset) / len(features)  # of two uniform draws of so many images
    if len(subset) > 1:
        wide = min(WIDE_NEIGHBOURS, len(features) - 1)
        found |= vars(compare(subset, features, min(NEIGHBOURS, len(subset) - 1), wide))
    return found


def _classes(features: Sequence[Path], probabilities: Sequence[Path]) -> Iterator[ImageClass]:
    for embedded, classified in zip(features, probabilities, strict=True):
        with open_features(embedded, classified) as classes:
            yield from classes

"""Features of the images of a subset: those of real ones from embeddings, made ones are embedded."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from condense.base.errors import InputError
from condense.base.shards import open_shard, read_text
from condense.encoders.detectors import Detector
from condense.images.decoding import decode
from condense.images.sources import batches
from condense.images.subset import Chosen


def read_embedded(
    shards: Sequence[Path], detector: Detector
) -> Iterator[tuple[str, tuple[list[str], Tensor]]]:
    """Paths and features [n, d] of each class; InputError where another encoder made them."""
    for path in shards:
        with open_shard(path) as shard:
            if shard.attrs["digest"] != detector.digest:
                raise InputError(f"{path} holds features of another encoder than {detector.name}.")
            for name, group in shard.items():
                yield name, (read_text(group["paths"]), torch.from_numpy(group["features"][()]))


def features_of(
    own: Sequence[Chosen], paths: Sequence[str], values: Tensor, detector: Detector, made: Path, origin: Path
) -> Tensor:
    """Features [m, d] of a class's images: known ones of real images, made images are embedded."""
    real = values[positions(paths, [row.path for row in own if not row.made], origin)]
    drawn = [made / row.path for row in own if row.made]
    groups = [drawn[at : at + detector.batch] for at in range(0, len(drawn), detector.batch)]
    read = batches(groups, lambda path: detector.prepare(decode(path, detector.preprocess.resize)))
    return torch.cat([real, *(detector.encode(batch.pixels).cpu() for batch in _whole(read))])


def positions(paths: Sequence[str], chosen: Sequence[str], origin: Path) -> Tensor:
    """Where chosen images int64 [m] stand among those of their class; InputError for one that does not."""
    place = {path: number for number, path in enumerate(paths)}
    if missing := next((path for path in chosen if path not in place), None):
        raise InputError(f"{origin} names {missing}, which is not embedded; select anew.")
    return torch.tensor([place[path] for path in chosen], dtype=torch.long)


def _whole(read: Iterator[Any]) -> Iterator[Any]:
    """Batches without unreadable images; InputError for the first of these."""
    for batch in read:
        if batch.unreadable:
            raise InputError(f"{batch.unreadable[0][1]}: make the subset anew.")
        yield batch

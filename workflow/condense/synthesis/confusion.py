"""Stage confusion: how much a student trained on a made set confuses each real image (DsCo, eq. 31)."""

from collections.abc import Iterator, Sequence
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
from condense.base.shards import write_shard
from condense.base.storage import file_digest
from condense.config.options import take
from condense.config.settings import Images
from condense.images.finished import Finished, resumable
from condense.images.index import Row, read_index
from condense.images.sources import batches, source
from condense.students.relabel import Teacher, read_teacher
from condense.students.student import read_student

BATCH = 64  # images of a forward pass

Found = dict[str, np.ndarray]


def confusion_of(logits: Tensor, reference: Tensor) -> Tensor:
    """Largest probability of another class minus that of the reference class [n], -1 (clear) to 1.

    PAPER: eq. 31 has the other sign.

    Args:
        logits: The student's, [n, classes], at temperature 1.
        reference: Class [n] that each image is taken to be of.
    """
    probability = logits.double().softmax(1)
    own = probability.gather(1, reference[:, None])
    others = probability.scatter(1, reference[:, None], -1)
    return others.amax(1) - own[:, 0]


@take(images=Images)
def confusion(
    index: Annotated[Path, typer.Option(help="Index of the images of a shard.")],
    student: Annotated[Path, typer.Option(help="Student, from `learn`; its last epoch is meant.")],
    output: Annotated[Path, typer.Option(help="Confusion of each image (HDF5).")],
    state: Annotated[Path, typer.Option(help="Folder from which an interrupted run goes on.")],
    images: Images,
    teacher: Annotated[
        list[Path] | None,
        typer.Option(help="Who says what an image is of, by mean logits; its label when none. Repeatable."),
    ] = None,
) -> None:
    """Measure how much a student confuses each image, and whether it recognises it."""
    keep_freed_memory()
    classes = read_index(index)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    own = read_student(student, "last", device)
    if lacking := [name for name in classes if name not in own.classes]:
        raise InputError(f"{student} does not know class {lacking[0]!r}: give a student of the same study.")
    seeing = [Teacher(own.network, own.preprocess, torch.arange(len(own.classes), device=device))]
    seeing += [read_teacher(path, own.classes, device) for path in teacher or ()]
    with resumable(state):
        seen = [file_digest(path) for path in (student, *(teacher or ()))]
        finished = Finished(state, code("synthesis.confusion.confusion"), *seen)
        found = {name: finished.read(rows) for name, rows in classes.items()}
        missing = {name: rows for name, rows in classes.items() if found[name] is None}
        for name, arrays in _measure(missing, own.classes, seeing, images, device):
            found[name] = arrays
            finished.write(classes[name], **arrays)
        groups = [
            (name, rows[0].class_index, found[name] | {"paths": [str(path) for path in found[name]["paths"]]})
            for name, rows in classes.items()
            if len(found[name]["paths"])
        ]
        write_shard(output, {"student": str(student), "images": own.about["images"]}, groups)
    known = sum(int(arrays["recognised"].sum()) for *_, arrays in groups)
    say(f"{known} of {sum(len(arrays['paths']) for *_, arrays in groups)} images recognised -> {output}")


def _measure(
    classes: dict[str, list[Row]],
    names: list[str],
    seeing: Sequence[Teacher],
    images: Images,
    device: torch.device,
) -> Iterator[tuple[str, Found]]:
    """Yield each class with the paths of its readable images, their confusion and who is recognised."""
    opened = source(images)
    groups = [
        [row.path for row in rows[at : at + BATCH]]
        for rows in classes.values()
        for at in range(0, len(rows), BATCH)
    ]

    def read(path: str) -> np.ndarray:
        image = opened.open(path)
        prepared = [one.preprocess.prepare(image) for one in seeing]
        return np.concatenate([pixels.reshape(-1) for pixels in prepared])

    decoded = iter(track(batches(groups, read), "confusion", len(groups)))
    for name, rows in classes.items():
        paths, scores, recognised = [], [torch.zeros(0)], [torch.zeros(0, dtype=torch.bool)]
        for batch in islice(decoded, -(-len(rows) // BATCH)):
            if batch.unreadable and images.unreadable == "fail":
                raise InputError(
                    f"{batch.unreadable[0][1]}; repair or remove it, or set images.unreadable: skip."
                )
            if batch.paths:
                parts = _apart(batch.pixels, seeing, device)
                logits = [one.logits(part) for one, part in zip(seeing, parts, strict=True)]
                label = torch.full((len(batch.paths),), names.index(name), device=device)
                reference = sum(logits[1:]).argmax(1) if len(logits) > 1 else label
                scores.append(confusion_of(logits[0], reference).float().cpu())
                recognised.append((logits[0].argmax(1) == reference).cpu())
                paths += batch.paths
        yield (
            name,
            {
                "paths": np.array(paths, str),
                "score": torch.cat(scores).numpy(),
                "recognised": torch.cat(recognised).numpy(),
            },
        )


def _apart(pixels: np.ndarray, seeing: Sequence[Teacher], device: torch.device) -> Iterator[Tensor]:
    """Images [b, 3, s, s] in 0..1 as each network sees them, of their pixels in one row each."""
    start = 0
    for one in seeing:
        side = one.preprocess.side
        part = torch.from_numpy(pixels[:, start : start + 3 * side**2]).to(device)
        yield part.view(-1, side, side, 3).permute(0, 3, 1, 2).float() / 255
        start += 3 * side**2

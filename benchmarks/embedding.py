"""Throughput of embedding a folder of photographs against the bare network's forward pass on prepared pixels.

    python benchmarks/embedding.py --root PHOTOGRAPHS --encoder results/encoders/NAME.safetensors --threads 2

Rounds of both alternate, so that other work on the machine slows both alike; the table shows medians.
"""

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer

from condense.base.memory import keep_freed_memory
from condense.config.settings import Images
from condense.encoders.embed import embed_classes
from condense.encoders.encoder import FrozenEncoder
from condense.images.index import Row, list_images
from condense.images.sources import batches, source


def by_class(rows: list[Row]) -> dict[str, list[Row]]:
    classes: dict[str, list[Row]] = {}
    for row in rows:
        classes.setdefault(row.cls, []).append(row)
    return classes


def work_of(net: FrozenEncoder, images: Images, workers: int) -> tuple[dict[str, Callable[[], object]], int]:
    """What is timed, by name, and the number of images that each handles."""
    classes = by_class(list_images(images))
    opened, side, step = source(images), net.preprocess.resize, net.batch
    groups = [
        [row.path for row in rows[start : start + step]]
        for rows in classes.values()
        for start in range(0, len(rows), step)
    ]

    def read(path: str) -> np.ndarray:
        return net.prepare(opened.open(path, side))

    prepared = np.stack([read(path) for path in groups[0]])
    return {
        "decode and resize only": lambda: list(batches(groups, read, workers)),
        "bare forward pass": lambda: [net.encode(prepared[: len(group)]).cpu() for group in groups],
        "embed": lambda: list(embed_classes(classes, net, images, None, workers)),
    }, sum(map(len, groups))


def main(
    root: Annotated[str, typer.Option(help="Folder with one folder of photographs per class.")],
    encoder: Annotated[Path, typer.Option(help="Encoder artefact, from `python -m condense encoder`.")],
    per_class: Annotated[int, typer.Option(help="Photographs of each class.")] = 64,
    threads: Annotated[int, typer.Option(help="Compute threads.")] = torch.get_num_threads(),
    workers: Annotated[int, typer.Option(help="Decoding threads.")] = 2,
    rounds: Annotated[int, typer.Option(help="Rounds of each measurement.")] = 3,
) -> None:
    keep_freed_memory()
    torch.set_num_threads(threads)
    net = FrozenEncoder(encoder, "cuda" if torch.cuda.is_available() else "cpu")
    work, count = work_of(net, Images(root=root, per_class=per_class), workers)
    rates: dict[str, list[float]] = {name: [] for name in work}
    work["bare forward pass"]()
    for _ in range(rounds):
        for name, function in work.items():
            began = time.perf_counter()
            function()
            rates[name].append(count / (time.perf_counter() - began))
    bare = statistics.median(rates["bare forward pass"])
    print(f"{net.name} on {net.device}, {count} images, {threads} compute and {workers} decoding threads")
    print(f"{'':24}{'images/s':>10}{'of bare':>10}")
    for name, values in rates.items():
        print(f"{name:24}{statistics.median(values):10.1f}{statistics.median(values) / bare:10.0%}")


if __name__ == "__main__":
    typer.run(main)

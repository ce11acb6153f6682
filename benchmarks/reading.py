"""Images per second from a folder, from Parquet files and from tar shards of the same images.

    python benchmarks/reading.py --root FOLDER [--images 2000] [--workers 2]

Takes images of a folder of classes, writes them into a Parquet file and into a tar shard, sorted by class or
in drawn order, and reads every image from each as embedding does: in the order of classes and names, decoded
ahead by threads. The rounds take turns; the fastest of each counts. Files are in the system's cache.
"""

import io
import random
import tarfile
import tempfile
import time
from pathlib import Path
from typing import Annotated

import pyarrow as pa
import pyarrow.parquet as pq
import typer

from condense.config.settings import Images
from condense.images.index import list_images
from condense.images.sources import Source, batches, load, source


def pack(root: Path, paths: list[str], folder: Path, name: str) -> dict[str, Images]:
    """Write images of a folder into a Parquet file and a tar shard."""
    labels = [path.partition("/")[0] for path in paths]
    contents = [(root / path).read_bytes() for path in paths]
    images = [{"bytes": content, "path": path} for path, content in zip(paths, contents, strict=True)]
    pq.write_table(
        pa.table({"image": images, "label": labels}), folder / f"{name}.parquet", row_group_size=100
    )
    with tarfile.open(folder / f"{name}.tar", "w") as archive:
        for path, label, content in zip(paths, labels, contents, strict=True):
            for end, data in ((Path(path).suffix, content), (".cls", label.encode())):
                member = tarfile.TarInfo(str(Path(path).with_suffix(end)))
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
    return {
        f"{kind}, {name}": Images(source=kind, root=str(folder / f"{name}.{kind}"))
        for kind in ("parquet", "tar")
    }


def read(opened: Source, paths: list[str], workers: int) -> float:
    """Seconds to decode every image."""
    groups = [paths[start : start + 64] for start in range(0, len(paths), 64)]
    began = time.perf_counter()
    for batch in batches(groups, lambda path: load(opened, path, 32), workers):
        assert not batch.unreadable
    return time.perf_counter() - began


def main(
    root: Annotated[Path, typer.Option(help="Folder with one folder of images per class.")],
    images: Annotated[int, typer.Option(help="Images that are read.")] = 2000,
    workers: Annotated[int, typer.Option(help="Decoding threads.")] = 2,
    rounds: Annotated[int, typer.Option(help="Rounds.")] = 3,
) -> None:
    """Print images per second of each source."""
    folders = Images(root=str(root))
    rows = list_images(folders)
    paths = [row.path for row in rows[:: max(1, len(rows) // images)]][:images]
    drawn = random.Random(0).sample(paths, len(paths))
    with tempfile.TemporaryDirectory() as folder:
        found = {"folder": folders}
        for name, order in (("sorted", paths), ("shuffled", drawn)):
            found |= pack(root, order, Path(folder), name)
        opened = {name: source(settings) for name, settings in found.items()}
        for one in opened.values():
            one.holds(paths[0], paths[0].partition("/")[0])  # lists what there is
        seconds = dict.fromkeys(opened, float("inf"))
        for _ in range(rounds):
            for name, one in opened.items():
                seconds[name] = min(seconds[name], read(one, paths, workers))
    print(f"{len(paths)} images, {workers} decoding threads")
    print("| source | images/s | of the folder |\n|---|--:|--:|")
    for name, each in seconds.items():
        print(f"| {name} | {len(paths) / each:.0f} | {seconds['folder'] / each:.2f} |")


if __name__ == "__main__":
    typer.run(main)

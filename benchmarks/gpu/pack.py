"""Images of CIFAR-10 for a machine that has none: `python -m benchmarks.gpu.pack --source FOLDER`.

FOLDER holds train-*.parquet and test-*.parquet, as Hugging Face stores them. What travels are two Parquet
files of fewer images, an equal number of each class: the stages read them as they are, and the images inside
are PNGs, which no other container makes smaller.
"""

import argparse
import io
import json
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from PIL import Image

from condense.base.errors import InputError
from condense.base.storage import replacing

IMAGES = {"train": 20_000, "test": 2_000}
MOST = 60 * 2**20  # bytes of both files together


def pack(source: Path, output: Path, images: dict[str, int] = IMAGES) -> int:
    """Write output/train.parquet and output/test.parquet; return their bytes, InputError for too many."""
    total = 0
    for split, count in images.items():
        files = sorted(source.glob(f"{split}-*.parquet"))
        if not files:
            raise InputError(f"{source} has no {split}-*.parquet: give CIFAR-10's folder.")
        table = pa.concat_tables([pq.read_table(file) for file in files])
        labels = table["label"].to_numpy()
        classes = np.unique(labels)
        places = [np.flatnonzero(labels == label)[: count // len(classes)] for label in classes]
        if min(map(len, places)) < count // len(classes):
            raise InputError(f"{source} has too few images of a class for {count} of {split}: take fewer.")
        write(table.take(pa.array(np.concatenate(places))), output / f"{split}.parquet")
        total += (output / f"{split}.parquet").stat().st_size
    if total > MOST:
        raise InputError(f"{output} holds {total >> 20} MiB, and {MOST >> 20} can travel: take fewer images.")
    return total


def write(table: pa.Table, path: Path) -> None:
    """Write a table of images and labels, whole or not at all."""
    with replacing(path) as beside:
        pq.write_table(table, beside, compression="zstd")


def table_of(images: np.ndarray, labels: np.ndarray, names: list[str]) -> pa.Table:
    """Table of images uint8 [n, h, w, 3] with labels [n], in the layout of CIFAR-10's files."""
    encoded = []
    for pixels in images:
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "png")
        encoded.append({"bytes": file.getvalue(), "path": None})
    features = {"img": {"_type": "Image"}, "label": {"names": names, "_type": "ClassLabel"}}
    kinds = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    made = pa.table({"img": pa.array(encoded, kinds), "label": pa.array(labels, pa.int64())})
    return made.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})


def names_of(path: Path) -> list[str]:
    """Names of the classes of a file, by label."""
    described = json.loads(pq.read_schema(path).metadata[b"huggingface"])
    return described["info"]["features"]["label"]["names"]


def pixels_of(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 [n, h, w, 3] and labels [n] of a file."""
    table = pq.read_table(path)
    stored = pc.struct_field(table["img"], "bytes").to_pylist()
    images = [np.asarray(Image.open(io.BytesIO(one)).convert("RGB")) for one in stored]
    return np.stack(images), table["label"].to_numpy()


def main() -> None:
    """Pack."""
    parser = argparse.ArgumentParser("python -m benchmarks.gpu.pack", description=__doc__.splitlines()[0])
    parser.add_argument("--source", type=Path, required=True, help="Folder of CIFAR-10's Parquet files.")
    parser.add_argument(
        "--output", type=Path, default=Path("benchmarks/out/cifar10"), help="Folder to write."
    )
    given = parser.parse_args()
    try:
        total = pack(given.source, given.output)
    except InputError as error:
        sys.exit(str(error))
    print(f"{given.output}: {total / 2**20:.1f} MiB")


if __name__ == "__main__":
    main()

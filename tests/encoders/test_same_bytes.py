"""Digits from Parquet files and from tar shards become the bytes that they become from a folder."""

import io
import json
import tarfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from commands import call
from condense.config.settings import Images
from condense.encoders.embed import embed
from condense.encoders.encoder import encoder
from condense.images.index import index, list_images
from condense.images.sources import source
from condense.selection.export import export
from condense.selection.select import select

NAMES = ["0", "1", "2"]


@pytest.fixture(scope="module")
def places(tmp_path_factory) -> dict[str, list[str]]:
    """Sources of the same 60 digits, as words of a command, by kind."""
    folder = tmp_path_factory.mktemp("places")
    digits = Images(source="digits", classes=3, per_class=20)
    opened = source(digits)
    rows = list_images(digits)[::-1]  # files need no order
    images = []
    with tarfile.open(folder / "a.tar", "w") as archive:
        for row in rows:
            content = io.BytesIO()
            opened.open(row.path).save(content, "png")
            images.append({"bytes": content.getvalue(), "path": row.path})
            for name, text in ((row.path, content.getvalue()), (f"{row.path[:-4]}.cls", row.cls.encode())):
                member = tarfile.TarInfo(name)
                member.size = len(text)
                archive.addfile(member, io.BytesIO(text))
            (folder / "folder" / row.cls).mkdir(parents=True, exist_ok=True)
            (folder / "folder" / row.path).write_bytes(content.getvalue())
    table = pa.table({"image": images, "label": [NAMES.index(row.cls) for row in rows]})
    info = {"info": {"features": {"label": {"names": NAMES, "_type": "ClassLabel"}}}}
    described = table.replace_schema_metadata({"huggingface": json.dumps(info)})
    pq.write_table(described, folder / "a.parquet", row_group_size=9)
    roots = {"imagefolder": "folder", "parquet": "a.parquet", "tar": "a.tar"}
    return {kind: ["--source", kind, "--root", str(folder / root)] for kind, root in roots.items()}


def study(folder: Path, words: list[str]) -> dict[str, bytes]:
    """Results of the stages from the list of images to an exported subset."""
    folder.mkdir()
    listed, network = folder / "index.csv", folder / "encoder.safetensors"
    features, subset = folder / "features.h5", folder / "subset.csv"
    call(index, *words, "--output", listed)
    call(encoder, listed, *words, "--kind", "fit", "--output", network)
    files = ["--index", listed, "--encoder", network, "--state", folder / "state", "--output", features]
    call(embed, *words, *files)
    call(select, "--features", features, "--budget", 3, "--output", subset)
    call(export, subset, *words, "--form", "imagefolder", "--output", folder / "exported")
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_stages_give_the_bytes_of_a_folder(places, tmp_path) -> None:
    found = {kind: study(tmp_path / kind, words) for kind, words in places.items()}
    assert len(found["imagefolder"]) >= 4 + 9
    for kind in ("parquet", "tar"):
        assert found[kind].keys() == found["imagefolder"].keys()
        for name, content in found["imagefolder"].items():
            assert found[kind][name] == content, f"{name} from {kind}"

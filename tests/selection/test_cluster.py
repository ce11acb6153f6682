"""Classes that are found in features: folders of images, as another study reads them."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from commands import call
from condense.base.errors import InputError
from condense.base.shards import write_shard
from condense.config.settings import Images
from condense.images.sources import source
from condense.selection.cluster import cluster

SIZES = {"a": 5, "b": 9, "c": 7}


@pytest.fixture
def study(tmp_path) -> Path:
    """Pictures of a folder without labels, and features of three kinds."""
    random = np.random.default_rng(0)
    (tmp_path / "photos").mkdir()
    groups = {}
    for number, (kind, count) in enumerate(SIZES.items()):
        for i in range(count):
            pixels = np.full((4, 4, 3), 80 * number, np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / f"{kind}{i}.png")
        names = [f"photos/{kind}{i}.png" for i in range(count)]
        groups[kind] = names, random.normal(0, 0.1, (count, 4)) + 3 * np.eye(3, 4)[number]
    return write(tmp_path, groups)


def write(folder: Path, groups: dict[str, tuple[list[str], np.ndarray]]) -> Path:
    """Embeddings as of one class, and as of the classes that they are."""
    apart = [
        (kind, number, {"paths": names, "features": found.astype(np.float32)})
        for number, (kind, (names, found)) in enumerate(groups.items())
    ]
    paths = [name for names, _ in groups.values() for name in names]
    values = np.concatenate([arrays["features"] for _, _, arrays in apart])
    write_shard(folder / "one.h5", {}, [("photos", 0, {"paths": paths, "features": values})])
    write_shard(folder / "three.h5", {}, apart)
    return folder


def run(study: Path, features: str, *words: str) -> str:
    root = ("--source", "imagefolder", "--root", study / "photos", "--unlabelled")
    return call(cluster, study / features, *root, "--output", study / "found", *words)


@pytest.mark.parametrize("link", [True, False])
def test_images_of_a_kind_share_a_folder_and_the_largest_comes_first(study, link):
    run(study, "one.h5", "--count", "3", *["--link"] * link)
    opened = source(Images(root=str(study / "found")))
    assert opened.classes() == ["cluster-0", "cluster-1", "cluster-2"]
    for name, kind in zip(opened.classes(), "bca", strict=True):
        assert [path for path, _ in opened.images(name)] == [
            f"{name}/{kind}{i}.png" for i in range(SIZES[kind])
        ]
        first = study / "found" / name / f"{kind}0.png"
        assert first.is_symlink() == link
        assert first.read_bytes() == (study / "photos" / first.name).read_bytes()


def test_it_says_how_far_found_classes_are_those_that_were_there(study):
    told = run(study, "three.h5", "--count", "3")
    assert "21 images in 3 classes of 5 to 9" in told and "had: 1.000" in told
    with pytest.raises(InputError, match="found is there already"):
        run(study, "three.h5", "--count", "2")


def test_more_classes_than_different_images_are_refused(study):
    with pytest.raises(InputError, match="too few different features for 30 classes"):
        run(study, "one.h5", "--count", "30")
    assert not (study / "found").exists()

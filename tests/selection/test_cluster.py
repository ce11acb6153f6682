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
    """Pictures in a folder without labels and in one with them, and features of three kinds, as of either."""
    random = np.random.default_rng(0)
    apart = []
    for number, (kind, count) in enumerate(SIZES.items()):
        names = [f"{kind}{i}.png" for i in range(count)]
        for folder in ("photos", f"kinds/{kind}"):
            (tmp_path / folder).mkdir(parents=True, exist_ok=True)
            for name in names:
                Image.fromarray(np.full((4, 4, 3), 80 * number, np.uint8)).save(tmp_path / folder / name)
        values = random.normal(0, 0.1, (count, 4)) + 3 * np.eye(3, 4)[number]
        paths = [f"{kind}/{name}" for name in names]
        apart.append((kind, number, {"paths": paths, "features": values.astype(np.float32)}))
    write_shard(tmp_path / "three.h5", {}, apart)
    paths = [f"photos/{path.partition('/')[2]}" for _, _, arrays in apart for path in arrays["paths"]]
    values = np.concatenate([arrays["features"] for _, _, arrays in apart])
    write_shard(tmp_path / "one.h5", {}, [("photos", 0, {"paths": paths, "features": values})])
    return tmp_path


def run(study: Path, features: str, *words: str) -> str:
    root = (
        ("--root", study / "kinds")
        if features == "three.h5"
        else ("--root", study / "photos", "--unlabelled")
    )
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


@pytest.mark.parametrize(
    "path", ["../secret.png", "photos/../../secret.png", "/secret.png", "photos/none.png"]
)
def test_no_path_of_the_features_leads_out_of_the_images(study, path):
    (study.parent / "secret.png").write_bytes(b"secret")
    (study / "secret.png").write_bytes(b"secret")
    values = np.eye(3, 4, dtype=np.float32)
    paths = ["photos/a0.png", "photos/b0.png", path]
    write_shard(study / "one.h5", {}, [("photos", 0, {"paths": paths, "features": values})])
    with pytest.raises(InputError, match=r"one\.h5 names .*, which is no image of class 'photos' there"):
        run(study, "one.h5", "--count", "2")
    assert not (study / "found").exists()

"""Two sets of images without a pipeline: folders and archives, one row, and what is refused."""

import re
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from commands import call
from condense.base.errors import InputError
from condense.encoders.detectors import open_detector
from condense.images.adm_files import write_samples
from condense.images.index import index
from condense.scoring.frechet import fit, frechet_distance
from condense.scoring.image_sets import detect_images, reference_batch
from condense.scoring.score import score
from inceptions import write_script

COUNT, SIDE = 24, 20


def images(seed: int, count: int = COUNT, side: int = SIDE) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (count, 5, 5, 3), dtype=np.uint8)
    return coarse.repeat(side // 5, 1).repeat(side // 5, 2)


def write_folder(folder: Path, every: np.ndarray) -> Path:
    for i, image in enumerate(every):
        path = folder / f"class{i % 2}" / f"{i:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    return folder


def write_archive(path: Path, every: np.ndarray) -> Path:
    write_samples(path, [(every, None)], len(every))
    return path


def row(folder: Path, *words: object) -> pd.Series:
    call(score, *words, "--output", folder / "row.csv")
    return pd.read_csv(folder / "row.csv").iloc[0]


@pytest.fixture(scope="module")
def inception(tmp_path_factory) -> Path:
    return write_script(tmp_path_factory.mktemp("script") / "inception-2015-12-05.pt")


@pytest.fixture(scope="module")
def encoder(tmp_path_factory) -> Path:
    from condense.encoders.encoder import encoder

    folder = tmp_path_factory.mktemp("encoder")
    call(index, "--source", "digits", "--per-class", "20", "--output", folder / "index.csv")
    words = ("--kind", "fit", "--epochs", "1", "--source", "digits", "--per-class", "20")
    call(encoder, *words, "--output", folder / "cnn.safetensors", folder / "index.csv")
    return folder / "cnn.safetensors"


def test_a_folder_and_an_archive_of_the_same_images_score_the_same(tmp_path, encoder) -> None:
    real = write_folder(tmp_path / "real", images(0))
    folder = write_folder(tmp_path / "samples", images(1))
    archive = write_archive(tmp_path / "samples.npz", images(1))
    rows = [
        row(tmp_path, "--samples", s, "--reference", real, "--detector", encoder) for s in (folder, archive)
    ]
    for key in ("fid", "inception_score", "precision", "recall", "density", "coverage"):
        assert rows[0][key] == pytest.approx(rows[1][key], rel=1e-6)
    detector = open_detector(encoder)
    expected = [fit(detect_images(path, detector).features) for path in (folder, real)]
    assert rows[0]["fid"] == pytest.approx(frechet_distance(*expected), rel=1e-9)
    assert rows[0]["samples"] == COUNT
    assert rows[0]["reference"] == f"{COUNT} images of real"
    assert rows[0]["detector"] == "cnn"


def test_a_set_scores_zero_against_itself_with_the_fid_inception(tmp_path, inception) -> None:
    real = write_folder(tmp_path / "real", images(0))
    scores = row(
        tmp_path, "--samples", real, "--reference", real, "--detector", inception, "--resize", "clean"
    )
    assert 0 <= scores["fid"] < 1e-6
    assert 0 <= scores["sfid"] < 1e-6
    assert (scores["precision"], scores["recall"]) == (1, 1)
    assert scores["detector"] == "fid-inception-clean"


def test_stored_statistics_serve_the_fid_inception_only(tmp_path, inception, encoder) -> None:
    random = np.random.default_rng(2)
    stored = random.normal(size=(64, 2048))
    statistics = {"mu": stored.mean(0), "sigma": np.cov(stored, rowvar=False)}
    np.savez(tmp_path / "batch.npz", arr_0=images(0), **statistics)
    words = ("--samples", write_folder(tmp_path / "s", images(1)), "--reference", tmp_path / "batch.npz")
    scores = row(tmp_path, *words, "--detector", inception)
    seen = detect_images(tmp_path / "s", open_detector(inception))
    assert scores["fid"] == pytest.approx(frechet_distance(fit(seen.features), fit(stored)), rel=1e-6)
    assert scores["reference"] == "statistics stored in batch.npz"
    assert scores["manifold_reference"] == COUNT
    for other in (("--detector", encoder), ("--detector", inception, "--resize", "clean")):
        assert row(tmp_path, *words, *other)["reference"] == f"{COUNT} images of batch.npz"


def test_a_cached_reference_batch_scores_as_the_batch_itself(tmp_path, inception) -> None:
    stored = np.random.default_rng(2).normal(size=(64, 2048))
    statistics = {"mu": stored.mean(0), "sigma": np.cov(stored, rowvar=False)}
    np.savez(tmp_path / "batch.npz", arr_0=images(0), **statistics)
    folder, detector = write_folder(tmp_path / "s", images(1)), open_detector(inception)
    call(
        reference_batch,
        *("--images", tmp_path / "batch.npz", "--detector", inception, "--output", tmp_path / "batch.h5"),
    )
    with h5py.File(tmp_path / "samples.h5", "w") as file:
        file["features"], file["labels"] = detect_images(folder, detector).features, np.zeros(COUNT)
        file.attrs.update({"digest": detector.digest, "detector": detector.name, "complete": True})
    direct = row(
        tmp_path, "--samples", folder, "--reference", tmp_path / "batch.npz", "--detector", inception
    )
    cached = row(tmp_path, "--samples", tmp_path / "samples.h5", "--reference", tmp_path / "batch.h5")
    for key in ("fid", "precision", "recall", "density", "coverage", "kid"):
        assert cached[key] == pytest.approx(direct[key], rel=1e-6)
    assert cached["reference"] == "statistics stored in batch.npz"


def test_the_order_of_files_and_the_batch_change_no_fid(tmp_path, inception, monkeypatch) -> None:
    from condense.encoders import detectors

    every = images(3)
    real = write_folder(tmp_path / "real", images(0))
    fids = []
    for name, order, batch in (("a", np.arange(COUNT), 16), ("b", np.arange(COUNT)[::-1], 5)):
        monkeypatch.setitem(detectors.BATCH, "cpu", batch)
        folder = write_folder(tmp_path / name, every[order])
        fids.append(row(tmp_path, "--samples", folder, "--reference", real, "--detector", inception)["fid"])
    assert fids[0] == pytest.approx(fids[1], rel=1e-6)


def test_the_reference_is_cropped_to_the_resolution(tmp_path, inception) -> None:
    wide = np.pad(images(0), ((0, 0), (0, 0), (10, 10), (0, 0)))
    real, cropped = write_folder(tmp_path / "wide", wide), write_folder(tmp_path / "square", images(0))
    words = ("--samples", write_folder(tmp_path / "s", images(1)), "--detector", inception)
    expected = row(tmp_path, *words, "--reference", cropped)["fid"]
    assert row(tmp_path, *words, "--reference", real, "--resolution", SIDE)["fid"] == pytest.approx(expected)
    assert row(tmp_path, *words, "--reference", real)["fid"] != pytest.approx(expected, rel=0.01)


def test_without_output_the_scores_are_printed(tmp_path, encoder) -> None:
    real, app = write_folder(tmp_path / "real", images(0)), typer.Typer()
    app.command()(score)
    words = ["--samples", str(real), "--reference", str(real), "--detector", str(encoder)]
    assert re.search(r"^precision +1", CliRunner().invoke(app, words).stdout, re.MULTILINE)


def test_bad_input_is_one_sentence(tmp_path, encoder) -> None:
    real = write_folder(tmp_path / "real", images(0))
    with pytest.raises(InputError, match="give --samples and --reference"):
        call(score, "--samples", real)
    with pytest.raises(InputError, match="scored by --detector FILE"):
        call(score, "--samples", real, "--reference", real)
    with pytest.raises(InputError, match="--resize tensorflow or clean"):
        call(score, "--samples", real, "--reference", real, "--detector", encoder, "--resize", "bicubic")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="empty holds no images"):
        call(score, "--samples", tmp_path / "empty", "--reference", real, "--detector", encoder)
    with pytest.raises(InputError, match=r"gone\.npz cannot be read"):
        call(score, "--samples", tmp_path / "gone.npz", "--reference", real, "--detector", encoder)
    with pytest.raises(InputError, match="neither a folder of images nor"):
        call(score, "--samples", tmp_path / "gone.png", "--reference", real, "--detector", encoder)
    (real / "class0" / "bad.png").write_bytes(b"no image")
    with pytest.raises(InputError, match=r"bad\.png is not an image; repair or remove it"):
        call(score, "--samples", real, "--reference", real, "--detector", encoder)

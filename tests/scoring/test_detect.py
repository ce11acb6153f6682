"""Stage detect: images are prepared ahead, in threads, and that changes no number."""

import csv
import threading
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from commands import call
from condense.base.gaussian import Moments
from condense.encoders import detectors
from condense.encoders.detectors import Inception, open_detector
from condense.images.adm_files import write_samples
from condense.scoring.detect import detect
from condense.scoring.image_sets import detect_images
from inceptions import write_script

BATCH = 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """The FID Inception's stand-in, an index of two classes, and samples in parts of 10 and 7 images."""
    folder = tmp_path_factory.mktemp("detect")
    write_script(folder / "inception.pt")
    with (folder / "index.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["path", "class", "class_index", "bytes"], ["a/0.png", "a", 0, 1]])
    for number, count in enumerate((10, 7)):
        pixels = np.random.default_rng(number).integers(0, 256, (count, 24, 24, 3), dtype=np.uint8)
        np.savez(
            folder / f"{number}.npz", images=pixels, labels=np.arange(count) + number, ids=np.arange(count)
        )
    return folder


def watch(monkeypatch, calls: int) -> list[threading.Thread]:
    """Let no batch be detected before so many images are prepared; the threads that prepared them."""
    threads, ahead = [], threading.Event()
    prepare, found = Inception.prepare, Inception.detect

    def prepared(self, image):
        threads.append(threading.current_thread())
        if len(threads) >= calls:
            ahead.set()
        return prepare(self, image)

    def detected(self, pixels):
        assert ahead.wait(20), "the next batch is not prepared while this one is detected"
        return found(self, pixels)

    monkeypatch.setitem(detectors.BATCH, "cpu", BATCH)
    monkeypatch.setattr(Inception, "prepare", prepared)
    monkeypatch.setattr(Inception, "detect", detected)
    return threads


def one_by_one(detector: Inception, parts: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray, Moments]:
    """Features, logits and spatial moments with every image prepared when its batch is due."""
    outputs, spatial = [], Moments()
    for part in parts:
        for start in range(0, len(part), BATCH):
            pixels = np.stack([detector.prepare(image) for image in part[start : start + BATCH]])
            outputs.append(detector.detect(pixels))
            spatial.add(outputs[-1].spatial)
    features, logits = (torch.cat([output[i] for output in outputs]).numpy() for i in (0, 1))
    return features, logits, spatial


def test_samples_are_prepared_ahead_and_every_number_stays(folder, tmp_path, monkeypatch) -> None:
    parts = [folder / "0.npz", folder / "1.npz"]
    expected = one_by_one(open_detector(folder / "inception.pt"), [np.load(path)["images"] for path in parts])
    threads = watch(monkeypatch, BATCH + 1)
    words = ["--encoder", folder / "inception.pt", "--index", folder / "index.csv"]
    call(detect, *parts, *words, "--output", tmp_path / "features.h5")
    assert len(threads) == 17 and threading.main_thread() not in threads
    with h5py.File(tmp_path / "features.h5") as file:
        assert np.array_equal(file["features"], expected[0])
        assert np.array_equal(file["logits"], expected[1])
        assert np.array_equal(file["labels"], [*range(10), *range(1, 8)])
        for name, values in expected[2].gaussian().arrays("spatial_").items():
            assert np.array_equal(file[name], values)


def test_an_archive_is_prepared_ahead_too(folder, tmp_path, monkeypatch) -> None:
    pixels = np.load(folder / "0.npz")["images"]
    write_samples(tmp_path / "samples.npz", [(pixels, None)], len(pixels))
    detector = open_detector(folder / "inception.pt")
    features, logits, _ = one_by_one(detector, [pixels])
    threads = watch(monkeypatch, BATCH + 1)
    found = detect_images(tmp_path / "samples.npz", detector)
    assert threading.main_thread() not in threads
    assert np.array_equal(found.features, features) and np.array_equal(found.logits, logits)

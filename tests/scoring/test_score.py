"""One row of scores from cached features: every metric, its context, its controls, and what is refused."""

from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import torch

from commands import call
from condense.base.errors import InputError
from condense.base.gaussian import Moments
from condense.base.shards import open_shard, write_shard
from condense.config.settings import Network, Sampling
from condense.diffusion.generator import Description, write_generator
from condense.images.subset import Chosen
from condense.images.subset import write_subset as write_subset_of
from condense.scoring import metrics
from condense.scoring import score as scoring
from condense.scoring.frechet import fit, frechet_distance
from condense.scoring.kernel_distance import kernel_distance
from condense.scoring.manifold import compare
from condense.scoring.metrics import Reference, Samples, score_features, spread
from condense.scoring.score import check, read_reference, read_samples, score

CLASSES, IMAGES, DIMENSIONS = 4, 30, 8


def random(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def write_reference(folder: Path, digest: str = "aa", shards: int = 2) -> list[Path]:
    """Shards of whole classes; image i of class c is `c/i.png`."""
    paths = [folder / f"reference{shard}.h5" for shard in range(shards)]
    features = random(0).normal(size=(CLASSES, IMAGES, DIMENSIONS)).astype(np.float32)
    for shard, path in enumerate(paths):
        groups = [
            (f"c{c}", c, {"features": features[c], "paths": [f"c{c}/{i}.png" for i in range(IMAGES)]})
            for c in range(shard * CLASSES // shards, (shard + 1) * CLASSES // shards)
        ]
        write_shard(path, {"digest": digest, "encoder": "net"}, groups)
    return paths


def write_samples(path: Path, features: np.ndarray, digest: str = "aa") -> Path:
    labels = np.arange(len(features)) % CLASSES
    with h5py.File(path, "w") as file:
        file["features"] = features.astype(np.float32)
        file["logits"] = np.eye(6, dtype=np.float32)[labels + 1] * 5
        file["labels"], file["columns"] = labels, np.arange(CLASSES) + 1
        file.attrs.update({"digest": digest * 10, "detector": "net", "complete": True})
        file.attrs["digest"] = digest
    return path


def write_subset(path: Path, count: int = 5) -> Path:
    rows = [(f"c{c}/{i}.png", f"c{c}", c, i) for c in range(CLASSES) for i in range(count)]
    pd.DataFrame(rows, columns=["path", "class", "class_index", "rank"]).to_csv(path, index=False)
    return path


def run(
    folder: Path, features: np.ndarray | None = None, digest: str = "aa", shards: int = 2
) -> pd.DataFrame:
    features = random(1).normal(size=(80, DIMENSIONS)) if features is None else features
    about = {"objective": "flow", "network": Network(size="S"), "classes": CLASSES, "shape": (3, 8, 8)}
    about |= {"steps": 10, "ema": 0.9, "device": "cpu", "workers": 1}
    write_generator(folder / "g.safetensors", Description(**about), {"w": torch.zeros(1)})
    words = {"--features": write_samples(folder / "samples.h5", features, digest)}
    words |= {"--subset": write_subset(folder / "subset.csv"), "--weights": folder / "g.safetensors"}
    words |= {"--output": folder / "row.csv", "--pairs": folder / "pairs.csv", "--resolution": 8}
    words |= {
        "--images": len(features),
        "--method": "gadc",
        "--generator": "sit",
        "--budget": "10k",
        "--decoder": "pixels",
    }
    call(score, *write_reference(folder, shards=shards), *(word for pair in words.items() for word in pair))
    return pd.read_csv(folder / "row.csv")


def real() -> np.ndarray:
    return random(0).normal(size=(CLASSES, IMAGES, DIMENSIONS)).astype(np.float32)


def test_the_row_holds_every_metric(tmp_path) -> None:
    row, samples = run(tmp_path).iloc[0], random(1).normal(size=(80, DIMENSIONS)).astype(np.float32)
    every = real().reshape(-1, DIMENSIONS)
    manifold = compare(samples, every)
    assert row["fid"] == pytest.approx(frechet_distance(fit(samples), fit(every)), rel=1e-9)
    assert row["subset_fid"] == pytest.approx(
        frechet_distance(fit(real()[:, :5].reshape(-1, DIMENSIONS)), fit(every)), rel=1e-9
    )
    assert row["kid"] == pytest.approx(kernel_distance(samples, every).mean, rel=1e-9)
    assert [row[key] for key in vars(manifold)] == pytest.approx(list(vars(manifold).values()))
    assert 0.3 < row["copy_rate"] < 0.7
    assert row["agreement"] == 1
    assert row["inception_score"] > 1
    assert np.isnan(row["sfid"])


def test_the_row_says_what_makes_it_comparable(tmp_path) -> None:
    row = run(tmp_path).iloc[0]
    assert row["samples"] == 80
    assert row["inception_split"] == 80  # fewer than 5,000
    assert row["manifold_reference"] == CLASSES * IMAGES
    assert row["kid_subset"] == 80
    assert row["neighbours"] == "3 and 5"
    assert row["reference"] == "the study's 120 images"
    assert (row["sampler"], row["labels"], row["detector"]) == ("ddpm", "balanced", "net")


def test_copies_are_found_and_their_originals_named(tmp_path) -> None:
    copied = np.concatenate([real()[:, :5].transpose(1, 0, 2).reshape(-1, DIMENSIONS)] * 2) + 1e-4
    row = run(tmp_path, copied).iloc[0]
    assert row["copy_rate"] == 1
    pairs = pd.read_csv(tmp_path / "pairs.csv")
    assert len(pairs) == 24
    assert pairs["distance"].is_monotonic_increasing
    for pair in pairs.itertuples():
        label = pair.sample % CLASSES
        assert pair.path == f"c{label}/{pair.sample % 20 // CLASSES}.png"
        assert pair.class_index == label


def test_the_number_of_shards_and_the_order_of_samples_change_nothing(tmp_path) -> None:
    features = random(1).normal(size=(80, DIMENSIONS))
    backwards = features.reshape(-1, CLASSES, DIMENSIONS)[::-1].reshape(80, DIMENSIONS)
    rows = []
    for name, shards, given in (("a", 1, features), ("b", 4, features), ("c", 2, backwards)):
        (tmp_path / name).mkdir()
        rows.append(run(tmp_path / name, given, shards=shards).iloc[0])
    for key in ("fid", "subset_fid", "precision", "recall", "density", "coverage", "copy_rate"):
        assert [row[key] for row in rows[1:]] == pytest.approx([rows[0][key]] * 2, rel=1e-9)


def test_a_spread_serves_every_class_alike(monkeypatch, tmp_path) -> None:
    assert spread(7).tolist() == list(range(7))
    monkeypatch.setattr(metrics, "REFERENCE_IMAGES", 20)
    with open_shard(write_samples(tmp_path / "s.h5", random(1).normal(size=(8, DIMENSIONS)))) as cached:
        samples = read_samples(cached)
    shards = [h5py.File(path) for path in write_reference(tmp_path)]
    reference, _ = read_reference(shards, set(), samples)
    every = real().reshape(-1, DIMENSIONS)
    rows = [int(np.flatnonzero((every == row).all(1))[0]) for row in reference.features]
    assert len(rows) == 20
    assert np.bincount(np.array(rows) // IMAGES).tolist() == [5] * CLASSES
    assert reference.statistics.count == CLASSES * IMAGES
    assert reference.subset is None


def test_what_is_undefined_is_left_empty() -> None:
    features = random(2).normal(size=(30, DIMENSIONS))
    row = score_features(Samples(features), Reference("some", fit(features), features))
    assert row["fid"] == pytest.approx(0, abs=1e-6)
    undefined = ("sfid", "inception_score", "agreement", "copy_rate", "subset_fid", "inception_split")
    assert [row[key] for key in undefined] == [None] * len(undefined)


def test_spatial_features_give_sfid() -> None:
    features, spatial = random(3).normal(size=(30, DIMENSIONS)), random(4).normal(size=(60, 5))
    samples = Samples(features, spatial=fit(spatial[:30]))
    row = score_features(samples, Reference("some", fit(features), features, spatial=fit(spatial[30:])))
    assert row["sfid"] == pytest.approx(frechet_distance(fit(spatial[:30]), fit(spatial[30:])))


def test_features_of_another_detector_are_refused(tmp_path) -> None:
    with pytest.raises(
        InputError, match=r"reference0\.h5 and .*samples\.h5 are features of different detectors"
    ):
        run(tmp_path, digest="bb")
    assert not (tmp_path / "row.csv").exists()


def test_a_subset_of_images_that_the_references_do_not_have_is_refused(tmp_path) -> None:
    samples = write_samples(tmp_path / "s.h5", random(1).normal(size=(80, DIMENSIONS)))
    words = ["--samples", samples, "--subset", tmp_path / "subset.csv", "--output", tmp_path / "row.csv"]
    (tmp_path / "subset.csv").write_text("path,class,class_index,rank\nc0/1.png,c0,0,0\nc0/x.png,c0,0,1\n")
    with pytest.raises(
        InputError, match=r"subset names 'c0/x\.png', of which the references have no features"
    ):
        call(score, *write_reference(tmp_path), *words)
    assert not (tmp_path / "row.csv").exists()


def test_made_images_count_but_are_not_looked_for_among_the_real_ones(tmp_path) -> None:
    samples = write_samples(tmp_path / "s.h5", random(1).normal(size=(80, DIMENSIONS)))
    rows = [Chosen(f"c{c}/{i}.png", f"c{c}", c, i) for c in range(CLASSES) for i in range(5)]
    write_subset_of([*rows, Chosen("x/c0/0.png", "c0", 0, 5, made=True)], tmp_path / "subset.csv")
    words = ["--samples", samples, "--subset", tmp_path / "subset.csv", "--output", tmp_path / "row.csv"]
    call(score, *write_reference(tmp_path), *words)
    row = pd.read_csv(tmp_path / "row.csv").iloc[0]
    assert row["subset_images"] == 21 and 0.3 < row["copy_rate"] < 0.7


def test_a_class_without_reference_images_is_refused(tmp_path) -> None:
    path = write_samples(tmp_path / "s.h5", random(1).normal(size=(8, DIMENSIONS)))
    with h5py.File(path, "a") as file:
        file["labels"][3] = 9
    shards = [h5py.File(path) for path in write_reference(tmp_path)]
    with h5py.File(path) as cached, pytest.raises(InputError, match="class index 9"):
        read_reference(shards, set(), read_samples(cached))


def test_a_reference_batch_takes_the_place_of_the_studys_images_but_not_of_the_controls(tmp_path) -> None:
    shards, other = write_reference(tmp_path), fit(random(5).normal(size=(200, DIMENSIONS)) + 1)
    images = random(6).normal(size=(50, DIMENSIONS)).astype(np.float32)
    with h5py.File(tmp_path / "batch.h5", "w") as file:
        file["features"], file["mean"], file["covariance"] = images, other.mean, other.covariance
        file["spatial_mean"], file["spatial_covariance"] = other.mean, other.covariance
        file.attrs.update({"digest": "aa", "name": "ADM", "complete": True})
    samples = write_samples(tmp_path / "samples.h5", random(1).normal(size=(80, DIMENSIONS)))
    with h5py.File(samples, "a") as file:
        file["spatial_mean"], file["spatial_covariance"] = other.mean + 1, other.covariance
    words = ["--samples", samples, "--subset", write_subset(tmp_path / "subset.csv")]
    words += [word for path in (*shards, tmp_path / "batch.h5") for word in ("--reference", path)]
    call(score, *words, "--output", tmp_path / "row.csv")
    row = pd.read_csv(tmp_path / "row.csv").iloc[0]
    with h5py.File(samples) as file:
        features = file["features"][()]
    assert row["reference"] == "ADM"
    assert row["fid"] == pytest.approx(frechet_distance(fit(features), other), rel=1e-6)
    assert row["sfid"] == pytest.approx(DIMENSIONS, rel=1e-9)
    assert row["recall"] == pytest.approx(compare(features, images).recall)
    subset = fit(real()[:, :5].reshape(-1, DIMENSIONS))
    assert row["subset_fid"] == pytest.approx(frechet_distance(subset, other), rel=1e-6)
    assert 0.3 < row["copy_rate"] < 0.7


def test_a_reference_batch_spares_the_study_all_but_the_chosen_images(tmp_path, monkeypatch) -> None:
    other = fit(random(5).normal(size=(200, DIMENSIONS)))
    with h5py.File(tmp_path / "batch.h5", "w") as file:
        file["features"] = random(6).normal(size=(50, DIMENSIONS)).astype(np.float32)
        file["mean"], file["covariance"] = other.mean, other.covariance
        file.attrs.update({"digest": "aa", "name": "ADM", "complete": True})
    shards = [h5py.File(path) for path in (*write_reference(tmp_path), tmp_path / "batch.h5")]
    with open_shard(write_samples(tmp_path / "s.h5", random(1).normal(size=(8, DIMENSIONS)))) as cached:
        samples = read_samples(cached)
    summed, read = [], []
    add, read_array = Moments.add, scoring._read
    monkeypatch.setattr(Moments, "add", lambda self, rows: (summed.append(len(rows)), add(self, rows))[1])
    monkeypatch.setattr(
        scoring, "_read", lambda group, name: (read.append(group.name), read_array(group, name))[1]
    )
    chosen = {f"c{c}/{i}.png" for c in (1, 3) for i in range(5)}
    reference, nearest = read_reference(shards, chosen, samples)
    assert sum(summed) == 10  # of 120
    assert read == ["/c1", "/c3", "/"]
    assert reference.subset.count == 10 and [bool(path) for path in nearest] == [False, True] * 4
    summed.clear()
    read_reference(shards[:2], chosen, samples)
    assert sum(summed) == CLASSES * IMAGES + 10


def test_samples_that_are_not_what_was_asked_for_are_refused_by_name(tmp_path) -> None:
    samples = Samples(np.zeros((8, 2)), labels=np.array([0, 1] * 4), columns=np.arange(2))
    check(samples, Sampling(images=8), Path("s.h5"))
    with pytest.raises(InputError, match=r"s\.h5 holds 8 images, and 10 are asked for"):
        check(samples, Sampling(images=10), Path("s.h5"))
    samples.labels[1] = 0
    with pytest.raises(InputError, match=r"s\.h5: class index 1 has 3 images and class index 0 5"):
        check(samples, Sampling(images=8), Path("s.h5"))
    check(samples, Sampling(images=8, labels="random"), Path("s.h5"))
    missing = Samples(np.zeros((8, 2)), labels=np.array([0, 1] * 4), columns=np.arange(3))
    with pytest.raises(InputError, match="class index 2 has 0 images"):
        check(missing, Sampling(images=8), Path("s.h5"))


def test_features_that_are_not_finite_are_refused_by_name(tmp_path) -> None:
    broken = random(1).normal(size=(80, DIMENSIONS))
    broken[3, 2] = np.nan
    with pytest.raises(InputError, match=r"samples\.h5: features are not finite"):
        run(tmp_path, broken)
    with h5py.File(write_reference(tmp_path)[1], "a") as file:
        file["c2/features"][4] = np.inf
        samples = Samples(random(1).normal(size=(8, DIMENSIONS)), labels=np.zeros(8, int))
        with pytest.raises(InputError, match=r"reference1\.h5, class c2: features are not finite"):
            read_reference([file], set(), samples)

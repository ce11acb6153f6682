"""Users' own files: labels of any type, and probabilities whose columns belong to the labels."""

import csv
from pathlib import Path

import h5py
import numpy as np
import pytest

from commands import call
from condense.base.errors import InputError
from condense.selection.candidates import open_features
from condense.selection.select import select

COUNT = 12  # classes: more than ten, so that an order as text is another than that as numbers


def own_file(path: Path, labels: np.ndarray, probabilities: np.ndarray | None = None) -> Path:
    """Features of images in a plane, five of each class."""
    arrays = {"features": np.random.default_rng(0).normal(size=(len(labels), 2)), "labels": labels}
    arrays |= {} if probabilities is None else {"probabilities": probabilities}
    if path.suffix == ".npz":
        np.savez(path, **arrays)
    else:
        with h5py.File(path, "w") as file:
            file.update(arrays)
    return path


def right_table(labels: np.ndarray) -> np.ndarray:
    """Probabilities [N, COUNT] of a classifier that is right and differently sure of each image."""
    sure = np.random.default_rng(1).uniform(0.3, 0.9, len(labels))
    table = np.tile(((1 - sure) / (COUNT - 1))[:, None], (1, COUNT))
    table[np.arange(len(labels)), labels.astype(int)] = sure
    return table


NUMBERS = np.repeat(np.arange(COUNT), 5)


def choose(path: Path, *words: object) -> str:
    """Choose two images of each class and return what is said."""
    return call(select, "--features", path, "--budget", 2, "--output", path.with_suffix(".csv"), *words)


def subset(path: Path, *words: object) -> list[tuple[str, str]]:
    choose(path, *words)
    rows = csv.DictReader(path.with_suffix(".csv").read_text().splitlines())
    return [(row["class"], row["path"]) for row in rows]


@pytest.mark.parametrize("suffix", ["npz", "h5"])
@pytest.mark.parametrize("kind", [np.float32, np.float64, np.uint8])
def test_integral_floats_are_the_integers_that_they_are(tmp_path, suffix, kind):
    chosen = [
        subset(own_file(tmp_path / f"{name}.{suffix}", labels, right_table(labels)))
        for name, labels in {"integers": NUMBERS, "others": NUMBERS.astype(kind)}.items()
    ]
    assert chosen[0] == chosen[1]
    assert [name for name, _ in chosen[1]] == np.repeat(np.arange(COUNT), 2).astype(str).tolist()


@pytest.mark.parametrize("wrong", [0.5, np.nan, np.inf, -np.inf])
def test_other_floats_are_no_labels(tmp_path, wrong):
    labels = NUMBERS.astype(float)
    labels[3] = wrong
    with pytest.raises(InputError, match=r"mine.npz: label .* of row 3 is no whole number"):
        choose(own_file(tmp_path / "mine.npz", labels))


def test_columns_in_another_order_than_the_labels_are_warned_of(tmp_path):
    as_text = np.argsort(np.arange(COUNT).astype(str))
    said = choose(own_file(tmp_path / "wrong.npz", NUMBERS, right_table(NUMBERS)[:, as_text]))
    assert said.count("their columns") == 1
    assert "wrong.npz: the probabilities name the own class of 17% of the images (chance: 8%)" in said


@pytest.mark.parametrize("right", [0.6, 1.0])
def test_a_classifier_well_above_chance_is_not_warned_of(tmp_path, right):
    table = right_table(NUMBERS)
    missed = np.arange(len(table)) % 5 >= 5 * right
    table[missed] = table[missed][:, ::-1]
    assert "chance" not in choose(own_file(tmp_path / "fine.npz", NUMBERS, table))


def test_of_two_classes_a_coin_is_warned_of_and_a_classifier_is_not(tmp_path):
    labels = np.repeat([0, 1], 10)
    for name, sure in {"coin": 0.4, "classifier": 0.7}.items():
        table = np.where(labels[:, None] == [0, 1], sure, 1 - sure)
        said = choose(own_file(tmp_path / f"{name}.npz", labels, table))
        assert ("(chance: 50%)" in said) == (name == "coin")


def test_a_column_per_label_gives_the_strongest_other_class_too(tmp_path):
    table = np.array([[0.6, 0.3, 0.1], [0.2, 0.5, 0.3], [0.1, 0.1, 0.8]])
    with open_features(own_file(tmp_path / "mine.npz", np.array([0, 1, 2]), table)) as classes:
        found = [(c.log_probability[0], c.log_runner_up[0]) for c in classes]
    np.testing.assert_allclose(np.exp(found), [[0.6, 0.3], [0.5, 0.3], [0.8, 0.1]], rtol=1e-12)


def test_ccs_takes_ones_own_file_with_a_column_per_label(tmp_path):
    path = own_file(tmp_path / "mine.npz", NUMBERS, right_table(NUMBERS))
    assert len(subset(path, "--kind", "ccs")) == 2 * COUNT

"""Groups are chosen as the released code chooses; small cases are searched exactly; ties and zeros."""

from itertools import product
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose
from safetensors.numpy import load_file

from condense.base.errors import InputError
from condense.synthesis.groups import GroupObjective, ascend, centroid, objective_of, search_exactly

GOLDEN = load_file(Path(__file__).parents[1] / "golden" / "groups" / "s3.safetensors")
SETTINGS = {0: (0.4, 0.9, 0.0), 1: (1.0, 1.0, 1e-6), 2: (0.4, 0.9, 0.0)}
CASES = [0, 1, 2]


def case(number: int) -> dict[str, np.ndarray]:
    prefix = f"case{number}."
    return {key.removeprefix(prefix): value for key, value in GOLDEN.items() if key.startswith(prefix)}


def released(number: int) -> GroupObjective:
    values, (closeness, separation, offset) = case(number), SETTINGS[number]
    weights = {"closeness": closeness, "separation": separation, "offset": offset, "pairs": "sum"}
    names = [str(i) for i in range(len(values["centroids"]))]
    return objective_of(values["centroids"], values["real_centroids"], names, **weights)


def drawn(classes: int, groups: int, seed: int = 0, **weights) -> GroupObjective:
    random = np.random.default_rng(seed)
    centroids = random.normal(1, 1, (classes, groups, 6))
    real = random.normal(1, 1, (classes, 6))
    centroids /= np.linalg.norm(centroids, axis=2, keepdims=True)
    real /= np.linalg.norm(real, axis=1, keepdims=True)
    return objective_of(centroids, real, [str(i) for i in range(classes)], **weights)


@pytest.mark.parametrize("number", CASES)
def test_centroids_equal_the_reference(number):
    values = case(number)
    for cls, groups in enumerate(values["features"]):
        for group, features in enumerate(groups):
            assert_allclose(centroid(features), values["centroids"][cls, group], rtol=0, atol=1e-12)
        assert_allclose(centroid(values["real_features"][cls]), values["real_centroids"][cls], atol=1e-12)


@pytest.mark.parametrize("number", CASES)
def test_every_trial_of_the_release_has_the_same_objective(number):
    values, objective = case(number), released(number)
    offset = SETTINGS[number][2]
    assert_allclose(np.exp(-objective.near) - offset, values["distance_to_real"], rtol=1e-9)
    found = [objective.value(chosen) for chosen in values["trials"]]
    assert_allclose(found, values["trial_objectives"], rtol=1e-9)


@pytest.mark.parametrize("number", CASES)
def test_the_ascent_ends_where_the_released_one_ends_after_as_many_rounds(number):
    values, objective = case(number), released(number)
    start = objective.near.argmax(1)
    assert start.tolist() == values["start"].tolist()
    chosen, rounds = ascend(objective, start)
    assert chosen.tolist() == values["selected"].tolist()
    assert objective.value(chosen) == pytest.approx(values["objective"][0], rel=1e-9)
    classes, groups = objective.near.shape
    assert 1 + rounds * classes * (groups - 1) == len(values["trials"])


@pytest.mark.parametrize("number", [0, 1])
def test_the_exact_search_finds_the_reference_optimum_that_the_ascent_misses(number):
    values, objective = case(number), released(number)
    best = search_exactly(objective)
    assert best.tolist() == values["global_best"].tolist()
    assert objective.value(best) == pytest.approx(values["global_best_objective"][0], rel=1e-9)
    assert objective.value(best) > objective.value(ascend(objective, objective.near.argmax(1))[0])


@pytest.mark.parametrize("pairs", ["mean", "sum"])
@pytest.mark.parametrize("classes", [1, 2, 5])
def test_the_exact_search_equals_trying_all(classes, pairs):
    objective = drawn(classes, 4, pairs=pairs)
    every = [np.array(chosen) for chosen in product(range(4), repeat=classes)]
    best = max(every, key=objective.value)
    assert search_exactly(objective).tolist() == best.tolist()


def test_both_readings_are_written_out():
    objective, chosen = drawn(5, 3, pairs="mean"), np.array([0, 2, 1, 1, 0])
    pairs = [objective.far[i, chosen[i], j, chosen[j]] for i in range(5) for j in range(5) if i < j]
    near = sum(objective.near[i, chosen[i]] for i in range(5))
    assert objective.value(chosen) == pytest.approx(0.4 * near + 0.9 * sum(pairs) * 2 / 4, rel=1e-12)
    summed = drawn(5, 3, pairs="sum")
    assert summed.value(chosen) == pytest.approx(0.4 * near + 0.9 * sum(pairs), rel=1e-12)


def test_the_mean_is_over_all_choices():
    for pairs in ("mean", "sum"):
        objective = drawn(4, 3, pairs=pairs)
        every = [objective.value(np.array(chosen)) for chosen in product(range(3), repeat=4)]
        assert objective.mean == pytest.approx(np.mean(every), rel=1e-12)


def test_gains_are_what_a_change_of_group_changes():
    objective, chosen = drawn(6, 4), np.array([0, 1, 2, 3, 0, 1])
    gains = objective.gains(chosen)
    for cls, group in product(range(6), range(4)):
        other = chosen.copy()
        other[cls] = group
        expected = objective.value(other) - objective.value(chosen)
        assert gains[cls, group] - gains[cls, chosen[cls]] == pytest.approx(expected, abs=1e-12)


def test_an_ascent_never_loses_and_ends_at_an_optimum_of_single_changes():
    for seed in range(20):
        objective = drawn(7, 5, seed)
        start = np.random.default_rng(seed).integers(0, 5, 7)
        chosen, _ = ascend(objective, start, rounds=50)
        assert objective.value(chosen) >= objective.value(start)
        gains = objective.gains(chosen)
        assert (gains <= gains[np.arange(7), chosen][:, None] + 1e-9).all()


def test_of_equal_groups_the_chosen_one_stays():
    random = np.random.default_rng(0)
    centroids = random.normal(1, 1, (4, 3, 8))
    centroids[:, 1] = centroids[:, 0]  # of the same images, say
    centroids /= np.linalg.norm(centroids, axis=2, keepdims=True)
    real = centroids[:, 0] + 0.1 * random.normal(size=(4, 8))
    real /= np.linalg.norm(real, axis=1, keepdims=True)
    objective = objective_of(centroids, real, list("abcd"), separation=0.1)
    for start in ([0, 0, 0, 0], [1, 0, 1, 0], [1, 1, 1, 1]):
        chosen, rounds = ascend(objective, np.array(start))
        assert chosen.tolist() == start and rounds == 1


def test_a_distance_of_zero_is_one_sentence_unless_there_is_an_offset():
    centroids = np.array([[[1.0, 0], [0, 1]], [[0, 1.0], [0.6, 0.8]]])
    real = np.array([[0.8, 0.6], [0.6, -0.8]])
    centroids[1, 0, 0] = 1e-9  # rounding is no distance
    with pytest.raises(
        InputError, match="groups of classes 'a' and 'b' have the same mean feature; set offset"
    ):
        objective_of(centroids, real, ["a", "b"])
    assert np.isfinite(objective_of(centroids, real, ["a", "b"], offset=1e-6).far).all()
    with pytest.raises(InputError, match="a group of class 'a' has its real images' mean feature"):
        objective_of(centroids, np.array([[0, 1.0], [0.6, -0.8]]), ["a", "b"])


@pytest.mark.parametrize(
    ("features", "sentence"),
    [
        ([[1.0, np.nan]], "zero or not finite"),
        ([[0.0, 0.0], [1.0, 0.0]], "zero or not finite"),
        ([[1.0, 0.0], [-1.0, 0.0]], "cancel out"),
    ],
)
def test_features_without_a_direction_are_one_sentence(features, sentence):
    with pytest.raises(InputError, match=sentence):
        centroid(np.array(features))


def test_too_many_choices_to_compare_are_one_sentence():
    with pytest.raises(InputError, match="5 groups of 12 classes are too many"):
        search_exactly(drawn(12, 5))

"""Large classes: representatives as columns, against the exact search and against definitions."""

from dataclasses import replace

import h5py
import numpy as np
import pytest
import torch

from commands import call
from condense.base.tables import read_rows
from condense.config.settings import Gadc
from condense.selection import image_class, large
from condense.selection.columns import Whole
from condense.selection.image_class import ImageClass, ordered
from condense.selection.large import columns_of, condense_large
from condense.selection.objective import Objective
from condense.selection.representatives import represent
from condense.selection.search import condense
from condense.selection.select import select
from condense.transport.partial import solve, squared_distances
from standin import pretend

PLAIN = Gadc(epsilon=0.05, epsilon_unit="median", beta=1.0, restarts=1, columns=40)
first = torch.zeros(1, dtype=torch.long)


def one(seed: int, n: int, d: int = 6, source: object = None) -> ImageClass:
    draws = np.random.default_rng(seed)
    features = draws.normal(size=(n, d)).astype(np.float32) + 3 * draws.integers(0, 2, (n, 1))
    names = [f"{number:05}" for number in range(n)]
    return ordered("one", 0, names, features if source is None else source, np.log(draws.random(n)))


def test_groups_of_equal_images_as_columns_are_the_images_themselves() -> None:
    draws = torch.Generator().manual_seed(0)
    places = torch.randn(7, 4, dtype=torch.float64, generator=draws)
    counts = torch.tensor([5, 1, 2, 8, 3, 1, 4])
    every = places.repeat_interleave(counts, 0)
    exact = Objective(every[None], None, replace(PLAIN, beta=0.0, epsilon=1.0, epsilon_unit="absolute"))
    shares = counts.double() / counts.sum()
    whole = Whole(every.mean(0), every.std(0), places, torch.zeros(7), shares, exact.median[0])
    found = Objective(every[None], None, exact.settings, whole)
    subset = torch.tensor([[0, 6, 14, 20]])
    for name in ("transport", "statistics", "mass"):
        ours, theirs = (getattr(built.terms(first, subset), name) for built in (found, exact))
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(found.extend(subset[:, :3]), exact.extend(subset[:, :3]), rtol=1e-5, atol=0)


def test_shares_of_columns_are_masses_of_the_linear_programme() -> None:
    import ot

    draws = torch.Generator().manual_seed(1)
    cost = torch.rand(1, 3, 5, dtype=torch.float64, generator=draws)
    shares = torch.tensor([[0.1, 0.3, 0.2, 0.25, 0.15]], dtype=torch.float64)
    found = solve(cost, 1e-3, 1.2, tolerance=1e-8, shares=shares).cost.item()
    masses = np.r_[np.full(3, 1 / 3), 0.2], 1.2 * shares[0].numpy()
    augmented = np.r_[cost[0].numpy(), np.zeros((1, 5))]
    assert found == pytest.approx((ot.emd(*masses, augmented) * augmented).sum(), rel=1e-4)


def test_representatives_have_the_mean_cost_of_their_group_and_all_images_statistics(monkeypatch) -> None:
    images = one(2, 300)
    whole = represent(images, 20)
    features = torch.from_numpy(images.features()).double()
    torch.testing.assert_close(whole.mean, features.mean(0))
    torch.testing.assert_close(whole.std, features.std(0))
    assert whole.shares.sum().item() == pytest.approx(1) and len(whole.shares) <= 20
    cost, typical, shares = whole.cost(features)
    mean = squared_distances(features).mean(1)  # over all images, hence over groups by their shares
    torch.testing.assert_close((cost[0] * shares).sum(1), mean)
    pairs = squared_distances(features)[torch.triu(torch.ones(300, 300), 1) > 0]
    assert typical.item() == pytest.approx(pairs.median().item())


@pytest.mark.parametrize("exchange", ["optimal", "released", "none"])
def test_terms_are_those_against_all_images_by_definition(exchange) -> None:
    images = one(3, 200)
    chosen = replace(PLAIN, exchange=exchange)
    found = condense_large(images, [6, 3], chosen, "cpu")
    exact = Objective(
        torch.from_numpy(images.features())[None], -torch.from_numpy(images.log_probability)[None], chosen
    )
    for budget, each in found.items():
        subset = torch.tensor([each.places])
        assert each.objective == pytest.approx(exact.value(first, subset).item(), rel=1e-6)
        assert each.terms.mass.item() == pytest.approx(exact.terms(first, subset).mass.item(), rel=1e-6)
        assert len(set(each.places)) == budget and not each.selection.end.optimal.item()


def test_the_subset_is_nearly_as_good_as_that_of_the_exact_search() -> None:
    images = one(4, 400, d=12)
    chosen = replace(PLAIN, beta=0.0, columns=150, restarts=4)
    exact = condense(torch.from_numpy(images.features())[None], None, [8], chosen)[8].end.value.item()
    assert condense_large(images, [8], chosen, "cpu")[8].objective <= exact * 1.005


def test_tiles_and_threads_do_not_change_the_subset_of_a_class_searched_in_rounds(monkeypatch) -> None:
    monkeypatch.setattr(large, "LARGE", 100)
    monkeypatch.setattr(large, "DRAWN", 60)
    monkeypatch.setattr(large, "JOINING", 40)
    images, found = one(5, 500), []
    for rows, threads in ((4096, 1), (7, 1), (128, 2)):
        monkeypatch.setattr(image_class, "ROWS", rows)
        torch.set_num_threads(threads)
        try:
            found.append(condense_large(images, [5], replace(PLAIN, columns=20), "cpu")[5].places)
        finally:
            torch.set_num_threads(1)
    assert found[0] == found[1] == found[2]


def test_a_device_finds_what_the_processor_finds(monkeypatch) -> None:
    for name, value in (("LARGE", 50), ("DRAWN", 40), ("JOINING", 10)):
        monkeypatch.setattr(large, name, value)
    chosen = replace(PLAIN, columns=8, restarts=0)
    expected = condense_large(one(9, 80), [3], chosen, "cpu")[3]
    with pretend(monkeypatch) as device:
        found = condense_large(one(9, 80), [3], chosen, "cuda")[3]
        assert device.operations > 0
    assert found.places == expected.places and found.objective == pytest.approx(expected.objective)


def test_rounds_find_images_that_were_not_drawn(monkeypatch) -> None:
    images = one(6, 600)
    values = []
    for rounds in (0, 2):
        monkeypatch.setattr(large, "LARGE", 100)
        monkeypatch.setattr(large, "DRAWN", 30)
        monkeypatch.setattr(large, "ROUNDS", rounds)
        values.append(condense_large(images, [5], PLAIN, "cpu")[5].objective)
    assert values[1] < 0.99 * values[0]


class Counted:
    """Features on disk that remember how many rows were read at once."""

    def __init__(self, values: np.ndarray):
        self.values, self.most = values, 0
        self.ndim, self.shape = values.ndim, values.shape

    def __getitem__(self, key):
        found = self.values[key]
        self.most = max(self.most, len(found))
        return found


@pytest.mark.parametrize("shuffled", [False, True])
def test_no_more_rows_are_read_at_once_than_a_tile_or_the_candidates(monkeypatch, shuffled) -> None:
    monkeypatch.setattr(large, "LARGE", 100)
    monkeypatch.setattr(large, "DRAWN", 60)
    monkeypatch.setattr(large, "JOINING", 20)
    monkeypatch.setattr(image_class, "ROWS", 50)
    images = one(7, 2000)
    counted = Counted(images.source)
    order = np.random.default_rng(0).permutation(2000) if shuffled else images.order
    condense_large(replace(images, source=counted, order=order), [4], replace(PLAIN, columns=8), "cpu")
    assert counted.most <= 2 * 128  # the sample of k-means; a class has 2,000


def test_select_says_so_and_tells_the_error(tmp_path) -> None:
    draws = np.random.default_rng(8)
    with h5py.File(tmp_path / "mine.h5", "w") as file:
        file["features"] = draws.normal(size=(150, 4)).astype(np.float32)
        file["labels"] = np.repeat([0, 1], [100, 50])
    subset, told = tmp_path / "s.csv", tmp_path / "d.csv"
    words = ["--features", tmp_path / "mine.h5", "--budget", 4, "--output", subset, "--diagnostics", told]
    heard = call(select, *words, "--columns", 60)
    line = "1 of 2 classes, of up to 100 images, are transported onto 60 representatives"
    assert line in heard
    rows = list(read_rows(told, ("class", "columns", "columns_error", "one_swap_optimal")))
    assert [row["class"] for row in rows] == ["0", "1"] and [row["columns"] for row in rows] == ["60", ""]
    assert abs(float(rows[0]["columns_error"])) < 0.2 and rows[1]["columns_error"] == ""


def test_columns_of_a_class() -> None:
    class Many:
        paths = range(8001)

    assert columns_of(Many, replace(PLAIN, columns=None)) == 1024
    assert columns_of(Many, replace(PLAIN, columns=8001)) == 0
    Many.paths = range(8000)
    assert columns_of(Many, replace(PLAIN, columns=None)) == 0
    assert columns_of(Many, PLAIN) == 40
    assert columns_of(Many, replace(PLAIN, transport=False)) == 0

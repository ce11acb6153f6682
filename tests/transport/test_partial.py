"""One-sided partial transport: against golden costs, POT's solvers and exact linear programmes."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import ot
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open

from condense.transport.extension import Extension
from condense.transport.partial import Transport, solve, squared_distances

GOLDEN = Path(__file__).parents[1] / "golden/selection.safetensors"


def features(seed: int, n: int, d: int = 6) -> torch.Tensor:
    return torch.randn(n, d, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def rows_and_cost(seed: int, n: int, m: int) -> torch.Tensor:
    """Costs [1, m, n] of the first m of n random images."""
    return squared_distances(features(seed, n))[None, :m]


def augmented(cost: np.ndarray, capacity: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The balanced problem with a free dummy row: row masses, column masses, costs."""
    m, n = cost.shape
    return np.r_[np.full(m, 1 / m), capacity - 1], np.full(n, capacity / n), np.r_[cost, np.zeros((1, n))]


def exact(cost: np.ndarray, capacity: float) -> float:
    rows, columns, every = augmented(cost, capacity)
    return float((ot.emd(rows, columns, every) * every).sum())


def test_costs_are_the_reference_implementations() -> None:
    with safe_open(GOLDEN, "pt") as file:
        cost = squared_distances(file.get_tensor("features"))
        for j in range(7):
            given_settings = dict(pair.split("=") for pair in file.metadata()[f"ot.{j}"].split())
            found = solve(
                cost[None, file.get_tensor(f"ot.{j}.subset")],
                float(given_settings["epsilon"]),
                float(given_settings["capacity"]),
                int(given_settings["iterations"]),
            )
            assert found.cost.item() == pytest.approx(file.get_tensor(f"ot.{j}.cost").item(), rel=1e-10)


@pytest.mark.parametrize("capacity", [1.0, 1.05, 1.7])
def test_cost_is_that_of_pots_batched_solver(capacity: float) -> None:
    cost = squared_distances(features(1, 30))[torch.tensor([[0, 5, 7], [3, 8, 9]])]
    problems = [augmented(one.numpy(), capacity) for one in cost]
    keep = slice(None) if capacity > 1 else slice(-1)  # without slack there is no dummy row
    rows, every = (np.stack([p[k][keep] for p in problems]) for k in (0, 2))
    columns = np.stack([p[1] for p in problems])
    theirs = ot.solve_batch(
        every,
        reg=2.0,
        a=rows,
        b=columns,
        method="log_sinkhorn",
        reg_type="entropy",
        max_iter=20_000,
        tol=1e-12,
    )
    ours = solve(cost, 2.0, capacity, tolerance=1e-12)
    np.testing.assert_allclose(ours.cost, (np.asarray(theirs.plan) * every).sum((1, 2)), rtol=1e-7)
    torch.testing.assert_close(ours.mass, torch.ones(2, dtype=torch.float64))


@settings(max_examples=15, deadline=None, derandomize=True)
@given(st.integers(0, 99), st.integers(4, 15), st.integers(1, 4), st.sampled_from([1.0, 1.05, 1.5]))
def test_cost_tends_to_the_linear_programmes_as_epsilon_falls(seed, n, m, capacity) -> None:
    cost = rows_and_cost(seed, n, m)
    target = exact(cost[0].numpy(), capacity)
    gaps = [
        abs(solve(cost, scale * cost.median(), capacity, tolerance=1e-7).cost.item() - target)
        for scale in (0.5, 0.02)
    ]
    assert gaps[1] <= gaps[0] + 1e-6
    assert gaps[1] < 0.03 * (1 + target)


def test_cost_tends_to_the_linear_programmes_on_digits() -> None:
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    cost = squared_distances(torch.from_numpy(images[labels == 3][:60]))[None, :6]
    target = exact(cost[0].numpy(), 1.05)
    for scale, gap in ((0.1, 0.1), (0.01, 0.01), (0.003, 0.003)):
        found = solve(cost, scale * cost.median(), 1.05, tolerance=1e-4)
        assert abs(found.cost.item() / target - 1) < gap


def test_linear_programme_is_pots_partial_transport() -> None:
    cost = rows_and_cost(4, 12, 3)[0].numpy()
    partial = ot.partial.partial_wasserstein(np.full(3, 1 / 3), np.full(12, 1.2 / 12), cost, m=1.0)
    assert exact(cost, 1.2) == pytest.approx((partial * cost).sum(), rel=1e-9)
    near = solve(torch.from_numpy(cost)[None], 0.02, 1.2, tolerance=1e-6)
    assert near.cost.item() == pytest.approx((partial * cost).sum(), rel=1e-3)


def test_capacity_of_one_is_balanced_transport() -> None:
    cost = rows_and_cost(5, 20, 4)
    plan = ot.sinkhorn(
        np.full(4, 1 / 4), np.full(20, 1 / 20), cost[0].numpy(), 1.5, stopThr=1e-13, numItermax=10**5
    )
    assert solve(cost, 1.5, 1.0, tolerance=1e-12).cost.item() == pytest.approx((plan * cost[0].numpy()).sum())


@settings(max_examples=20, deadline=None, derandomize=True)
@given(st.integers(0, 99), st.integers(5, 20), st.integers(1, 5))
def test_cost_does_not_rise_with_capacity(seed, n, m) -> None:
    cost = rows_and_cost(seed, n, m)
    found = [solve(cost, 0.05 * cost.median(), k, tolerance=1e-8).cost.item() for k in (1, 1.05, 1.2, 1.5, 2)]
    assert all(after <= before * (1 + 1e-6) for before, after in pairwise(found))


@settings(max_examples=20, deadline=None, derandomize=True)
@given(st.integers(0, 99), st.integers(3, 20), st.integers(1, 3), st.sampled_from([1.0, 1.05]))
def test_order_of_rows_and_columns_does_not_matter(seed, n, m, capacity) -> None:
    cost = rows_and_cost(seed, n, m)
    draws = torch.Generator().manual_seed(seed)
    shuffled = cost[:, torch.randperm(m, generator=draws)][..., torch.randperm(n, generator=draws)]
    torch.testing.assert_close(solve(cost, 2.0, capacity).cost, solve(shuffled, 2.0, capacity).cost)


@pytest.mark.parametrize("capacity", [1.0, 1.05, 1.7])
def test_cost_is_that_of_the_two_update_equations(capacity: float) -> None:
    cost = rows_and_cost(12, 30, 4)
    kernel, v = torch.exp(-cost[0] / 3), torch.ones(30, dtype=torch.float64)
    for _ in range(20):
        u = (1 / 4) / (kernel @ v)
        v = (capacity / 30) / (kernel.T @ u + (capacity - 1) / v.sum())
    written_out = (u @ (kernel * cost[0]) @ v).item()
    assert solve(cost, 3.0, capacity).cost.item() == pytest.approx(written_out, rel=1e-12)
    every = squared_distances(features(12, 30))[None]
    transport = Transport(every, torch.tensor([3.0]).double(), capacity, precision=torch.float64)
    found = transport.extend(torch.tensor([[0, 1, 2]]), torch.tensor([[3]]))
    assert found.item() == pytest.approx(written_out, rel=1e-12)


def test_problems_of_a_batch_do_not_influence_each_other() -> None:
    cost = squared_distances(features(6, 25))[torch.tensor([[0, 1], [2, 3], [4, 5]])]
    cost[1] *= 40  # takes far more iterations to the tolerance than its neighbours
    together = solve(cost, 1.0, 1.05, tolerance=1e-8)
    for alone, one in zip(cost, together.cost, strict=True):
        assert solve(alone[None], 1.0, 1.05, tolerance=1e-8).cost.item() == pytest.approx(
            one.item(), rel=1e-13
        )


def test_rows_ship_their_mass_and_the_potentials_are_finite_at_any_scale() -> None:
    cost = rows_and_cost(7, 40, 5)
    for scale in (1e-3, 1.0, 1e3):
        found = solve(cost, scale * cost.median(), 1.05, tolerance=1e-3)
        assert torch.isfinite(found.potential).all()
        assert found.mass.item() == pytest.approx(1, abs=1e-3)


scales = st.sampled_from([0.1, 1.0, 5.0, 30.0, 120.0, 400.0, 1000.0])


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.integers(0, 99), st.integers(4, 25), st.integers(0, 3), scales, st.sampled_from([1.0, 1.05, 2.0]))
def test_sharing_the_kernel_changes_no_candidates_cost(seed, n, shared, scale, capacity) -> None:
    cost = squared_distances(features(seed, n))[None]
    epsilon = cost.median()[None] / scale
    chosen = torch.randperm(n, generator=torch.Generator().manual_seed(seed))[None, :shared]
    every = torch.arange(n)
    subsets = torch.cat([chosen.expand(n, -1), every[:, None]], 1)
    for precision, error in ((torch.float32, 1e-5), (torch.float64, 1e-9)):
        transport = Transport(cost, epsilon, capacity, 20, None, precision)
        fast = transport.extend(chosen, every[None])[0].double()
        slow = transport.solve(torch.zeros(n, dtype=torch.long), subsets).cost
        torch.testing.assert_close(fast, slow, rtol=error, atol=error * cost.median().item() / 100)


def test_sharing_the_kernel_serves_several_classes_and_any_candidates() -> None:
    cost = torch.stack([squared_distances(features(seed, 20)) for seed in (1, 2)])
    transport = Transport(cost, torch.tensor([1.0, 3.0]).double(), 1.05, 20, None, torch.float64)
    shared, candidates = torch.tensor([[3, 4], [0, 9]]), torch.tensor([[7, 5, 19], [1, 2, 3]])
    found = transport.extend(shared, candidates)
    for c in range(2):
        for b in range(3):
            subset = torch.cat([shared[c], candidates[c, b : b + 1]])[None]
            assert found[c, b].item() == pytest.approx(transport.solve(torch.tensor([c]), subset).cost.item())


@pytest.mark.parametrize("capacity", [1.0, 1.05])
def test_solving_to_a_tolerance_does_not_depend_on_where_it_starts(capacity: float) -> None:
    cost = squared_distances(features(8, 30))[None]
    transport = Transport(cost, cost.median()[None] / 20, capacity, 20, 1e-9, torch.float64)
    shared, every = torch.tensor([[1, 5]]), torch.arange(30)[None]
    cold = transport.extend(shared, every)
    transport.warm_start(transport.solve(torch.tensor([0]), torch.tensor([[1, 5, 9]])).potential)
    torch.testing.assert_close(transport.extend(shared, every), cold, rtol=1e-6, atol=1e-6)
    assert not torch.equal(transport.extend(shared, every), cold)  # it did start elsewhere


def test_what_leaves_the_range_of_float32_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    cost = squared_distances(features(8, 30))[None]
    transport = Transport(cost, cost.median()[None] / 150, 1.05, 20, 1e-6)
    iterations = []
    update = Extension.update_rows

    def counted(problems: Extension, *reach: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        iterations.append(reach[0].dtype)
        return update(problems, *reach)

    monkeypatch.setattr(Extension, "update_rows", counted)
    shared, every = torch.tensor([[0, 1]]), torch.arange(2, 30)[None]
    found = transport.extend(shared, every)
    assert torch.float64 in iterations, "float32 has the range: the test needs a smaller epsilon"
    assert iterations.count(torch.float32) < iterations.count(torch.float64)
    subsets = torch.cat([shared.expand(28, -1), every[0][:, None]], 1)
    exact = transport.solve(torch.zeros(28, dtype=torch.long), subsets).cost
    torch.testing.assert_close(found[0].double(), exact, rtol=1e-5, atol=0)


def test_distances_are_squared_euclidean() -> None:
    points = features(9, 12)
    torch.testing.assert_close(squared_distances(points), torch.cdist(points, points).square())

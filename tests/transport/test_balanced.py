"""Balanced transport equals a solver's values and gradients; problems of a batch do not touch each other."""

import pytest
import torch
from torch.testing import assert_close

from condense.transport.balanced import costs, couple, transport, transport_unrolled
from golden_guidance import golden
from golden_students import near

EXACT = {"tolerance": 1e-13}


def points(case: str) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Current point [d], to be differentiated, all points [1, n, d] and real ones [1, m, d]."""
    values = golden("ot_l1")
    current = values[f"{case}.current"].flatten().requires_grad_()
    every = torch.cat([values[f"{case}.finished"].flatten(1), current[None]])
    return current, every[None], values[f"{case}.real"].flatten(1)[None]


def l1(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Costs as in the golden file: sums over coordinates."""
    return costs(x, y, "l1") * x.shape[-1]


@pytest.mark.parametrize("case", ["case0", "case1", "case2", "case3"])
def test_values_plans_and_gradients_equal_a_solvers(case):
    values = {name.removeprefix(f"{case}."): value for name, value in golden("ot_l1").items() if case in name}
    current, every, real = points(case)
    cost, epsilon = l1(every, real), values["epsilon"]
    near(cost[0].detach(), values["cost"], 1e-12)
    solved = couple(cost, epsilon, **EXACT)
    near(solved.plan[0].detach(), values["plan"], 1e-9)
    near((solved.plan * cost).sum((1, 2)).detach(), values["value_linear"], 1e-9)
    value, _ = transport(cost, epsilon, **EXACT)
    near(value.detach(), values["value"], 1e-9)
    shape = values["current"].shape
    (gradient,) = torch.autograd.grad(value.sum(), current, retain_graph=True)
    near(gradient.view(shape), values["grad_envelope"], 1e-9)
    linear, _ = transport_unrolled(cost, epsilon, **EXACT)
    near(linear.detach(), values["value_linear_unrolled"], 1e-9)
    (gradient,) = torch.autograd.grad(linear.sum(), current, retain_graph=True)
    near(gradient.view(shape), values["grad_linear_unrolled"], 1e-9)
    own, theirs = (transport(l1(x, x), epsilon, **EXACT)[0] for x in (every, real))
    debiased = value - own / 2 - theirs / 2
    near(debiased.detach(), values["value_debiased"], 1e-9)
    (gradient,) = torch.autograd.grad(debiased.sum(), current)
    near(gradient.view(shape), values["grad_debiased"], 1e-9)


@pytest.mark.parametrize("case", ["case0", "case1"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_few_iterations_on_the_sphere_equal_those_of_dmgd(case, dtype):
    values = {key: value for key, value in golden("dmgd_ot").items() if case in key}
    clean = values[f"{case}.x0"].clone().to(dtype).requires_grad_()
    every = torch.cat([values[f"{case}.memory"].to(dtype), clean]).flatten(1)
    masses = values[f"{case}.count"].to(dtype)
    cost = costs(every[None], values[f"{case}.support"].to(dtype)[None], "sphere")
    epsilon = torch.tensor([0.1], dtype=dtype)
    linear, _ = transport_unrolled(cost, epsilon, (masses / masses.sum())[None], 5, None)
    (gradient,) = torch.autograd.grad(linear.sum(), clean)
    # the values are of float32, whose rounding the kernel exp(-14) magnifies
    near(linear.detach().float(), values[f"{case}.loss"], 2e-7)
    near(gradient.float(), values[f"{case}.grad"], 3e-6)


def problems(dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    return torch.randn(7, 5, 30, dtype=dtype), torch.randn(7, 13, 30, dtype=dtype) + 0.3


@pytest.mark.parametrize("kind", ["l1", "squared", "sphere"])
def test_a_problem_has_the_same_bits_in_a_batch_of_any_size(kind):
    def solve(x, y):
        x = x.clone().requires_grad_()
        cost = costs(x, y, kind)
        value, potential = transport(cost, 0.03 * cost.detach().mean((1, 2)))
        return value.detach(), potential, *torch.autograd.grad(value.sum(), x)

    x, y = problems()
    whole = solve(x, y)
    for size in (1, 2, 3):
        parts = [solve(x[at : at + size], y[at : at + size]) for at in range(0, 7, size)]
        for found, expected in zip(map(torch.cat, zip(*parts, strict=True)), whole, strict=True):
            assert torch.equal(found, expected)


@pytest.mark.parametrize("kind", ["l1", "squared", "sphere"])
def test_the_gradient_of_the_minimum_is_its_difference_quotient(kind):
    x, y = problems()
    x.requires_grad_()
    epsilon = torch.full((7,), 0.1, dtype=torch.float64)

    def value(x):
        return transport(costs(x, y, kind), epsilon, **EXACT)[0]

    (gradient,) = torch.autograd.grad(value(x).sum(), x)
    direction = torch.randn_like(x)
    ahead, back = (value(x.detach() + sign * 1e-6 * direction) for sign in (1, -1))
    assert_close((gradient * direction).sum((1, 2)), (ahead - back) / 2e-6, rtol=1e-6, atol=1e-8)


def test_potentials_of_a_solve_start_the_next_where_it_ended():
    x, y = problems()
    cost = costs(x, y, "l1")
    epsilon = 0.05 * cost.mean((1, 2))
    solved = couple(cost, epsilon)
    again = couple(cost, 2 * epsilon, start=couple(cost, 2 * epsilon, **EXACT).potential, iterations=1)
    assert_close(again.plan, couple(cost, 2 * epsilon, **EXACT).plan, rtol=1e-9, atol=1e-12)
    other = couple(cost, epsilon, start=again.potential)
    assert_close(other.plan, solved.plan, rtol=0, atol=1e-6)


def test_columns_without_mass_are_shipped_nothing_and_do_no_harm():
    x, y = problems()
    cost = costs(x, y, "l1").requires_grad_()
    masses = torch.full((7, 13), 1 / 12, dtype=torch.float64)
    masses[:, 4] = 0
    epsilon = torch.full((7,), 0.1, dtype=torch.float64)
    solved = couple(cost, epsilon, masses, **EXACT)
    kept = [column for column in range(13) if column != 4]
    expected = couple(cost[..., kept], epsilon, **EXACT)
    assert (solved.plan[..., 4] == 0).all() and solved.potential.isfinite().all()
    assert_close(solved.plan[..., kept], expected.plan)
    assert_close(solved.value, expected.value)
    (gradient,) = torch.autograd.grad((solved.plan * cost).sum(), cost)
    assert gradient.isfinite().all()


def test_coincident_points_cost_nothing_and_have_a_gradient():
    x = torch.zeros(1, 3, 4, dtype=torch.float64, requires_grad=True)
    for kind in ("l1", "squared", "sphere"):
        value, _ = transport(costs(x, torch.zeros(1, 5, 4, dtype=torch.float64), kind), torch.ones(1))
        assert value.abs().item() < 1e-12
        assert torch.autograd.grad(value.sum(), x)[0].isfinite().all()

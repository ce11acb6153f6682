"""Guidance by transport: its gradient by definition, and what stands for the real latents of a class."""

import pytest
import torch
from torch.testing import assert_close

from condense.base.seeds import stream
from condense.config.guidance import TransportGuided
from condense.synthesis.transport_guidance import Problem, Support, k_means, support
from condense.transport.balanced import costs, transport
from golden_guidance import golden
from golden_students import near


def settings(**changes: object) -> TransportGuided:
    return TransportGuided(kind="otg", **changes)


def points(case: str) -> tuple[torch.Tensor, torch.Tensor, Support]:
    """Current point [1, d], finished ones [1, n, d] and the real ones of a golden case."""
    values = {name.removeprefix(f"{case}."): value for name, value in golden("ot_l1").items() if case in name}
    real = values["real"].flatten(1)
    masses = torch.full((len(real),), 1 / len(real), dtype=real.dtype)
    return values["current"].flatten()[None], values["finished"].flatten(1)[None], Support(real, masses)


@pytest.mark.parametrize("case", ["case0", "case1", "case2", "case3"])
@pytest.mark.parametrize("kind", ["envelope", "unrolled", "debiased"])
def test_gradients_equal_a_solvers_as_far_as_potentials_have_converged(case, kind):
    current, finished, real = points(case)
    mean = golden("ot_l1")[f"{case}.cost"].mean()
    share = golden("ot_l1")[f"{case}.epsilon"].item() / mean.item()
    problem = Problem([real], finished, settings(epsilon=share, transport_gradient=kind))
    name = {"unrolled": "linear_unrolled"}.get(kind, kind)
    expected = golden("ot_l1")[f"{case}.grad_{name}"].flatten()
    # costs are means over coordinates here, not sums; the marginals are right to 1e-6, and derivatives of
    # iterations converge later than they do (test_balanced compares both to 1e-9)
    near(problem.gradient(current)[0] * current.shape[1], expected, 1e-3 if kind == "unrolled" else 2e-5)
    assert (problem.potential is not None) and problem.potential.shape == (1, len(real.masses))


@pytest.mark.parametrize("case", ["case0", "case1"])
def test_the_preset_of_dmgd_gives_its_gradient(case):
    values = {name.removeprefix(f"{case}."): v for name, v in golden("dmgd_ot").items() if case in name}
    masses = values["count"] / values["count"].sum()
    preset = {"cost": "sphere", "epsilon": 0.1, "epsilon_unit": "absolute"}
    preset |= {"transport_gradient": "unrolled", "transport_iterations": 5}
    problem = Problem(
        [Support(values["support"], masses)], values["memory"].flatten(1)[None], settings(**preset)
    )
    for _ in range(2):  # the second step starts as the first did
        found = problem.gradient(values["x0"].flatten(1))
        near(found.view_as(values["grad"]), values["grad"], 3e-6)


def test_a_step_down_the_gradient_lowers_the_transport():
    current, finished, real = points("case2")
    problem = Problem([real], finished, settings())
    before, after = (
        transport(
            costs(torch.cat([finished, place[:, None]], 1), real.points[None], "l1"),
            torch.full((1,), 0.01, dtype=current.dtype),
        )[0].item()
        for place in (current, current - 0.05 * problem.gradient(current).sign())
    )
    assert after < before


def test_what_stands_for_real_latents_is_drawn_by_its_seed_or_all_of_them():
    torch.manual_seed(0)
    real = torch.randn(20, 3)
    drawn = [support(real, settings(support_size=5), stream("a", seed)).points for seed in (0, 0, 1)]
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])
    assert all(any(torch.equal(row, other) for other in real) for row in drawn[0])
    for chosen in (settings(support="all", support_size=5), settings(support_size=50)):
        found = support(real, chosen, stream("a", 0))
        assert torch.equal(found.points, real) and found.masses.tolist() == pytest.approx([1 / 20] * 20)


def test_centres_are_means_of_their_clusters_with_their_shares():
    torch.manual_seed(0)
    clusters = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]]).repeat_interleave(
        torch.tensor([5, 3, 2]), 0
    )
    real = clusters + 0.1 * torch.randn(10, 2)
    found = support(real, settings(support="k-means", support_size=3), stream("a", 1))
    assert found.masses.sum().item() == pytest.approx(1)
    nearest = torch.cdist(real, found.points).argmin(1)
    for number, (centre, mass) in enumerate(zip(found.points, found.masses, strict=True)):
        members = real[nearest == number]
        assert_close(centre, members.mean(0))
        assert mass.item() == pytest.approx(len(members) / 10)
    coincident, shares = k_means(torch.zeros(4, 2), 3, stream("a", 0))
    assert coincident.eq(0).all() and shares.sum() == 1 and shares.max() == 1

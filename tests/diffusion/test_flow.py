"""Flow matching equals the reference, and closed forms where there are some."""

import math

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from condense.diffusion import flow
from gaussian import law
from golden_networks import assert_golden, captions, conditioned, golden

MEAN, DEVIATION = 0.7, 0.4  # every pixel's distribution


def network():
    net, text = conditioned("sit"), captions()
    return lambda x, t: net(x, t, torch.arange(4), text)


def test_loss_equals_the_reference():
    values, _ = golden("gadc_models")
    loss = flow.losses(network(), values["x"], values["sit.time"], values["sit.noise"])
    assert loss.shape == (4,)
    assert_golden(loss.mean(0, keepdim=True), values["sit.denoising_loss"])


@pytest.mark.parametrize("name", ["euler", "heun"])
def test_trajectory_equals_the_reference(name):
    values, _ = golden("gadc_models")
    images = getattr(flow, name)(network(), values["x"], 20)
    assert images.dtype == torch.float32
    assert_golden(images, values[f"sit.{name}20"])


def velocity_of(x: Tensor, t: Tensor) -> Tensor:
    """Expected noise minus expected image given x: the perfect network for normal pixels."""
    t = t[:, None, None, None]
    centred = (x - (1 - t) * MEAN) / ((1 - t) ** 2 * DEVIATION**2 + t**2)
    return t * centred - (MEAN + (1 - t) * DEVIATION**2 * centred)


@pytest.mark.parametrize("sampler", [flow.euler, flow.heun])
@pytest.mark.parametrize("steps", [1, 3, 20])
def test_ode_samplers_take_any_noise_to_a_point(sampler, steps):
    """Where all data are one point the paths are straight, so that even one step is exact."""
    x = torch.randn(3, 1, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    images = sampler(lambda x, t: (x - MEAN) / t[:, None, None, None], x, steps)
    assert_close(images, torch.full_like(x, MEAN))


def test_the_velocity_of_a_point_has_no_loss():
    clean = torch.full((3, 1, 4, 4), MEAN)
    noise = torch.randn(3, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    t = torch.tensor([0.1, 0.5, 1.0])
    perfect = flow.losses(lambda x, t: (x - MEAN) / t[:, None, None, None], clean, t, noise)
    assert perfect.max() < 1e-10
    shifted = flow.losses(lambda x, t: (x - MEAN) / t[:, None, None, None] + 0.5, clean, t, noise)
    assert_close(shifted, torch.full((3,), 0.25))


@pytest.mark.parametrize(("name", "order"), [("euler", 1), ("heun", 2)])
def test_ode_samplers_converge_to_a_gaussian_at_their_order(name, order):
    """The flow takes a start of z deviations to the data's mean plus z of its deviations."""

    def error(steps: int) -> float:
        mean, variance = law(getattr(flow, name), velocity_of, steps, 0.0, 1.0)
        assert mean == pytest.approx(MEAN, abs=1e-10)
        return abs(DEVIATION - math.sqrt(variance))

    assert error(160) < 0.005
    assert error(40) / error(80) == pytest.approx(2**order, rel=0.05)
    assert error(80) / error(160) == pytest.approx(2**order, rel=0.05)


def reverse_sde(steps: int) -> float:
    """Variance of the samples by the textbook reverse SDE with the score, followed as a number."""
    times = [*torch.linspace(1, 0.04, steps, dtype=torch.float64).tolist(), 0.0]
    variance = 1.0
    for i, t in enumerate(times[:-1]):
        span, spread = t - times[i + 1], (1 - t) ** 2 * DEVIATION**2 + t**2
        velocity = (t - (1 - t) * DEVIATION**2) / spread  # of one unit of x
        score = -1 / spread
        drift = velocity - 0.5 * (2 * t) * score
        variance *= (1 - span * drift) ** 2
        variance += 2 * t * span if i + 1 < steps else 0
    return variance


@pytest.mark.parametrize("steps", [10, 250])
def test_euler_maruyama_follows_the_reverse_sde(steps):
    mean, variance = law(flow.euler_maruyama, velocity_of, steps, 0.0, 1.0)
    assert mean == pytest.approx(MEAN, abs=1e-10)
    assert variance == pytest.approx(reverse_sde(steps), rel=1e-10)
    assert math.sqrt(variance) == pytest.approx(DEVIATION, abs=0.01)


def test_state_is_float64_and_the_network_keeps_its_type():
    seen = []

    def predict(x: Tensor, t: Tensor) -> Tensor:
        seen.append((x.dtype, t.dtype))
        return torch.full_like(x, 1e-9)

    x = torch.ones(1, 1, 1, 1)
    for sampler in (flow.euler, flow.heun):
        assert sampler(predict, x, 100).dtype == torch.float32
    assert set(seen) == {(torch.float32, torch.float32)}
    drift = 1 - flow.euler(lambda x, t: torch.full_like(x, 1e-9), x, 1000, None)
    assert drift.item() == 0  # float32 cannot hold 1 - 1e-9
    drift = 1 - flow.euler(lambda x, t: torch.full_like(x, 2e-7), x, 1000, None)
    assert drift.item() == pytest.approx(2e-7, rel=0.2)  # float32 would lose or double the steps


def test_heun_takes_one_evaluation_less_than_two_per_step():
    calls = []
    flow.heun(lambda x, t: calls.append(t[0].item()) or x, torch.ones(1, 1, 1, 1), 4)
    assert calls == [1.0, 0.75, 0.75, 0.5, 0.5, 0.25, 0.25]


def test_drawn_times_are_uniform():
    times = flow.draw_times(100_000, torch.Generator().manual_seed(0))
    assert 0 <= times.min() <= times.max() < 1
    assert times.mean().item() == pytest.approx(0.5, abs=0.005)
    assert times.var().item() == pytest.approx(1 / 12, abs=0.002)

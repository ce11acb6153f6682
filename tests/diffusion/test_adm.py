"""ADM diffusion equals the reference, and closed forms where there are some."""

import math
from itertools import pairwise

import pytest
import torch
from torch import Tensor
from torch.distributions import Normal, kl_divergence
from torch.testing import assert_close

from condense.base.errors import InputError
from condense.diffusion import adm
from gaussian import law
from golden_networks import assert_golden, dit, golden

CUMULATIVE = (1 - torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)).cumprod(0)


def column(values: Tensor) -> Tensor:
    return values[:, None, None, None]


def test_losses_equal_the_reference():
    values, _ = golden("dit")
    network, t = dit(), values["t"]
    assert 0 in t  # the likelihood term is among them
    assert_golden(adm.diffuse(values["x0"], t, values["noise"]), values["x_t"])
    output = network(values["x_t"], t, values["y"])
    mse, bound = adm.loss_terms(output, values["x0"], t, values["noise"])
    assert_golden(mse, values["train.mse"])
    assert_golden(bound[t > 0], values["train.vb"][t > 0])
    # at time 0 a rounding of the image is divided by a deviation of 0.01
    assert_golden(bound, values["train.vb"], tolerance=4e-6)
    total = adm.losses(lambda x, t: network(x, t, values["y"]), values["x0"], t, values["noise"])
    assert_golden(total[t > 0], values["train.loss"][t > 0])
    assert_golden(total, values["train.loss"], tolerance=4e-6)


@pytest.mark.parametrize("steps", [50, 250])
def test_posterior_of_the_respaced_chain_equals_the_reference(steps):
    values, _ = golden("dit")
    times, x = values[f"ddpm{steps}.original_timestep"], values["x"]
    predicted, position = dit()(x, times, values["y"]).chunk(2, 1)
    for image, i in enumerate(values[f"ddpm{steps}.step"]):
        step = adm.chain(steps)[i]
        own = x[image], predicted[image]
        assert step.time == times[image]
        assert_golden(step.mean(*own), values[f"ddpm{steps}.mean"][image])
        scale = math.sqrt(
            step.cumulative
        )  # at the noisy end the estimate is x times 160: compare in units of x
        assert_golden(step.clean(*own) * scale, values[f"ddpm{steps}.pred_xstart"][image] * scale)
        variance = values[f"ddpm{steps}.variance"][image]
        assert_golden(step.log_variance(position[image]), variance.double().log())


@pytest.mark.parametrize("steps", [50, 250])
def test_a_ddim_step_equals_the_reference(steps, monkeypatch):
    values, _ = golden("dit")
    network, whole = dit(), adm.chain(steps)
    for image, i in enumerate(values[f"ddpm{steps}.step"]):
        monkeypatch.setattr(adm, "chain", lambda _, i=i: (whole[i],))
        label = values["y"][image : image + 1]
        x = adm.ddim(lambda x, t, label=label: network(x, t, label), values["x"][image : image + 1], 1)
        assert_golden(x[0], values[f"ddim{steps}.sample"][image])


def test_a_ddim_trajectory_equals_the_reference():
    values, _ = golden("dit")
    network = dit()
    x = adm.ddim(lambda x, t: network(x, t, values["y"]), values["x"], 50)
    assert_golden(x, values["ddim50.loop"], tolerance=2e-6)  # roundings of 50 steps in float32


@pytest.mark.parametrize("t", [1, 2, 17, 500, 999])
def test_bound_is_the_divergence_of_posterior_and_model(t):
    """Textbook form: two normals for x_{t-1}, one around the true image and one around the estimate."""
    generator = torch.Generator().manual_seed(t)
    clean, noise, predicted, position = torch.randn(4, 2, 3, 4, 4, dtype=torch.float64, generator=generator)
    now, before = CUMULATIVE[t], CUMULATIVE[t - 1]
    beta = 1 - now / before
    x = now.sqrt() * clean + (1 - now).sqrt() * noise
    estimate = (x - (1 - now).sqrt() * predicted) / now.sqrt()

    def mean(image: Tensor) -> Tensor:
        return (before.sqrt() * beta * image + (now / before).sqrt() * (1 - before) * x) / (1 - now)

    small = beta * (1 - before) / (1 - now)
    share = (position + 1) / 2
    deviation = (0.5 * (share * beta.log() + (1 - share) * small.log())).exp()
    expected = kl_divergence(Normal(mean(clean), small.sqrt()), Normal(mean(estimate), deviation))
    times = torch.full((2,), t)
    _, bound = adm.loss_terms(torch.cat([predicted, position], 1), clean, times, noise)
    # float64 throughout, but the textbook form cancels where 1 - beta is near one
    assert_close(bound, expected.mean((1, 2, 3)) / math.log(2), rtol=1e-8, atol=1e-10)


def test_first_term_of_the_bound_equals_quadrature():
    """At time 0 the bound is the code length of the image's bin, here by integrating the normal's density."""
    deviation = torch.linspace(-0.01, 0.01, 21, dtype=torch.float64)
    x = torch.linspace(-0.9, 0.9, 21, dtype=torch.float64)
    for scale in (0.003, 0.01, 0.05):
        places = torch.linspace(-1, 1, 4001, dtype=torch.float64) / 255
        density = Normal(0.0, scale).log_prob(deviation[:, None] + places).exp()
        mass = torch.trapezoid(density, places, dim=1)
        got = adm.discretised_log_likelihood(x, deviation, torch.tensor(scale).double().log())
        assert_close(got.exp(), mass, rtol=0, atol=6e-4)  # twice the error of the tanh approximation


@pytest.mark.parametrize("scale", [0.001, 0.1, 2.0])
def test_bins_of_the_likelihood_cover_the_line(scale):
    bins = torch.linspace(-1, 1, 256, dtype=torch.float64)
    likelihood = adm.discretised_log_likelihood(bins, bins - 0.3, torch.tensor(scale).double().log())
    assert likelihood.exp().sum().item() == pytest.approx(1, abs=1e-9)


def test_bound_at_time_zero_is_the_likelihood_around_the_estimate():
    generator = torch.Generator().manual_seed(0)
    clean, noise = torch.rand(2, 2, 1, 8, 8, dtype=torch.float64, generator=generator) * 2 - 1
    predicted, position = noise + 0.1, torch.full_like(noise, 0.5)
    t, now = torch.zeros(2, dtype=torch.long), CUMULATIVE[0]
    x = adm.diffuse(clean, t, noise)
    estimate = (x - (1 - now).sqrt() * predicted) / now.sqrt()
    high = 1 - now
    # the first step's posterior has no variance: the second's is taken
    low = (1 - CUMULATIVE[1] / now) * (1 - now) / (1 - CUMULATIVE[1])
    log_scale = 0.5 * (0.75 * high.log() + 0.25 * low.log())
    expected = -adm.discretised_log_likelihood(clean, clean - estimate, log_scale)
    _, bound = adm.loss_terms(torch.cat([predicted, position], 1), clean, t, noise)
    assert_close(bound, expected.mean((1, 2, 3)) / math.log(2), rtol=1e-9, atol=0)


def test_bound_trains_the_variances_alone_and_the_error_the_noise_alone():
    output = torch.randn(3, 4, 4, 4, generator=torch.Generator().manual_seed(0), requires_grad=True)
    t = torch.tensor([0, 1, 700])
    mse, bound = adm.loss_terms(output, torch.zeros(3, 2, 4, 4), t, torch.zeros(3, 2, 4, 4))
    (of_bound,) = torch.autograd.grad(bound.sum(), output, retain_graph=True)
    (of_mse,) = torch.autograd.grad(mse.sum(), output)
    assert of_bound[:, 2:].abs().amax((1, 2, 3)).min() > 0
    assert not of_bound[:, :2].any()
    assert of_mse[:, :2].all()
    assert not of_mse[:, 2:].any()


def test_an_image_does_not_change_the_loss_of_another():
    generator = torch.Generator().manual_seed(0)
    output, clean, noise = (torch.randn(3, c, 4, 4, generator=generator) for c in (4, 2, 2))
    t = torch.tensor([0, 1, 700])
    together = sum(adm.loss_terms(output, clean, t, noise))
    alone = [sum(adm.loss_terms(*(v[i : i + 1] for v in (output, clean, t, noise)))) for i in range(3)]
    assert_close(torch.cat(alone), together)


def running_sum(steps: int) -> list[int]:
    """The reference's recipe for one section of 1000 times."""
    position, times = 0.0, []
    for _ in range(steps):
        times.append(round(position))
        position += 999 / (steps - 1)
    return times


@pytest.mark.parametrize("steps", [2, 21, 50, 250, 999, 1000])
def test_respaced_times_are_the_reference_s(steps):
    times = adm.spaced_times(steps)
    assert times == running_sum(steps)
    assert (len(times), times[0], times[-1]) == (steps, 0, 999)
    gaps = {later - earlier for earlier, later in pairwise(times)}
    assert max(gaps) - min(gaps) <= 1


def test_a_chain_keeps_the_noise_levels_of_its_times():
    whole, respaced = adm.chain(1000), adm.chain(50)
    assert_close(torch.tensor([step.cumulative for step in whole]).double(), CUMULATIVE, rtol=1e-6, atol=0)
    for step in respaced:
        assert step.cumulative == whole[step.time].cumulative
    assert math.prod(1 - step.beta for step in respaced) == pytest.approx(CUMULATIVE[-1].item(), rel=1e-9)


@pytest.mark.parametrize("steps", [0, 1, 1001])
def test_a_chain_of_impossible_length_is_refused(steps):
    with pytest.raises(InputError, match="2 to 1000"):
        adm.chain(steps)


MEAN, DEVIATION = 0.7, 0.4  # every pixel's distribution in the tests below
START = {  # its law at the last time
    "mean": math.sqrt(CUMULATIVE[-1]) * MEAN,
    "deviation": math.sqrt(CUMULATIVE[-1] * DEVIATION**2 + 1 - CUMULATIVE[-1]),
}


def noise_of(x: Tensor, t: Tensor, deviation: float = DEVIATION) -> Tensor:
    """Expected noise given x: the perfect network for normal pixels."""
    c = column(CUMULATIVE[t])
    return (1 - c).sqrt() * (x - c.sqrt() * MEAN) / (c * deviation**2 + 1 - c)


def perfect(steps: int, deviation: float = DEVIATION):
    """Perfect network: expected noise, and the exact variance of the next x as a position in its range."""
    times = running_sum(steps)

    def predict(x: Tensor, t: Tensor) -> Tensor:
        i = times.index(t[0])
        now, before = CUMULATIVE[times[i]], CUMULATIVE[times[i - 1]] if i else torch.tensor(1.0)
        beta, variance = 1 - now / before, before * deviation**2 + 1 - before
        exact = variance * beta / (now * deviation**2 + 1 - now)
        low = beta * (1 - before) / (1 - now)
        position = 2 * (exact.log() - low.log()) / (beta.log() - low.log()) - 1 if i else torch.tensor(0.0)
        assert -1 <= position <= 1
        return torch.cat([noise_of(x, t, deviation), torch.full_like(x, position.item())], 1)

    return predict


@pytest.mark.parametrize("steps", [2, 10, 250, 1000])
def test_ancestral_sampling_recovers_a_gaussian_exactly(steps):
    """With exact means and variances any number of steps gives the data's law, but for the last variance.

    No noise replaces that one.
    """
    mean, variance = law(adm.ddpm, perfect(steps), steps, **START)
    first = CUMULATIVE[0].item()
    lost = DEVIATION**2 * (1 - first) / (first * DEVIATION**2 + 1 - first)
    assert mean == pytest.approx(MEAN, abs=1e-10)
    assert variance == pytest.approx(DEVIATION**2 - lost, abs=1e-10)
    assert lost < 1e-4


def test_ddim_converges_to_a_gaussian_at_first_order():
    """The exact map of the probability flow takes deviations of the start to deviations of the data."""

    def error(steps: int) -> float:
        mean, variance = law(adm.ddim, noise_of, steps, **START)
        assert mean == pytest.approx(MEAN, abs=1e-10)
        return DEVIATION - math.sqrt(variance)

    assert 0 < error(100) < 0.02
    assert error(20) / error(40) == pytest.approx(2, rel=0.1)
    assert error(50) / error(100) == pytest.approx(2, rel=0.1)


@pytest.mark.parametrize("steps", [2, 7, 50])
def test_both_samplers_take_any_noise_to_a_point(steps):
    """Where all data are one point, the network knows the noise, and every sampler ends at the point."""
    x = torch.randn(3, 1, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def predict(x: Tensor, t: Tensor) -> Tensor:
        return torch.cat([noise_of(x, t, 0.0), torch.zeros_like(x)], 1)

    expected = torch.full_like(x, MEAN)
    assert_close(adm.ddim(predict, x, steps), expected)
    assert_close(adm.ddpm(predict, x, steps, lambda i: torch.randn_like(x)), expected)


def test_drawn_times_are_all_times_alike():
    times = adm.draw_times(200_000, torch.Generator().manual_seed(0))
    assert times.dtype == torch.int64
    counts = times.bincount(minlength=1000)
    assert counts.shape == (1000,)
    assert 110 < counts.min() <= counts.max() < 300  # 200 each, standard deviation 14

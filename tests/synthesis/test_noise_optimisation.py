"""Losses, single steps and descents of the noise equal the release's; the fast mode goes the same way."""

import math

import pytest
import torch
from torch.testing import assert_close

from condense.base.seeds import stream
from condense.synthesis.noise_optimisation import (
    AlignmentLoss,
    Descent,
    TemplateLoss,
    absn2,
    nearest_cosines,
    norm_loss,
    optimise_noise,
    statistics,
)
from condense.synthesis.references import run_means, with_noise
from golden_concentration import projector, read
from golden_students import near

WEIGHTS = (10.0, 1e-3, 1e-3)  # of the release without real data


def gradient(loss, x: torch.Tensor) -> torch.Tensor:
    x = x.clone().requires_grad_()
    return torch.autograd.grad(loss(x).sum(), x)[0]


@pytest.mark.parametrize(("bits", "precision"), [("f64", 1e-12), ("f32", 5e-7)])
def test_the_term_of_the_norm_equals_the_releases(bits, precision):
    values, settings = read("losses")
    x, noise = values[f"absn2.x.{bits}"], values[f"real.e.{bits}"][None]
    assert_close(absn2(x).sum()[None], values[f"absn2.sum.{bits}"], rtol=precision, atol=0)
    assert_close(gradient(absn2, x), values[f"absn2.grad.{bits}"], rtol=precision, atol=precision)
    # near the sphere the loss is a difference of norms
    assert_close(norm_loss(noise), values[f"real.loss.{bits}"], rtol=10 * precision, atol=10 * precision)
    near(gradient(norm_loss, noise)[0], values[f"real.grad.{bits}"], 10 * precision)
    for count in (1, 2, 3, 10, 50, 200):
        descent = Descent(count, settings["lr"], settings["momentum"])
        moved = optimise_noise(torch.zeros(()), torch.zeros(()), noise, None, descent)
        norms = moved[0].flatten(1).norm(dim=1)
        assert_close(norms, values[f"real.norm_after_{count}.{bits}"], rtol=10 * precision, atol=0)


def step_a() -> tuple[dict, AlignmentLoss]:
    """A step with real data in float64 and its loss, from real latents and noises on."""
    values, settings = read("align_a")
    diffused = with_noise(values["latents"], values["draws"], settings["alpha_bar_at_step"])
    assert len(diffused) == settings["diffused"]
    network = projector(torch.float64)
    found = run_means(network.pooled(diffused[None])[0], settings["samples"])
    mean, deviation, targets = found
    for name, part in (("feature_mean", mean), ("feature_std", deviation), ("targets", targets.T)):
        near(part, values[name], 1e-8)  # the release rounds the shares of image and noise to float32
    loss = AlignmentLoss(
        network, mean[None, None], deviation[None, None], targets[None], settings["lambda_align"]
    )
    return values, loss


def placed(values: dict) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Mean, deviation and noise of a golden step."""
    return values["mean"][None], (0.5 * values["log_variance"]).exp()[None], values["e"][None]


def test_a_step_with_real_data_equals_the_releases():
    values, loss = step_a()
    mean, deviation, noise = placed(values)
    terms = torch.stack([loss(mean + deviation * noise), loss.distance(mean + deviation * noise)])[:, 0]
    total, real, distance = values["losses"][0]
    assert_close(terms, torch.stack([total - real, distance]), rtol=1e-8, atol=0)
    full = gradient(lambda free: norm_loss(free) + loss(mean + deviation * free), noise)
    near(full[0], values["grad_total"], 1e-8)
    near(gradient(norm_loss, noise)[0], values["grad_real"], 1e-9)
    for count in (1, 2, 5, 20, 200):
        moved = optimise_noise(mean, deviation, noise, loss, Descent(count))
        near(moved[0], values[f"e_after_{count}"], 1e-8)
    near((mean + deviation * moved)[0], values["z_next"], 1e-8)


def test_a_step_in_single_precision_equals_the_releases():
    values, settings = read("align_c")
    mean, deviation, targets = run_means(projector().pooled(values["diffused"][None])[0], settings["samples"])
    near(targets.T, values["targets"], 2e-6)
    weight = settings["lambda_align"]
    loss = AlignmentLoss(projector(), mean[None, None], deviation[None, None], targets[None], weight)
    for count, precision in ((20, 1e-6), (200, 1e-3)):
        moved = optimise_noise(*placed(values), loss, Descent(count))
        near(moved[0], values[f"e_after_{count}"], precision)


def test_a_step_without_real_data_equals_the_releases():
    values, settings = read("datafree_step")
    weights = (settings["lambda_maxoc"], settings["lambda_stats"], settings["lambda_stats"])
    network = projector(torch.float64)
    statistics_ = (values["template_mean"][None], values["template_std"][None])
    loss = TemplateLoss(network, *statistics_, weights)
    mean, deviation, noise = placed(values)
    found = torch.stack([norm_loss(noise), *loss.terms(mean + deviation * noise)])[:, 0]
    assert_close(found, values["losses"][0, 1:], rtol=1e-9, atol=0)
    parts = {"real": (0, 0, 0), "maxoc": (10, 0, 0), "stats": (0, 1e-3, 1e-3), "total": WEIGHTS}
    for name, chosen in parts.items():
        part = TemplateLoss(network, *statistics_, chosen)
        found = gradient(lambda free, part=part: norm_loss(free) + part(mean + deviation * free), noise)
        near(found[0], values[f"grad.{name}"], 1e-9)
    for count in (1, 5, 50):
        near(
            optimise_noise(mean, deviation, noise, loss, Descent(count))[0], values[f"e_after_{count}"], 1e-8
        )


def test_classes_together_move_as_they_do_apart():
    values, loss = step_a()
    mean, deviation, noise = placed(values)
    twice = [torch.cat([x, x.flip(1) * 0.9]) for x in (mean, deviation, noise)]
    both = AlignmentLoss(
        loss.projector, *(x.repeat(2, 1, 1) for x in (loss.mean, loss.deviation, loss.targets)), loss.weight
    )
    for mode in ("released", "fast"):
        moved = optimise_noise(*twice, both, Descent(10, mode=mode))
        apart = [
            optimise_noise(*(x[k : k + 1] for x in twice), loss, Descent(10, mode=mode)) for k in range(2)
        ]
        assert_close(moved, torch.cat(apart), rtol=0, atol=1e-9)


@pytest.mark.parametrize("passes", [25, 40])
def test_the_fast_mode_goes_where_the_released_one_does(passes):
    values, loss = step_a()
    mean, deviation, noise = placed(values)
    slow = optimise_noise(mean, deviation, noise, loss, Descent())
    fast = optimise_noise(mean, deviation, noise, loss, Descent(mode="fast", passes=passes))
    assert_close(fast.flatten(2).norm(dim=2), torch.full((1, 4), 32.0, dtype=torch.float64))
    one, other = (fast - noise).flatten(), (slow - noise).flatten()
    assert (one @ other / one.norm() / other.norm()).item() > 0.95
    distances = [loss.distance(mean + deviation * moved).item() for moved in (fast, slow)]
    assert distances[0] == pytest.approx(distances[1], rel=0.1)


def test_the_fast_mode_is_the_same_iteration_where_the_gradient_is_constant():
    noise = torch.randn(1, 2, 1, 4, 4, generator=stream("test"), dtype=torch.float64)
    slope = torch.randn(noise.shape, generator=stream("slope"), dtype=torch.float64)
    moved = [
        optimise_noise(
            torch.zeros(()),
            torch.ones(()),
            noise,
            lambda x: (x * slope).sum()[None],
            Descent(200, 0.01, keep_norm=False, mode=mode, passes=8),
        )
        for mode in ("released", "fast")
    ]
    assert_close(*moved, rtol=1e-9, atol=1e-9)


def test_terms_that_are_off_move_nothing():
    noise = torch.randn(1, 2, 1, 4, 4, generator=stream("test"))
    zero = torch.zeros(())
    assert (optimise_noise(zero, zero, noise, None, Descent(keep_norm=False)) == noise).all()
    on_sphere = optimise_noise(zero, zero, noise, None, Descent(mode="fast"))
    assert_close(on_sphere.flatten(2).norm(dim=2), torch.full((1, 2), 4.0))


def test_one_sample_has_no_other_to_be_near_to_and_finite_gradients():
    features = torch.randn(2, 1, 5, requires_grad=True)
    assert (nearest_cosines(features) == 0).all()
    values, _ = read("datafree_step")
    network = projector()
    like = values["template_mean"][None].float()
    loss = TemplateLoss(network, like, torch.ones_like(like), WEIGHTS)
    x = torch.randn(1, 1, 4, 8, 8, generator=stream("test"))  # one position: no deviation either
    assert gradient(loss, x).isfinite().all()


def test_a_sample_is_nearest_to_another_one():
    unit = torch.tensor([[[1.0, 0], [math.cos(1), math.sin(1)], [-1, 0]]])
    expected = 2 * math.cos(1) + max(-1, -math.cos(1))
    assert nearest_cosines(3 * unit).item() == pytest.approx(expected, abs=1e-6)


def test_statistics_are_those_over_samples_and_positions():
    features = torch.randn(2, 5, 3, 2, 2, generator=stream("test"), dtype=torch.float64)
    mean, deviation = statistics(features)
    flat = features.transpose(1, 2).flatten(2)
    assert_close(mean, flat.mean(2))
    assert_close(deviation, flat.std(2, correction=0))


@pytest.mark.parametrize("mode", ["released", "fast"])
def test_norms_stay_with_their_term_and_leave_without(mode):
    noise = torch.randn(1, 3, 1, 8, 8, generator=stream("test"))
    norms = [
        optimise_noise(
            torch.zeros(()),
            torch.ones(()),
            noise,
            lambda x: -0.01 * x.square().sum((1, 2, 3, 4)),
            Descent(keep_norm=keep, mode=mode),
        )
        .flatten(2)
        .norm(dim=2)
        for keep in (True, False)
    ]
    assert ((norms[0] / 8 - 1).abs() < 0.05).all()
    assert ((norms[1] / 8 - 1).abs() > 0.1).all()

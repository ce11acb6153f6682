"""All samplers keep one contract; guidance equals the reference."""

import math

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from condense.base.errors import InputError
from condense.config.objectives import OBJECTIVES
from condense.diffusion import adm
from condense.diffusion.embedders import Captions
from condense.diffusion.samplers import SAMPLERS, dpm_solver, guide
from gaussian import law
from golden_networks import assert_golden, captions, conditioned, dit, golden, plain, small

ADM = ("ddpm", "ddim", "dpm-solver")
DRAWING = {"ddpm": [4, 3, 2, 1], "euler-maruyama": [0, 1, 2, 3]}  # steps that draw noise, of five


def network_for(name: str):
    return small(learn_sigma=name in ADM).eval().requires_grad_(False)


def draw(name: str, ids: list[int], steps: int = 5) -> tuple[Tensor, list[int]]:
    """Images of some ids, each from its own random stream, and the steps that drew noise."""
    network, drawn = network_for(name), []
    streams = [torch.Generator().manual_seed(i) for i in ids]

    def noise(i: int) -> Tensor:
        drawn.append(i)
        return torch.stack([torch.randn(4, 8, 8, generator=own) for own in streams])

    start = torch.stack([torch.randn(4, 8, 8, generator=own) for own in streams])
    predict = guide(network, torch.tensor([i % 5 for i in ids]), 1.5)
    return SAMPLERS[name](predict, start, steps, noise), drawn


@pytest.mark.parametrize("name", SAMPLERS)
def test_an_image_does_not_depend_on_its_batch(name):
    together, drawn = draw(name, [3, 11, 4])
    assert drawn == DRAWING.get(name, [])
    assert together.shape == (3, 4, 8, 8)
    assert together.dtype == torch.float32
    assert together.isfinite().all()
    for i, image in zip([3, 11, 4], together, strict=True):
        assert_close(draw(name, [i])[0][0], image, rtol=1e-4, atol=1e-5 * image.abs().max().item())


@pytest.mark.parametrize("name", SAMPLERS)
def test_labels_and_steps_count(name):
    base = draw(name, [3])[0]
    more = draw(name, [3], steps=8)[0]
    assert (base - more).abs().max() > 1e-3
    network, start = network_for(name), torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    images = [
        SAMPLERS[name](guide(network, torch.tensor([label]), 1), start, 5, lambda i: torch.zeros_like(start))
        for label in (0, 1)
    ]
    assert (images[0] - images[1]).abs().max() > 1e-3


def test_dpm_solver_recovers_a_gaussian_better_than_ddim():
    cumulative = (1 - torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)).cumprod(0)
    mean, deviation, last = 0.7, 0.4, cumulative[-1].item()

    def predict(x: Tensor, t: Tensor) -> Tensor:
        c = cumulative[t][:, None, None, None]
        return (1 - c).sqrt() * (x - c.sqrt() * mean) / (c * deviation**2 + 1 - c)

    start = math.sqrt(last) * mean, math.sqrt(last * deviation**2 + 1 - last)
    errors = {}
    for name in ("dpm-solver", "ddim"):
        got, variance = law(SAMPLERS[name], predict, 40, *start)
        assert got == pytest.approx(mean, abs=1e-5)
        errors[name] = abs(math.sqrt(variance) - deviation)
    assert errors["dpm-solver"] < 0.01
    assert errors["dpm-solver"] < errors["ddim"] / 4


@pytest.mark.parametrize("steps", [0, 1000])
def test_dpm_solver_refuses_steps_that_it_cannot_space(steps):
    with pytest.raises(InputError, match="1 to 999"):
        SAMPLERS["dpm-solver"](lambda x, t: x, torch.zeros(1, 1, 2, 2), steps, None)


def test_guidance_of_three_channels_equals_the_reference():
    values, _ = golden("dit")
    guided = guide(dit(), values["y"], 1.5, channels=3)(values["x"], values["t"])
    assert_golden(guided, values["output_cfg_1.5"])


def test_guidance_extrapolates_the_noise_and_leaves_the_variances():
    network = small(learn_sigma=True).eval()
    x, t, labels = torch.randn(3, 4, 8, 8), torch.tensor([0, 500, 999]), torch.tensor([0, 2, 4])
    given, null = network(x, t, labels), network(x, t, torch.full((3,), 5))
    guided = guide(network, labels, 4.0)(x, t)
    assert_close(guided[:, :4], (null + 4 * (given - null))[:, :4], rtol=1e-4, atol=1e-5)
    assert_close(guided[:, 4:], given[:, 4:])
    assert_close(guide(network, labels, 4.0, channels=9)(x, t), guided)


def test_guidance_of_one_is_the_network_itself():
    network, calls = small().eval(), []
    x, t, labels = torch.randn(3, 4, 8, 8), torch.rand(3), torch.tensor([0, 2, 4])
    network.register_forward_hook(lambda module, inputs, output: calls.append(len(inputs[0])))
    assert torch.equal(guide(network, labels, 1)(x, t), network(x, t, labels))
    assert calls == [3, 3]


def test_the_null_caption_is_zero():
    values, _ = golden("gadc_models")
    network, labels = conditioned("sit"), torch.arange(4)
    x, t = values["x"], values["sit.time"]
    given = plain("sit", x, t, labels, captions())
    null = plain("sit", x, t, torch.full((4,), 4), torch.zeros(4, 16, 2048))
    guided = guide(network, labels, 2.0, text=captions())(x, t)
    assert_golden(guided, 2 * given - null)
    wordless = small(captions=Captions(16, 8)).eval()
    assert (given - null).abs().max() > 1e-2
    assert guide(wordless, labels, 1, text=torch.zeros(4, 16, 8))(x, t).shape == x.shape


def test_names_of_the_samplers_are_those_of_the_settings():
    from typing import get_args, get_type_hints

    from condense.config.settings import Sampling

    assert set(get_args(get_type_hints(Sampling)["sampler"])) <= set(SAMPLERS)


def test_noise_levels_of_the_solver_are_the_chain_s():
    from diffusers import DPMSolverMultistepScheduler

    levels = DPMSolverMultistepScheduler(adm.TIMES, 1e-4, 0.02, "linear").alphas_cumprod
    ours = torch.tensor([step.cumulative for step in adm.chain(adm.TIMES)])
    assert_close(levels, ours, rtol=1e-4, atol=0)


@pytest.mark.parametrize("sampler", ["ddpm", "ddim"])
def test_a_config_is_told_the_steps_that_a_chain_has(sampler):
    low, high = OBJECTIVES["adm"].steps[sampler]
    for steps in (low, high):
        assert len(adm.chain(steps)) == steps
    for steps in (low - 1, high + 1):
        with pytest.raises(InputError, match="a diffusion chain has"):
            adm.chain(steps)


def test_a_config_is_told_the_steps_that_the_solver_takes():
    low, high = OBJECTIVES["adm"].steps["dpm-solver"]
    for steps in (low - 1, high + 1):
        with pytest.raises(InputError, match=f"takes {low} to {high} steps"):
            dpm_solver(None, torch.zeros(1), steps)

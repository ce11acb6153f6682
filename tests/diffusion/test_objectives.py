"""What the config knows of the objectives and what the formulas are belong together, row by row."""

import re
from typing import get_args, get_type_hints

import pytest
import torch

from condense.base.errors import InputError
from condense.config.objectives import OBJECTIVES, misfit
from condense.config.settings import Sampling
from condense.config.study import Generator
from condense.diffusion.objectives import PROCESSES, process_of
from condense.diffusion.samplers import SAMPLERS
from golden_networks import small
from sources import ROOT


def test_facts_formulas_samplers_and_settings_have_the_same_names():
    assert list(OBJECTIVES) == list(PROCESSES)
    assert list(OBJECTIVES) == [*get_args(Generator.model_fields["objective"].annotation)]
    drawn = [sampler for facts in OBJECTIVES.values() for sampler in facts.samplers]
    assert sorted(drawn) == sorted(SAMPLERS) == sorted(get_args(get_type_hints(Sampling)["sampler"]))


@pytest.mark.parametrize("name", OBJECTIVES)
def test_formulas_and_samplers_fit_the_network_of_the_facts(name):
    network = small(learn_sigma=OBJECTIVES[name].learned_variance)
    process, random = process_of(name), torch.Generator().manual_seed(0)
    clean, noise = torch.randn(2, 8, 4, 8, 8, generator=random)
    times = process.draw_times(8, random)

    def predict(x, t):
        return network(x, t, torch.zeros(len(x), dtype=torch.long))

    losses, errors = (
        process.losses(predict, clean, times, noise),
        process.errors(predict, clean, times, noise),
    )
    assert losses.shape == errors.shape == (8,)
    assert (losses >= errors).all()  # a bound on the variances comes on top
    for sampler in OBJECTIVES[name].samplers:
        assert SAMPLERS[sampler](predict, noise, 3, lambda i: noise).shape == clean.shape


@pytest.mark.parametrize("name", OBJECTIVES)
def test_times_go_from_the_image_to_the_noise(name):
    process, ones = process_of(name), torch.ones(1, 1, 1, 1)
    at = [torch.full((1,), process.time_at(share)) for share in (0.0, 0.5, 0.999)]
    assert at[0].dtype == process.draw_times(1, torch.Generator()).dtype
    images = [process.diffuse(ones, t, 0 * ones).item() for t in at]
    noises = [process.diffuse(0 * ones, t, ones).item() for t in at]
    assert images[0] > 0.99 > images[1] > 0.1 > images[2]
    assert noises[0] < 0.1 < noises[1] < 0.99 < noises[2]


def test_an_unknown_objective_is_one_sentence():
    with pytest.raises(InputError, match="objective 'fow' is none of adm, flow"):
        process_of("fow")


def test_the_documentation_lists_each_objective_with_its_samplers():
    text = (ROOT / "docs/training.md").read_text()
    rows = dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", text, re.MULTILINE))
    assert {name: tuple(re.findall(r"`([\w-]+)`", row)) for name, row in rows.items()} == {
        name: facts.samplers for name, facts in OBJECTIVES.items()
    }
    for name, facts in OBJECTIVES.items():
        assert f"`{name}` ({facts.family}" in text


def test_a_sampler_of_another_objective_is_refused_with_those_that_fit():
    assert (
        misfit("flow", "ddpm") == "ddpm does not fit objective flow; use one of euler, heun, euler-maruyama"
    )
    assert misfit("flow", "heun") == misfit("adm", "ddim") == ""

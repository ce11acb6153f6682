"""Steps towards image and noise equal the reference's, and each other's inverses."""

from itertools import pairwise

import torch
from torch.testing import assert_close

from condense.diffusion import adm
from condense.diffusion.inversion import estimate_clean, invert, step_to_image, step_to_noise
from golden_finetuning import read, scaled
from golden_networks import assert_golden

TIMES = torch.tensor([0, 1, 37, 500, 998, 999])


def draws(*names: str) -> list[torch.Tensor]:
    torch.manual_seed(0)
    return [torch.randn(6, 4, 8, 8, dtype=torch.float64) for _ in names]


def test_inversions_equal_the_reference():
    values, network, times = read("dit_difffit"), scaled().requires_grad_(False), adm.spaced_times(10)
    for clip in (False, True):
        x = values[f"inversion.clip{clip:d}.x0"]
        for step, time in enumerate(times):
            t, following = torch.full((2,), time), torch.full((2,), [*times, 1000][step + 1])
            predicted = network(x, t, torch.tensor([0, 3]))[:, :4]
            x = step_to_noise(x, predicted, t, following, clip)
            # the reference takes at time 0 the noise from the difference of nearly equal numbers
            assert_golden(x, values[f"inversion.clip{clip:d}.trajectory"][step], tolerance=2e-6)


def test_what_was_diffused_is_estimated_again():
    clean, noise = draws("clean", "noise")
    noisy = adm.diffuse(clean, TIMES, noise)
    assert_close(estimate_clean(noisy, noise, TIMES), clean, rtol=0, atol=1e-11)


def test_a_step_to_the_image_is_the_chains():
    x, predicted = draws("x", "predicted")
    steps = [adm.chain(adm.TIMES)[t] for t in TIMES.tolist()]
    expected = torch.stack([step.mean(x[i], predicted[i]) for i, step in enumerate(steps)])
    assert_close(step_to_image(x, predicted, TIMES), expected, rtol=1e-10, atol=1e-12)


def test_an_image_stops_at_the_last_point_of_the_grid_that_it_may_reach():
    clean, steps = draws("clean")[0], 5
    times = adm.spaced_times(steps)  # 0, 250, 500, 749, 999
    until = torch.tensor([-1, 0, 249, 250, 800, 999])

    def predict(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        return torch.tanh(x) + t[:, None, None, None] / 1000

    found = invert(predict, clean, steps, until)
    for image, last in enumerate(until.tolist()):
        x = clean[image : image + 1]
        for time, following in pairwise(times):
            if following <= last:
                t = torch.tensor([time])
                x = step_to_noise(x, predict(x, t), t, torch.tensor([following]))
        assert torch.equal(found[image : image + 1], x)
    assert torch.equal(found[:3], clean[:3]) and not torch.equal(found[3], clean[3])


def test_a_constant_noise_is_inverted_to_the_forward_process():
    clean, noise = draws("clean", "noise")
    zero, last = torch.zeros(6, dtype=torch.int64), torch.full((6,), 999)
    start = adm.diffuse(clean, zero, noise)  # the inversion takes the clean image for one of time 0
    found = invert(lambda x, t: noise, start, 20, last)
    assert_close(found, adm.diffuse(clean, last, noise), rtol=0, atol=1e-11)

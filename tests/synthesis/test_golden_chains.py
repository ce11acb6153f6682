"""Whole classes of optimised images equal the release's, step by step, with a tiny trained network.

The descents are compared in float64: after 200 iterations the kinks of the losses have magnified what float32
rounds, differently on every processor.
"""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from condense.synthesis.chain import Chain
from condense.synthesis.noise_optimisation import (
    AlignmentLoss,
    Descent,
    Penalty,
    TemplateLoss,
    norm_loss,
    optimise_noise,
)
from condense.synthesis.references import run_means, template
from golden_concentration import chain, projector, read
from golden_students import near

GUIDED = 3e-5  # float32, magnified by a guidance of 4 and by division by small shares of the image


def step(values: dict[str, Tensor], name: str, index: int, own: Chain, label: int) -> tuple[Tensor, Tensor]:
    """Mean and deviation of a golden step in float64; those of the chain are near to them."""
    given, mean, log_variance = (values[f"{name}.{key}"] for key in ("z", "mean", "log_variance"))
    output = own.predict(given, index, torch.full((len(given),), label))
    predicted, position = output.chunk(2, 1)
    near(own.steps[index].mean(given, predicted), mean, GUIDED)
    near(own.steps[index].log_variance(position), log_variance, GUIDED)
    return mean[None].double(), (0.5 * log_variance[None].double()).exp()


def check_noise(
    values: dict[str, Tensor],
    name: str,
    placed: tuple[Tensor, Tensor],
    loss: Penalty,
    total: Tensor,
    moved_by: float,
) -> Tensor:
    """Samples after a golden step; its noise is the release's after 20 and after 200 iterations."""
    mean, deviation = placed
    noise = values[f"{name}.e_before"][None].double()
    found = norm_loss(noise) + loss(mean + deviation * noise)
    assert found.item() == pytest.approx(total.item(), rel=1e-6)
    near(optimise_noise(*placed, noise, loss, Descent(20))[0].float(), values[f"{name}.e_after_20"], 1e-5)
    moved = optimise_noise(*placed, noise, loss, Descent())[0].float()
    # where the release itself moves with its last bits, so far do we
    assert_close(moved, values[f"{name}.e_after"], rtol=0, atol=max(1e-5, 100 * moved_by))
    return (mean + deviation * values[f"{name}.e_after"])[0].float()


def test_a_class_with_real_data_equals_the_releases():
    values, settings = read("chain")
    own = chain("chain")
    assert [step.time for step in own.steps] == settings["timesteps"]
    for index in reversed(range(own.count)):
        name = f"da.{index}"
        placed = step(values, name, index, own, settings["label"])
        if not index:
            assert_close(placed[0][0].float(), values["da.final"])
            break
        features = projector(torch.float64).pooled(values[f"{name}.diffused"][None].double())[0]
        mean, deviation, targets = run_means(features, len(values["da.final"]))
        loss = AlignmentLoss(
            *(projector(torch.float64), mean[None, None], deviation[None, None], targets[None]),
            settings["lambda_align"],
        )
        told = values[f"{name}.loss_first_last"][0, 0]
        x = check_noise(values, name, placed, loss, told, settings["moved_by_1e-6"][str(index)])
        near(x, values[f"da.{index - 1}.z"], 1e-6)


def test_a_class_without_real_data_equals_the_releases():
    values, settings = read("datafree")
    own = chain("datafree")
    weights = (settings["lambda_maxoc"], settings["lambda_stats"], settings["lambda_stats"])
    for index in reversed(range(own.count)):
        placed = step(values, str(index), index, own, settings["label"])
        if not index:
            assert_close(placed[0][0].float(), values["final"])
            break
        mean, deviation = (
            values[f"template.{index}.feature_{key}"][None].double() for key in ("mean", "std")
        )
        loss = TemplateLoss(projector(torch.float64), mean, deviation, weights)
        told = values[f"{index}.losses_first_last"][0, 0]
        x = check_noise(values, str(index), placed, loss, told, settings["moved_by_1e-6"][str(index)])
        near(x, values[f"{index - 1}.z"], 1e-6)


def plain_samples(values: dict[str, Tensor], own: Chain, label: int) -> Iterator[Tensor]:
    """Samples after each step of the golden templates' chain, from its stored noise."""
    x = values["template.z_start"]
    for index in reversed(range(1, own.count)):
        output = own.predict(x, index, torch.full((len(x),), label))
        x = own.step(x, index, output, values[f"template.{index}.noise"])
        yield x


def test_statistics_of_plain_samples_equal_the_releases():
    values, settings = read("datafree")
    own = chain("datafree")
    reference = template(projector(), plain_samples(values, own, settings["label"]))
    for index in range(1, own.count):
        near(reference.mean[index - 1], values[f"template.{index}.feature_mean"], GUIDED)
        near(reference.deviation[index - 1], values[f"template.{index}.feature_std"], GUIDED)

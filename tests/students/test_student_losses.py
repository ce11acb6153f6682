"""Losses of students equal those of the released codes, gradients too."""

import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from condense.config.options import build
from condense.config.recipes import StudentTraining
from condense.students.augment import Mix
from condense.students.losses import cross_entropy, divergence, student_loss, transport_matching
from golden_students import near, read

PRECISION = {torch.float64: 1e-9, torch.float32: 5e-7}


def check(loss, logits, value, gradient, cancels: bool = False) -> None:
    """Loss and gradient at the arithmetic's precision; near zero, to that of the terms that cancel."""
    precision = PRECISION[logits.dtype]
    assert_close(loss.detach().reshape(1), value, rtol=precision, atol=precision * cancels)
    loss.backward()
    near(logits.grad, gradient, precision * (4 if cancels else 1))


@pytest.mark.parametrize("bits", ["f32", "f64"])
def test_divergence_equals_dscos(bits):
    values, _ = read("training")
    logits = values[f"kl.student.{bits}"].requires_grad_()
    loss = divergence(logits, values[f"kl.teacher.{bits}"], 20.0)
    check(loss, logits, values[f"kl.loss.{bits}"], values[f"kl.grad.{bits}"])


@pytest.mark.parametrize("prefix", ["", "f32."])
def test_soft_losses_equal_edcs(prefix):
    values, _ = read("edc")
    for name, recipe in (("mse_gt", "edc"), ("kl", "rded")):
        logits = values[f"{prefix}student"].clone().requires_grad_()
        chosen = build(StudentTraining, {"recipe": recipe})
        mix = Mix(values["mix_index"], 0.5)  # of no effect on a loss of soft labels
        loss = student_loss(chosen, logits, values["target"], mix, values["soft_label"].to(logits))
        check(loss, logits, values[f"{prefix}{name}.loss"], values[f"{prefix}{name}.grad"], name == "kl")


@pytest.mark.parametrize("case", ["case0", "case1", "case2"])
@pytest.mark.parametrize("prefix", ["", "f32."])
def test_transport_matching_equals_sinkds(case, prefix):
    values, _ = read("sinkd")
    dtype = torch.float32 if prefix else torch.float64
    logits = values[f"{case}.student"].to(dtype).requires_grad_()
    loss = transport_matching(logits, values[f"{case}.teacher"].to(dtype))
    check(loss, logits, values[f"{prefix}{case}.loss"], values[f"{prefix}{case}.grad"])


def test_transport_matching_is_added_with_a_weight_for_a_hundred_images():
    values, _ = read("sinkd")
    logits, teachers = values["case0.student"], values["case0.teacher"]
    labels = torch.zeros(8, dtype=torch.int64)
    with_it, without = (
        student_loss(
            build(StudentTraining, {"recipe": "edc", "matching_weight": weight}),
            logits,
            labels,
            None,
            teachers,
        )
        for weight in (0.001, 0.0)
    )
    assert_close((with_it - without).reshape(1), values["case0.loss_released"] * 100 / 8, rtol=1e-9, atol=0)


def test_cross_entropy_of_mixed_images_is_that_of_mixed_labels():
    torch.manual_seed(0)
    logits, labels, partner = (
        torch.randn(5, 4, dtype=torch.float64),
        torch.tensor([0, 1, 2, 3, 0]),
        torch.arange(5).flip(0),
    )
    mixed = 0.3 * F.one_hot(labels, 4) + 0.7 * F.one_hot(labels[partner], 4)
    assert_close(cross_entropy(logits, labels, Mix(partner, 0.3)), F.cross_entropy(logits, mixed.double()))
    assert_close(cross_entropy(logits, labels, None), F.cross_entropy(logits, labels))

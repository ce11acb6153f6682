"""Losses of students [scalar], of logits [b, classes]: against classes, and against teachers' logits."""

import torch
import torch.nn.functional as F
from torch import Tensor

from condense.config.recipes import Dc
from condense.students.augment import Mix

MATCHED = 100  # images of a batch for which `matching_weight` is meant


def student_loss(chosen: Dc, logits: Tensor, labels: Tensor, mix: Mix | None, soft: Tensor | None) -> Tensor:
    """Loss of a batch by a recipe; `soft` are the teachers' logits of the views, None for hard labels."""
    if soft is None:
        return cross_entropy(logits, labels, mix)
    if chosen.loss == "kl":
        loss = divergence(logits, soft, chosen.temperature)
    else:
        # RELEASE: EDC's cross-entropy takes the class of the image before it was mixed
        loss = F.mse_loss(logits, soft) + chosen.ce_weight * F.cross_entropy(logits, labels)
    if chosen.matching_weight:
        sizes = (chosen.matching_temperature, chosen.matching_epsilon, chosen.matching_iterations)
        loss = loss + chosen.matching_weight * MATCHED / len(logits) * transport_matching(
            logits, soft, *sizes
        )
    return loss


def cross_entropy(logits: Tensor, labels: Tensor, mix: Mix | None) -> Tensor:
    """Mean cross-entropy; of mixed images that with both classes, by their shares."""
    own = F.cross_entropy(logits, labels)
    return (
        own
        if mix is None
        else mix.share * own + (1 - mix.share) * F.cross_entropy(logits, labels[mix.partner])
    )


def divergence(logits: Tensor, teachers: Tensor, temperature: float) -> Tensor:
    """Mean Kullback-Leibler divergence of the student's from the teachers' softened probabilities.

    PAPER: without the factor of the squared temperature (RDED, DsCo).
    """
    student = F.log_softmax(logits / temperature, dim=1)
    return F.kl_div(
        student, F.log_softmax(teachers / temperature, dim=1), reduction="batchmean", log_target=True
    )


def transport_matching(
    logits: Tensor, teachers: Tensor, temperature: float = 2.0, epsilon: float = 0.1, iterations: int = 20
) -> Tensor:
    """Entropic transport of the student's outputs of a batch onto the teachers', total mass b (SinKD).

    The cost is the L1 distance of softened probabilities, at most 2; marginals are ones; the gradient goes
    through all iterations. A permutation of the batch's teachers does not change it.
    """
    student, teacher = (F.softmax(values / temperature, dim=1) for values in (logits, teachers))
    cost = torch.cdist(student, teacher, p=1)  # [b, b]
    plan = torch.exp(-cost / epsilon)
    for _ in range(iterations):
        plan = plan / plan.sum(1, keepdim=True)
        plan = plan / plan.sum(0, keepdim=True)
    return (plan * cost).sum()

"""Inception score (Salimans et al. 2016) with the splits of the ADM evaluator."""

import math
from dataclasses import dataclass
from typing import Any

import torch

from condense.base.arithmetic import log_sum_exp
from condense.base.errors import InputError

SPLIT = 5000  # images per split in the ADM evaluator (Dhariwal and Nichol 2021)


@dataclass(frozen=True)
class InceptionScore:
    """Mean and population standard deviation over splits; scores of different split sizes do not compare."""

    mean: float
    std: float
    splits: int
    split_size: int


def inception_score(logits: Any, split_size: int = SPLIT) -> InceptionScore:
    """Score class logits [n, classes] in consecutive splits of `split_size` images, without shuffling.

    As in the ADM evaluator, what is left over after the last full split is a split of its own; fewer images
    than `split_size` are one split, and the result then carries their number as its split size.
    """
    if len(logits.shape) != 2 or not len(logits):
        raise InputError(f"logits have shape {tuple(logits.shape)}; [images, classes] is needed.")
    scores = [_score(logits[start : start + split_size]) for start in range(0, len(logits), split_size)]
    if any(score != score for score in scores):
        raise InputError("logits hold a value that is not finite; look for broken images.")
    values = torch.tensor(scores, dtype=torch.float64)
    return InceptionScore(
        values.mean().item(), values.std(correction=0).item(), len(scores), min(split_size, len(logits))
    )


def _score(logits: Any) -> float:
    """exp of the mean divergence of the images' class probabilities from their average."""
    log_probability = torch.as_tensor(logits).detach().double().log_softmax(1)
    log_average = log_sum_exp(log_probability, 0) - math.log(len(log_probability))
    divergence = log_probability.exp() * (log_probability - log_average)
    return divergence.sum(1).mean().exp().item()

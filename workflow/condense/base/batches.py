"""Batches that a normalisation can take."""

import torch
from torch import Tensor


def split_for_norm(order: Tensor, size: int) -> list[Tensor]:
    """Places [n] in parts of a size; a last one alone, which has no deviation, joins those before it."""
    parts = [*order.split(size)]
    if len(parts) > 1 and len(parts[-1]) == 1:
        parts[-2:] = [torch.cat(parts[-2:])]
    return parts

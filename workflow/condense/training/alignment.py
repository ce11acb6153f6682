"""Alignment of a generator's tokens with features of an encoder (Yu et al. 2025; GADC sec. 4.1)."""

import torch.nn.functional as F
from torch import Tensor


def alignment_losses(projected: Tensor, features: Tensor) -> Tensor:
    """Negative cosine of projected tokens and features, both [b, tokens, width]: mean over tokens [b]."""
    return -F.cosine_similarity(projected.float(), features.float(), dim=-1).mean(1)

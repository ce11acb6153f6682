"""Losses that a trainer can be given: of each example, from the network's prediction."""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch.nn.functional as F
from torch import Tensor, nn

from condense.diffusion.adm import Predict
from condense.training.alignment import alignment_losses
from condense.training.examples import Batch

Losses = Callable[[nn.Module, Batch], Tensor]  # network and b examples -> loss [b], whose mean is minimised


@dataclass(frozen=True)
class Ledger:
    """What losses keep beside the network: tensors of a saved state, figures that the history tells."""

    tensors: dict[str, Tensor] = field(default_factory=dict)  # by name, changed in place
    figures: dict[str, Tensor] = field(
        default_factory=dict
    )  # scalars of the last step, the same at every step


@dataclass(frozen=True)
class Denoising:
    """Loss of a generator: its objective's, and where examples have features its tokens' alignment."""

    objective: Callable[[Predict, Tensor, Tensor, Tensor], Tensor]  # network, clean, times, noise -> [b]
    alignment_weight: float

    def __call__(self, network: nn.Module, part: Batch) -> Tensor:
        """Loss [b] of each example."""
        projected = []

        def predict(x: Tensor, t: Tensor) -> Tensor:
            if part.features is None:
                return network(x, t, part.labels, part.text)
            prediction, tokens = network(x, t, part.labels, part.text, project=True)
            projected.append(tokens)
            return prediction

        losses = self.objective(predict, part.clean, part.time, part.noise)
        if part.features is None:
            return losses
        return losses + self.alignment_weight * aligned(*projected, part.features)


def aligned(projected: Tensor, features: Tensor) -> Tensor:
    """Alignment loss [b] of tokens [b, n, d] with a feature map [b, h, w, d], brought to the tokens' grid."""
    side, features = round(projected.shape[1] ** 0.5), features.float()
    if features.shape[1] != side:
        resized = F.interpolate(features.permute(0, 3, 1, 2), (side, side), mode="bilinear")
        features = resized.permute(0, 2, 3, 1)
    return alignment_losses(projected, features.flatten(1, 2))

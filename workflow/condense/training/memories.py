"""Memories of Minimax diffusion (Gu et al. 2024): the last latents of each class, first in, first out."""

import torch
import torch.nn.functional as F
from torch import Tensor

BEYOND = 2.0  # more than any cosine


class Memories:
    """Real latents of each class and the network's estimates of them, in ring buffers.

    Args:
        labels: Classes that can come [k], each once; there may be labels between them.
        size: Latents of a class.
        width: Numbers of a latent.
        dtype: Of the latents that are remembered.

    Attributes:
        real: Latents [k, size, width].
        estimated: What the network made of them, likewise.
        count: How many of each class [k] ever came in.
    """

    def __init__(self, labels: Tensor, size: int, width: int, dtype: torch.dtype = torch.float32) -> None:
        self.size = size
        self.real = torch.zeros(len(labels), size, width, dtype=dtype, device=labels.device)
        self.estimated = torch.zeros_like(self.real)
        self.count = torch.zeros_like(labels)
        self.rows = torch.zeros(max(labels.tolist(), default=0) + 1, dtype=torch.int64, device=labels.device)
        self.rows[labels] = torch.arange(len(labels), device=labels.device)

    def tensors(self) -> dict[str, Tensor]:
        """All that is remembered, by name."""
        return {"real": self.real, "estimated": self.estimated, "count": self.count}

    def add(self, real: Tensor, estimated: Tensor, classes: Tensor) -> None:
        """Take in latents and estimates [b, d] of classes [b], in their order."""
        for at in range(0, len(classes), self.size):  # no class fills its memory twice in a part
            part = slice(at, at + self.size)
            kinds = self.rows[classes[part]]
            earlier = (kinds[:, None] == kinds).tril(-1).sum(1)
            places = (self.count[kinds] + earlier) % self.size
            self.real[kinds, places] = real[part].detach().to(self.real)
            self.estimated[kinds, places] = estimated[part].detach().to(self.real)
            self.count.index_add_(0, kinds, torch.ones_like(kinds))

    def extremes(self, estimates: Tensor, classes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Cosines of estimates [b, d] of classes [b] with what is remembered of the own class.

        Returns:
            Smallest with a real latent [b], largest with an estimate [b], and whether there is any [b].
        """
        kinds = self.rows[classes]
        held = torch.arange(self.size, device=kinds.device) < self.count[kinds, None]
        cosines = [
            F.cosine_similarity(estimates[:, None], memory[kinds], dim=2)
            for memory in (self.real, self.estimated)
        ]
        smallest = torch.where(held, cosines[0], BEYOND).amin(1)
        largest = torch.where(held, cosines[1], -BEYOND).amax(1)
        return smallest, largest, held[:, 0]

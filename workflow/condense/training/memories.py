"""Memories of Minimax diffusion (Gu et al. 2024): the last latents of each class, first in, first out."""

import torch
import torch.nn.functional as F
from torch import Tensor

BEYOND = 2.0  # more than any cosine


class Memories:
    """Real latents of each class and the network's estimates of them, in ring buffers.

    Attributes:
        real: Latents [classes, size, d].
        estimated: What the network made of them, likewise.
        count: How many of each class [classes] ever came in.
    """

    def __init__(
        self, classes: int, size: int, width: int, device: torch.device, dtype: torch.dtype = torch.float32
    ) -> None:
        self.size = size
        self.real = torch.zeros(classes, size, width, dtype=dtype, device=device)
        self.estimated = torch.zeros_like(self.real)
        self.count = torch.zeros(classes, dtype=torch.int64, device=device)

    def tensors(self) -> dict[str, Tensor]:
        """All that is remembered, by name."""
        return {"real": self.real, "estimated": self.estimated, "count": self.count}

    def add(self, real: Tensor, estimated: Tensor, classes: Tensor) -> None:
        """Take in latents and estimates [b, d] of classes [b], in their order."""
        for at in range(0, len(classes), self.size):  # no class fills its memory twice in a part
            part = slice(at, at + self.size)
            kinds = classes[part]
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
        held = torch.arange(self.size, device=classes.device) < self.count[classes, None]
        cosines = [
            F.cosine_similarity(estimates[:, None], memory[classes], dim=2)
            for memory in (self.real, self.estimated)
        ]
        smallest = torch.where(held, cosines[0], BEYOND).amin(1)
        largest = torch.where(held, cosines[1], -BEYOND).amax(1)
        return smallest, largest, held[:, 0]

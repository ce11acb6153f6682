"""Losses that finetune a generator for small image sets: of Minimax diffusion, and IMS3's inversion matching.

Both look at a whole batch, beside the denoising loss: at the estimates of the clean latents that the
network's prediction implies.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from condense.config.finetuning import Finetuning
from condense.diffusion import adm
from condense.diffusion.inversion import estimate_clean, invert, step_to_image, step_to_noise
from condense.training.examples import Batch
from condense.training.losses import Ledger
from condense.training.memories import Memories

MINIMAX = ("representativeness", "diversity")
INVERSION = ("inversion_cosine", "target_cosine", "inversion_share")


class MinimaxLosses:
    """Denoising, representativeness, diversity and, where it is asked for, inversion matching.

    `ledger` holds the memories, which a saved state needs, and what the history tells of a step: the losses
    of Minimax diffusion; of inversion matching the cosine that it raises, the target's cosine with the clean
    latent (1: inversion did nothing), and the share of its gradient in that of all losses, by their norms at
    the network's prediction.
    """

    def __init__(self, chosen: Finetuning, memories: Memories) -> None:
        self.chosen, self.memories = chosen, memories
        told = MINIMAX + (INVERSION if chosen.inversion != "none" else ())
        figures = {name: torch.zeros((), device=memories.count.device) for name in told}
        self.ledger = Ledger(memories.tensors(), figures)

    def __call__(self, network: nn.Module, part: Batch) -> Tensor:
        """Loss [b] of each example; terms of the whole batch stand in each of them."""
        noisy = adm.diffuse(part.clean, part.time, part.noise)
        output = network(noisy, part.time, part.labels, part.text)
        mse, bound = adm.loss_terms(output, part.clean, part.time, part.noise)
        predicted = output.chunk(2, 1)[0]
        terms = self._minimax(estimate_clean(noisy, predicted, part.time), part)
        figures = {name: term.detach() for name, term in zip(MINIMAX, terms, strict=True)}
        if self.chosen.inversion != "none":
            previous = step_to_image(noisy, predicted, part.time)
            matching, cosines = self._match(network, previous, part)
            terms.append(matching)
            share = gradient_share(matching, (mse + bound).mean() + sum(terms), output)
            figures |= dict(zip(INVERSION, (*cosines, share), strict=True))
        self.ledger.figures.update(figures)
        return mse + bound + sum(terms)

    def _minimax(self, estimates: Tensor, part: Batch) -> list[Tensor]:
        """Losses of representativeness and diversity; the batch enters the memories afterwards.

        RELEASE: means over the classes of the batch, of the worst pair of each; a class whose memories are
        empty counts and adds nothing.
        """
        classes, flat = part.classes, estimates.flatten(1)
        smallest, largest, remembered = self.memories.extremes(flat, classes)
        same = classes[:, None] == classes  # [b, b]
        share = remembered / same.sum(1)  # of an example in its class
        present = (1 / same.sum(1)).sum()
        farthest = torch.where(same, smallest, torch.inf).amin(1)
        nearest = torch.where(same, largest, -torch.inf).amax(1)
        self.memories.add(part.clean.flatten(1), flat, classes)
        return [
            self.chosen.representativeness * (share * (1 - farthest)).sum() / present,
            self.chosen.diversity * (share * nearest).sum() / present,
        ]

    def _match(self, network: nn.Module, previous: Tensor, part: Batch) -> tuple[Tensor, list[Tensor]]:
        """Loss of inversion matching; the cosine in it, and that of its targets with the clean latents."""
        weight = self.chosen.inversion_weight
        target = self._invert(network, part).flatten(1)
        previous = previous.flatten(1)
        moved = F.cosine_similarity(target, part.clean.flatten(1), dim=1).mean()
        if self.chosen.inversion == "code":
            # RELEASE: the mean over all pairs of the batch, not over an image and its own target
            cosine = F.cosine_similarity(previous[:, None], target, dim=2).mean()
            return 1 - weight * cosine, [cosine.detach(), moved]
        cosine = F.cosine_similarity(previous, target, dim=1).mean()
        return weight * (1 - cosine), [cosine.detach(), moved]

    @torch.no_grad()
    def _invert(self, network: nn.Module, part: Batch) -> Tensor:
        """Targets of the matching [b, c, h, w]."""
        if self.chosen.inversion == "ddim":  # ASSUME: the grid's last point before the step, the class kept
            predict = _noise_of(network, part.classes, part.text)
            return invert(predict, part.clean, self.chosen.inversion_steps, part.time - 1)
        # RELEASE: a single step, from the clean latent as if it had the noise of time t
        predicted = _noise_of(network, part.labels, part.text)(part.clean, part.time)
        return step_to_noise(part.clean, predicted, part.time, part.time + 1, clip=True)


def gradient_share(term: Tensor, total: Tensor, output: Tensor) -> Tensor:
    """Norm of a term's gradient in that of the total, both with respect to the network's output."""
    if not output.requires_grad:
        return torch.zeros_like(term)
    own, every = (torch.autograd.grad(one, output, retain_graph=True)[0].norm() for one in (term, total))
    return own / every.clamp(min=torch.finfo(every.dtype).tiny)


def _noise_of(network: nn.Module, labels: Tensor, text: Tensor | None) -> adm.Predict:
    """A network's prediction of the noise alone, for labels [b]."""
    return lambda x, t: network(x, t, labels, text).chunk(2, 1)[0]

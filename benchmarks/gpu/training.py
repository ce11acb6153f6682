"""Part 2: the trainer against the plain loop, on latents of 256 pixels, alone and with captions and features.

The plain loop is what a training script is without further thought: a DataLoader, the network as it is,
AdamW, the average updated parameter by parameter, a look at each loss. It does not encode images; one that
does is slower still.
"""

import copy
import math
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cache, partial

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, RandomSampler
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.gpu.figures import Figure, Outcome, Place
from benchmarks.gpu.timing import forget_peak, peak, seconds_of
from condense.config.objectives import OBJECTIVES
from condense.config.settings import Network, Recipe, Training
from condense.diffusion import adm
from condense.diffusion.embedders import Captions
from condense.diffusion.objectives import process_of
from condense.diffusion.transformer import Alignment, build
from condense.training.data import Latents, Sources
from condense.training.examples import Examples
from condense.training.losses import Denoising
from condense.training.train import initialised
from condense.training.trainer import Trainer
from condense.training.workers import Workers

CLASSES, CAPTIONS, ALIGNMENT = 1000, Captions(), Alignment()
# ASSUME: shares of the peak of that arithmetic: fused kernels; kernels one by one; these on float32 tensors
COMPILED, EAGER, EAGER32 = 0.40, 0.25, 0.25


@dataclass(frozen=True)
class Load:
    """What is trained: network, latents, images per step, and whether captions and features are attached."""

    objective: str
    network: Network
    side: int
    batch: int
    images: int
    attached: bool
    captions: Captions = CAPTIONS
    alignment: Alignment = ALIGNMENT

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of a latent."""
        return 4, self.side, self.side

    def sources(self) -> Sources:
        """Random latents, captions and features."""
        random = torch.Generator().manual_seed(0)
        moments = torch.randn(self.images, 2, *self.shape, generator=random).half()
        names = [str(number) for number in range(self.images)]
        labels = torch.arange(self.images) % CLASSES
        latents = Latents(moments, moments.abs() / 10, labels, names, CLASSES, self.shape)
        if not self.attached:
            return Sources(latents)
        captions = torch.randn(CLASSES + 1, *self.captions, generator=random)
        maps = torch.randn(
            1, 2, self.side // 2, self.side // 2, self.alignment.width, generator=random
        ).half()
        return Sources(latents, captions, maps.repeat(self.images, 1, 1, 1, 1))

    def recipe(self) -> Recipe:
        """The paper's, or a toy's."""
        return Recipe(alignment_block=self.alignment.block, alignment_hidden=self.alignment.hidden)


def load(place: Place, objective: str, attached: bool) -> Load:
    """The paper's training, or a toy."""
    if place.rehearsal:
        network, parts = Network(depth=2, width=32, heads=2), (Captions(4, 16), Alignment(1, 16, 16))
        return Load(objective, network, 8, 4, 8, attached, *parts)
    return Load(objective, Network(size="L"), 32, 128, 512, attached)


@cache
def operations(chosen: Load) -> float:
    """Operations of an image's forward and backward pass, counted on the network without weights."""
    with torch.device("meta"):
        extra = (chosen.captions, chosen.alignment) if chosen.attached else ()
        learned = OBJECTIVES[chosen.objective].learned_variance
        net = build(chosen.network, chosen.shape, CLASSES, learned, *extra)
        given = [torch.empty(1, *chosen.shape), torch.empty(1), torch.zeros(1, dtype=torch.long)]
        given += [torch.empty(1, *chosen.captions)] if chosen.attached else []
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net(*given, **{"project": True} if chosen.attached else {})
    return 3 * counter.get_total_flops()


def figures(place: Place, objective: str) -> list[Figure]:
    """Images per second of each loop."""
    name = f"{OBJECTIVES[objective].family}-L/2"
    machine, found = place.machine, []
    ways: dict[str, tuple[float, Callable[[Load, Place], Callable[[], None]]]] = {
        "plain loop, TF32": (machine.tf32 * EAGER32, partial(plain, mixed=False)),
        "plain loop, bf16": (machine.bf16 * EAGER, partial(plain, mixed=True)),
        "condense": (machine.bf16 * COMPILED, ours),
    }
    for attached in (False, True):
        chosen = load(place, objective, attached)
        needed = operations(chosen)
        for way, (reached, make) in ways.items():
            basis = f"{needed / 1e9:.0f} GFLOP an image, {reached / 1e12:.0f} TFLOP/s"
            title = f"{name}, {'captions and alignment, ' if attached else ''}{way}"
            measured = partial(measure, make, chosen, needed, place)
            found.append(Figure(title, "images/s", reached / needed, basis, measured))
    return found


def measure(
    make: Callable[[Load, Place], Callable[[], None]], chosen: Load, needed: float, place: Place
) -> Outcome:
    """Images per second of a loop, its share of the peak and its memory."""
    torch._dynamo.reset()
    forget_peak(place)
    rate = chosen.batch / seconds_of(make(chosen, place), place)
    return Outcome(rate, rate * needed / place.machine.bf16, peak(place))


def ours(chosen: Load, place: Place) -> Callable[[], None]:
    """The package's training step."""
    training, workers = Training(batch=chosen.batch), Workers(0, 1, place.device)
    sources, recipe = chosen.sources(), chosen.recipe()
    examples = Examples(sources, chosen.objective, training, recipe, 0, workers)
    losses = Denoising(examples.objective.losses, recipe.alignment_weight)
    start = initialised(sources, chosen.objective, chosen.network, recipe, 0)
    return Trainer(start, examples, losses, training, workers).advance


class Stored(Dataset):
    """Latents, labels and features of images, one by one."""

    def __init__(self, sources: Sources) -> None:
        self.latents, _, self.patches = sources

    def __len__(self) -> int:
        return len(self.latents.paths)

    def __getitem__(self, number: int) -> tuple[Tensor, ...]:
        mirrored = int(torch.rand(()) < 0.5)
        mean, deviation = (
            part[number, mirrored].float() for part in (self.latents.mean, self.latents.deviation)
        )
        item = (mean + deviation * torch.randn_like(mean), self.latents.labels[number])
        return item if self.patches is None else (*item, self.patches[number, mirrored])


def plain(chosen: Load, place: Place, mixed: bool) -> Callable[[], None]:
    """The plain loop's step, in TF32 or with autocast to bf16."""
    device, sources = place.device, chosen.sources()
    torch.set_float32_matmul_precision("high")
    net = initialised(sources, chosen.objective, chosen.network, chosen.recipe(), 0).to(device).train()
    average = copy.deepcopy(net)
    optimiser = torch.optim.AdamW(net.parameters(), lr=1e-4, weight_decay=0)
    stored, workers = Stored(sources), {"num_workers": place.size(4, 0), "pin_memory": device.type == "cuda"}
    endless = RandomSampler(stored, replacement=True, num_samples=10**9)  # an epoch's end would stop it
    batches = iter(DataLoader(stored, chosen.batch, sampler=endless, **workers))
    captions = None if sources.captions is None else sources.captions.to(device)

    def step() -> None:
        clean, labels, *features = (part.to(device, non_blocking=True) for part in next(batches))
        labels = torch.where(torch.rand(len(labels), device=device) < 0.1, CLASSES, labels)
        text = [] if captions is None else [captions[labels]]
        with torch.autocast(device.type, torch.bfloat16) if mixed else nullcontext():
            loss = plain_loss(net, chosen.objective, clean, [labels, *text], *features)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        with torch.no_grad():
            for kept, value in zip(average.parameters(), net.parameters(), strict=True):
                kept.mul_(0.9999).add_(value, alpha=1 - 0.9999)
        if not math.isfinite(loss.item()):
            raise AssertionError("the plain loop's loss is not finite")

    return step


def plain_loss(
    net: torch.nn.Module, objective: str, clean: Tensor, given: list[Tensor], features: Tensor | None = None
) -> Tensor:
    """Mean loss of a batch, written out for flow matching; adm's bound is the package's own."""
    noise, projected = torch.randn_like(clean), []

    def predict(x: Tensor, t: Tensor) -> Tensor:
        if features is None:
            return net(x, t, *given)
        prediction, tokens = net(x, t, *given, project=True)
        projected.append(tokens)
        return prediction

    if objective == "flow":
        t = torch.rand(len(clean), device=clean.device)
        share = t[:, None, None, None]
        loss = (predict((1 - share) * clean + share * noise, t) - (noise - clean)).square().mean()
    else:
        t = torch.randint(adm.TIMES, (len(clean),), device=clean.device)
        loss = process_of(objective).losses(predict, clean, t, noise).mean()
    if features is None:
        return loss
    return (
        loss - 0.5 * F.cosine_similarity(projected[0].float(), features.flatten(1, 2).float(), dim=-1).mean()
    )

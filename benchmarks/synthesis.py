"""Guided images against the class-by-class procedure of the releases: the same images, processor seconds.

    python benchmarks/synthesis.py [--images 3] [--classes 10]

The released procedure makes one image at a time: a batch of the image and its ghost, a graph at every step,
and for each checkpoint of the surrogate a backward pass through decoder and generator; transport is solved
anew at each step, on costs that are computed anew, and differentiated through its iterations. Sizes are those
of the digits: a transformer of width 48 and depth 2, guidance 2, 50 steps, a ConvNet-3 of width 32, four
checkpoints, random weights. For DiT-XL/2 at 256 pixels the operations of both are counted. Processor time of
one thread.
"""

import argparse
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import SimpleNamespace

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import functional_call

from condense.config.guidance import InfluenceGuided, TransportGuided
from condense.config.settings import Autoencoder, Network
from condense.config.students import StudentNetwork
from condense.diffusion.autoencoders import Pixels
from condense.diffusion.transformer import build
from condense.plan import sizes
from condense.students.networks import initialised
from condense.synthesis import guided
from condense.synthesis.chain import Chain, Target
from condense.synthesis.guides import Influence
from condense.synthesis.influence import Checkpoint, Surrogate, SurrogateWeights
from condense.synthesis.samples import draw_images
from condense.synthesis.transport_guidance import TransportGuide
from condense.transport.balanced import costs, couple

CHECKPOINTS, REAL, CLASSES = 4, 64, 10
SHAPE = (3, 8, 8)
TERAFLOPS = 300  # of 10^12 operations a second: bfloat16 on an H100 at 30% of its peak
SURROGATE_STEP = 9  # of a forward pass: the loss, its gradient, and the gradient of a function of that


@dataclass
class Case:
    """A chain, a surrogate and real latents of each class."""

    chain: Chain
    surrogate: Surrogate
    real: Tensor  # [classes, n, *SHAPE]


def draw_case() -> Case:
    """Networks of random weights."""
    torch.manual_seed(0)
    network = build(Network(depth=2, width=48, heads=4), SHAPE, CLASSES, learn_sigma=True)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    network.eval().requires_grad_(False)
    chosen = StudentNetwork(width=32)
    nets = [initialised(chosen, 8, CLASSES, seed) for seed in range(CHECKPOINTS)]
    half, checkpoints = torch.full((3,), 0.5), []
    for net in nets:
        weights = {name: value.detach() for name, value in net.named_parameters()}
        count = sum(value.numel() for value in weights.values())
        targets = {label: torch.randn(count) for label in range(CLASSES)}
        checkpoints.append(Checkpoint(SurrogateWeights(weights, {}), targets))
    surrogate = Surrogate(nets[0].eval().requires_grad_(False), checkpoints, half, half)
    chain = Chain(network, SHAPE, Pixels(), torch.device("cpu"), guidance=2.0)
    return Case(chain, surrogate, torch.randn(CLASSES, REAL, *SHAPE).clamp(-1, 1))


def released(case: Case, label: int, images: int, settings: InfluenceGuided) -> Iterator[Tensor]:
    """Images [1, *SHAPE] of a class, one at a time."""
    made: list[Tensor] = []
    for number in range(images):
        noise = case.chain.noise(settings.seed, [(str(label), number)])
        extra = case.chain.noise(settings.seed, [(str(label), number)], "ghost")
        x = torch.cat([noise(), extra()])
        for index in reversed(range(case.chain.count)):
            drawn = torch.cat([noise(), extra()]) if index else None
            x = _released_step(case, x, index, drawn, label, made, settings).detach()
        made.append(x[:1])
        yield x[:1]


def _released_step(case, x, index, noise, label, made, settings) -> Tensor:
    """A step of an image and its ghost [2, *SHAPE], guided in the window."""
    step, x = case.chain.steps[index], x.requires_grad_()
    network, time = case.chain.network, torch.full((2,), case.chain.steps[index].time)
    labels = torch.tensor([label, network.classes])
    given, null = network(torch.cat([x[:1], x[:1]]), time, labels).chunk(2)
    channels = SHAPE[0]
    both = torch.lerp(null[:, :channels], given[:, :channels], case.chain.guidance)
    output = torch.cat([torch.cat([both, given[:, channels:]], 1), torch.cat([both, null[:, channels:]], 1)])
    following = case.chain.step(x, index, output, noise)
    if not settings.window[0] <= step.time <= settings.window[1]:
        return following
    clean = step.clean(x, output[:, :channels])
    total = torch.zeros_like(x)
    for checkpoint in case.surrogate.checkpoints:
        weights = {name: v.detach().requires_grad_() for name, v in checkpoint.weights.parameters.items()}
        logits = functional_call(case.surrogate.network, weights, (case.chain.decode(clean),))
        loss = F.cross_entropy(logits, torch.tensor([label, label]))
        found = torch.cat(
            [g.flatten() for g in torch.autograd.grad(loss, [*weights.values()], create_graph=True)]
        )
        target = checkpoint.targets[label]
        value = 1 - found @ target / (found.norm() * target.norm() + 1e-6)
        total = total + torch.autograd.grad(value, x, retain_graph=True)[0] / CHECKPOINTS
    size = settings.influence_weight * settings.influence_size * math.sqrt(1 - step.cumulative)
    move = size * output[:1, :channels].square().mean().sqrt() * total[:1] / total[:1].square().mean().sqrt()
    if made:
        memory = torch.cat(made[-settings.memory :]).flatten(1)
        own = x[:1].flatten(1)
        nearest = (own @ memory.T / (own.norm() * memory.norm(dim=1) + 1e-6)).max()
        move = (
            move
            + settings.deviation_weight
            * x[0].numel()
            / 4096
            * torch.autograd.grad(nearest, x, retain_graph=True)[0][:1]
        )
    if isinstance(settings, TransportGuided):
        current = clean[:1].detach().requires_grad_()
        every = torch.cat([*made, current]).flatten(1)[None]
        cost = costs(every, case.real[label].flatten(1)[None], "l1").double()
        plan = couple(cost, settings.epsilon * cost.detach().mean((1, 2))).plan
        (gradient,) = torch.autograd.grad((plan * cost).sum(), current)
        move = move + settings.transport_weight * math.sqrt(1 - step.cumulative) * (
            gradient / gradient.square().mean().sqrt()
        )
    return torch.cat([following[:1] - move, following[1:]])


def ours(case: Case, count: int, images: int, settings: InfluenceGuided) -> Tensor:
    """Images [classes, images, *SHAPE], all classes together."""
    names = {str(label): label for label in range(count)}
    given = SimpleNamespace(real=lambda index: (case.real[index], None))
    guides = {"influence": Influence(case.chain, case.surrogate, names, settings)}
    guides["deviation"] = guided.Deviation(settings)
    if isinstance(settings, TransportGuided):
        guides["transport"] = TransportGuide(settings, given)
    targets, made = [_target(label) for label in range(count)], torch.zeros(count, 0, *SHAPE)
    for number in range(images):
        run = guided.GuidedRun(case.chain, targets, number, made, guides, settings)
        made = torch.cat([made, run.draw()[:, None]], 1)
    return made


def _target(label: int) -> Target:
    return Target(str(label), label, label)


@contextmanager
def transport_time() -> Iterator[list[float]]:
    """Processor seconds of each move by transport."""
    spent, original = [], TransportGuide._move

    def timed(self, point, problems):
        began = time.process_time()
        moved = original(self, point, problems)
        spent.append(time.process_time() - began)
        return moved

    TransportGuide._move = timed
    try:
        yield spent
    finally:
        TransportGuide._move = original


def measure(case: Case, count: int, images: int, settings: InfluenceGuided) -> None:
    """Print a row: seconds per image of the release's procedure and of ours, and how the images differ."""
    next(released(case, 0, 1, settings))  # both once, so that neither pays for what is loaded at first use
    ours(case, 1, 1, settings)
    began = time.process_time()
    # of the envelope theorem's gradient, which is ours too, so that the images can be compared
    theirs = torch.stack([torch.cat([*released(case, label, images, settings)]) for label in range(count)])
    before = (time.process_time() - began) / (count * images)
    found, seconds, share = {}, {}, 0.0
    for ghost in (True, False):
        began = time.process_time()
        with transport_time() as spent:
            found[ghost] = ours(case, count, images, replace(settings, ghost=ghost))
        seconds[ghost] = (time.process_time() - began) / (count * images)
        share = sum(spent) / (seconds[ghost] * count * images)
    gap = (found[True] - theirs).abs().max() / theirs.abs().max()
    print(
        f"| {settings.kind} | {before:.3f} | {seconds[True]:.3f} | {before / seconds[True]:.1f} "
        f"| {seconds[False]:.3f} | {before / seconds[False]:.1f} | {gap:.1e} | {100 * share:.1f} |",
        flush=True,
    )


def plain(case: Case, count: int, images: int) -> None:
    """Print the seconds per image of the plain chain, one at a time and class by class."""
    times = []
    for size in (1, images):
        began = time.process_time()
        with torch.no_grad():
            for label in range(count):
                for start in range(0, images, size):
                    some = [(str(label), number) for number in range(start, start + size)]
                    draw_images(case.chain, some, label, 0)
        times.append((time.process_time() - began) / (count * images))
    print(f"plain chain: {times[0]:.3f} s an image one at a time, {times[1]:.3f} s class by class")


def predict() -> None:
    """Print operations per image for DiT-XL/2 and ConvNet-6 at 256 pixels, and seconds on a GPU."""
    space = sizes.space_of(Autoencoder(path="stabilityai/sd-vae-ft-mse"), 256)
    network = sizes.generator_size(Network(size="XL"), space.shape, 1000, True).operations
    with sizes.META:
        surrogate = initialised(StudentNetwork(depth=6), 256, 10, 0)
    _, classify = sizes.count(surrogate, sizes.image(256))
    guided_steps, steps = 16, 50
    chain = steps * 2 * network
    # a backward pass by the input alone costs as much as the forward pass
    once = space.decoding + 2 * network
    each = SURROGATE_STEP * classify
    theirs = chain + guided_steps * CHECKPOINTS * (2 * space.decoding + once + 2 * space.decoding + 2 * each)
    mine = chain + guided_steps * (space.decoding + once + CHECKPOINTS * each)
    print("\n| DiT-XL/2, 256 px | operations (1e12) | seconds |\n|---|---:|---:|")
    for name, value in (("plain chain", chain), ("as released", theirs), ("ours", mine)):
        print(f"| {name} | {value / 1e12:.0f} | {value / TERAFLOPS / 1e12:.2f} |")
    print(
        f"network {network / 1e12:.2f}, decoder {space.decoding / 1e12:.2f}, ConvNet-6 {classify / 1e12:.3f}"
    )


def main() -> None:
    """Measure, then predict."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=3)
    parser.add_argument("--classes", type=int, default=CLASSES)
    given = parser.parse_args()
    torch.set_num_threads(1)
    case = draw_case()
    print(f"{given.classes} classes, {given.images} images of each; seconds per image")
    plain(case, given.classes, given.images)
    print(
        "\n| kind | as released | ours, ghost | ratio | ours | ratio | images differ by | transport, % |"
        "\n|---|---:|---:|---:|---:|---:|---:|---:|"
    )
    measure(case, given.classes, given.images, InfluenceGuided(kind="igd"))
    measure(case, given.classes, given.images, TransportGuided(kind="otg", support="all"))
    predict()


if __name__ == "__main__":
    main()

"""DsCo's optimisation of a class at true latent size: `fast` against `released`, both against a plain loop.

    python benchmarks/noise_optimisation.py --photographs FOLDER --autoencoder TAESD [--images 10] [--plain]

Real latents are those of photographs of one class, [4, 32, 32] of 256 pixels; samples stand where a chain of
the exact denoiser of a few of them would have brought them, so that no generator is needed. For each step:
seconds, the cosine of the two moves of the noise, alignment after them. Then seconds per class without the
generator, peak memory, and the operations of DiT-XL/2 beside the paper's table 12.
"""

import argparse
import math
import resource
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from condense.base.memory import keep_freed_memory
from condense.base.seeds import stream
from condense.config.settings import Autoencoder
from condense.diffusion import adm, autoencoders
from condense.synthesis.noise_optimisation import AlignmentLoss, Descent, optimise_noise
from condense.synthesis.projector import SLOPE, Projector
from condense.synthesis.references import align_with

WIDTH = 0.08  # of the exact denoiser's Gaussians
CHAIN = 50  # steps
DIT_XL = 118.6e9  # multiply-adds of a forward pass at latents of 32 x 32
TABLE_12 = {10: 28, 50: 62, 100: 119}  # PAPER: hours of generation for ImageNet-1K on an RTX 2080 Ti


def latents_of(folder: Path, autoencoder: str, count: int) -> Tensor:
    """Latents [n, 4, 32, 32] of the first photographs of a folder."""
    model = autoencoders.load(Autoencoder(kind="tiny", path=autoencoder), torch.device("cpu"))
    paths = sorted(path for path in folder.iterdir() if path.is_file())[:count]
    pixels = [np.asarray(Image.open(path).convert("RGB").resize((256, 256))) for path in paths]
    images = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2) / 127.5 - 1
    return torch.cat([model.encode(part)[0] for part in images.split(4)])


def placed(latents: Tensor, index: int, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Mean, deviation and noise [1, n, c, h, w] of samples at a step, by the latents' exact denoiser."""
    step, draws = adm.chain(CHAIN)[index], stream("benchmark", index)
    # a third of the latents alone, as guidance narrows what a chain makes
    chosen = latents[torch.randint(max(1, len(latents) // 3), (count,), generator=draws)]
    signal, variance = math.sqrt(step.cumulative), 1 - step.cumulative
    x = signal * chosen + math.sqrt(variance) * torch.randn(chosen.shape, generator=draws)
    total = variance + step.cumulative * WIDTH**2
    distance = torch.cdist(x.flatten(1), signal * latents.flatten(1)).square()
    kept = signal * WIDTH**2 / total
    nearest = torch.softmax(-distance / (2 * total), 1) @ latents.flatten(1)
    clean = (1 - kept * signal) * nearest.view_as(x) + kept * x
    mean = step.mean(x, (x - signal * clean) / math.sqrt(variance))
    deviation = torch.full_like(mean, (step.floor * step.beta) ** 0.25)
    return mean[None], deviation[None], torch.randn(mean.shape, generator=draws)[None]


def plain(mean: Tensor, deviation: Tensor, noise: Tensor, loss: AlignmentLoss) -> Tensor:
    """The procedure as one writes it from the paper: modules, an optimiser, weights that take gradients."""
    layers: list[nn.Module] = []
    for number, (weight, bias) in enumerate(zip(loss.projector.weights, loss.projector.biases, strict=True)):
        side, groups = weight.shape[-1], loss.projector.groups if number else 1
        shape = (weight.shape[1] * groups, len(weight), side)
        layer = nn.Conv2d(*shape, 2 if number else 1, 1, groups=groups)
        layer.load_state_dict({"weight": weight, "bias": bias})
        layers += [nn.LeakyReLU(SLOPE)] * bool(number) + [layer]
    network = nn.Sequential(*layers)
    free = noise[0].clone().requires_grad_()
    optimiser = torch.optim.SGD([free], lr=0.1, momentum=0.9)
    for _ in range(200):
        optimiser.zero_grad()
        features = network(mean[0] + deviation[0] * free).mean((2, 3))
        features = ((features - loss.mean[0]) / loss.deviation[0]).sort(0).values
        gap = features - loss.targets[0]
        excess = free.flatten(1).norm(dim=1) - math.sqrt(free[0].numel())
        aligned = loss.weight * len(free) * (gap.abs() + gap.square()).sum()
        (aligned + (excess.abs() + excess.square()).sum()).backward()
        optimiser.step()
    return free.detach()[None]


def timed(function: Callable[[], Tensor]) -> tuple[Tensor, float]:
    began = time.process_time()
    found = function()
    return found, time.process_time() - began


def problem(
    latents: Tensor, index: int, count: int
) -> tuple[tuple[Tensor, Tensor, Tensor], AlignmentLoss, float]:
    """Mean, deviation and noise of a step, its loss, and processor seconds of the loss's targets."""
    projector = Projector.draw(latents.shape[1], 16, stream("benchmark"))
    share, draws = [adm.chain(CHAIN)[index].previous], [stream("diffused", index)]
    began = time.process_time()
    with torch.no_grad():
        reference = align_with(latents, projector, share, count, 5, draws)
    preparing = time.process_time() - began
    loss = AlignmentLoss(
        projector, reference.mean[:1, None], reference.deviation[:1, None], reference.targets[:1], 5e-4
    )
    return placed(latents, index, count), loss, preparing


def measure(
    latents: Tensor, index: int, count: int, passes: int, written: tuple[Tensor, float] | None
) -> tuple[float, ...]:
    """Print one step; processor seconds of targets, `released` and `fast`."""
    (mean, deviation, noise), loss, preparing = problem(latents, index, count)
    slow, slow_seconds = timed(lambda: optimise_noise(mean, deviation, noise, loss, Descent()))
    fast, fast_seconds = timed(
        lambda: optimise_noise(mean, deviation, noise, loss, Descent(mode="fast", passes=passes))
    )
    moves = [(moved - noise).flatten() for moved in (fast, slow)]
    cosine = (moves[0] @ moves[1] / moves[0].norm() / moves[1].norm()).item()
    before, after, other = (loss.distance(mean + deviation * moved).item() for moved in (noise, slow, fast))
    print(
        f"step {index}: alignment {before:.0f} -> {after:.0f} released, {other:.0f} fast "
        f"({other / after - 1:+.1%}); cosine of the moves {cosine:.4f}; "
        f"{slow_seconds:.1f} s released, {fast_seconds:.1f} s fast "
        f"({slow_seconds / fast_seconds:.1f} times)"
    )
    if written:
        again = timed(lambda: plain(mean, deviation, noise, loss))[1]
        print(
            f"  plain loop {written[1]:.1f} s ({written[1] / slow_seconds:.2f} times released), with freed "
            f"memory kept {again:.1f} s ({again / slow_seconds:.2f} times); "
            f"largest difference {(written[0] - slow).abs().max():.1e}",
            flush=True,
        )
    return preparing, slow_seconds, fast_seconds


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photographs", type=Path, required=True, help="folder of images of one class")
    parser.add_argument("--autoencoder", required=True, help="folder of an AutoencoderTiny")
    parser.add_argument("--images", type=int, default=10, help="of the class, made jointly")
    parser.add_argument("--real", type=int, default=48, help="photographs to align with")
    parser.add_argument("--passes", type=int, default=25, help="of the mode fast")
    parser.add_argument("--steps", type=int, nargs="+", default=[40, 25, 10])
    parser.add_argument("--plain", action="store_true", help="also the plain loop")
    given = parser.parse_args()
    torch.set_num_threads(1)
    latents = latents_of(given.photographs, given.autoencoder, given.real)
    written: list[tuple[Tensor, float] | None] = [None] * len(given.steps)
    if given.plain:
        problems = [problem(latents, index, given.images) for index in given.steps]
        written = [timed(partial(plain, *samples, loss)) for samples, loss, _ in problems]
    keep_freed_memory()  # as the command does, and a plain script does not
    found = [
        measure(latents, index, given.images, given.passes, one)
        for index, one in zip(given.steps, written, strict=True)
    ]
    targets, slow, fast = (sum(times) / len(found) * (CHAIN - 1) for times in zip(*found, strict=True))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"one class of {given.images} without its generator, processor seconds on one thread:")
    print(
        f"  targets of {len(latents)} latents {targets:.0f}, released {slow:.0f}, fast {fast:.0f}; "
        f"peak {peak:.2f} GB"
    )
    generator = 2 * 2 * CHAIN * DIT_XL  # operations of an image, with guidance
    # per pass and sample 0.16 GFLOP forward and as much back; targets 6,500 passes at each step
    for count, hours in TABLE_12.items():
        optimised = {"released": 200, "fast": given.passes}
        whole = {
            mode: count * (generator + 0.32e9 * 49 * passes) + 6500 * 0.16e9 * 49
            for mode, passes in optimised.items()
        }
        told = ", ".join(f"{mode} {1000 * work / 1e18:.2f} EFLOP" for mode, work in whole.items())
        print(f"  ImageNet-1K at {count} per class: {told}; table 12: {hours} h on an RTX 2080 Ti")


if __name__ == "__main__":
    main()

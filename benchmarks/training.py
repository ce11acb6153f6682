"""Training step of condense against plain ones on a CPU, with the same network and batch; of a GPU: make gpu.

    python benchmarks/training.py                          DiT-S/2 at 32 x 32 x 4

The plain step is that of DiT's training script as its paper describes it: images encoded at each step by an
autoencoder of Stable Diffusion's size, fp32, AdamW, the average updated parameter by parameter. Weights and
images are random. Every row is measured in a process of its own, for the sake of its peak memory.
"""

import copy
import math
import multiprocessing
import resource
import time
from collections.abc import Callable
from typing import Annotated

import torch
import typer

from condense.base.memory import keep_freed_memory
from condense.config.objectives import OBJECTIVES
from condense.config.settings import Network, Recipe, Training
from condense.diffusion.objectives import process_of
from condense.diffusion.transformer import Transformer, build
from condense.training.data import Latents, Sources
from condense.training.examples import Examples
from condense.training.losses import Denoising
from condense.training.trainer import Trainer
from condense.training.workers import joined

SHAPE, PIXELS, CLASSES, IMAGES = (4, 32, 32), 256, 1000, 512
DEVICE = torch.device("cpu")


def network(size: str, objective: str) -> Transformer:
    torch.manual_seed(0)
    return build(Network(size=size), SHAPE, CLASSES, OBJECTIVES[objective].learned_variance).to(DEVICE)


def encoder() -> torch.nn.Module:
    """AutoencoderKL with the sizes of Stable Diffusion's."""
    from diffusers import AutoencoderKL

    widths = (128, 256, 512, 512)
    blocks = {
        "down_block_types": ("DownEncoderBlock2D",) * 4,
        "up_block_types": ("UpDecoderBlock2D",) * 4,
    }
    made = AutoencoderKL(latent_channels=4, block_out_channels=widths, layers_per_block=2, **blocks)
    return made.to(DEVICE).eval().requires_grad_(False)


def plain_step(size: str, objective: str, batch: int, encode: bool) -> Callable[[], None]:
    """The plain step, with or without the autoencoder at each step."""
    net, vae, method = network(size, objective), encoder() if encode else None, process_of(objective)
    average = copy.deepcopy(net)
    optimiser = torch.optim.AdamW(net.parameters(), lr=1e-4, weight_decay=0)
    images = torch.rand(batch, 3, PIXELS, PIXELS, device=DEVICE) * 2 - 1
    latents = torch.randn(batch, *SHAPE, device=DEVICE)
    draw = torch.Generator(DEVICE).manual_seed(0)

    def step() -> None:
        labels = torch.randint(CLASSES, (batch,), device=DEVICE)
        with torch.no_grad():
            clean = latents if vae is None else vae.encode(images).latent_dist.sample() * 0.18215
        noise, t = torch.randn_like(clean), method.draw_times(batch, draw)
        loss = method.losses(lambda x, t: net(x, t, labels), clean, t, noise).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        with torch.no_grad():
            for kept, value in zip(average.parameters(), net.parameters(), strict=True):
                kept.mul_(0.9999).add_(value, alpha=1 - 0.9999)
        loss.item()  # the script looks at each loss

    return step


def our_step(size: str, objective: str, batch: int) -> Callable[[], None]:
    keep_freed_memory()
    moments = torch.randn(IMAGES, 2, *SHAPE).half()
    labels, names = torch.arange(IMAGES) % CLASSES, [str(i) for i in range(IMAGES)]
    latents = Latents(moments, moments.abs(), labels, names, CLASSES, SHAPE)
    training = Training(batch=batch)
    with joined() as workers:
        examples = Examples(Sources(latents), objective, training, Recipe(), 0, workers)
        losses = Denoising(examples.objective.losses, 0.5)
        return Trainer(network(size, objective), examples, losses, training, workers).advance


def measure(make: Callable[..., Callable[[], None]], given: tuple, seconds: float) -> tuple[float, float]:
    """Seconds of the fastest call, which other work on the machine slowed least, and peak MiB.

    It is the time of one thread at work, which is not counted while others have the core.
    """
    torch.set_num_threads(1)
    step = make(*given)
    step()
    spent, began = math.inf, time.perf_counter()
    while spent == math.inf or time.perf_counter() - began < seconds:
        start = time.process_time()
        step()
        spent = min(spent, time.process_time() - start)
    return spent, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def alone(make: Callable[..., Callable[[], None]], given: tuple, seconds: float) -> tuple[float, float]:
    """`measure` in a fresh process, whose peak memory is its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(measure, (make, given, seconds))


def main(
    size: Annotated[str, typer.Option(help="Size of the network, with patches of 2.")] = "S",
    batch: Annotated[int, typer.Option(help="Images per step.")] = 4,
    seconds: Annotated[float, typer.Option(help="Time for each row.")] = 15,
) -> None:
    print(f"CPU time of one thread, patches of 2, latents of 4 x 32 x 32, batch {batch}\n")
    print("| network | step | images/s | of plain | peak MiB |")
    print("|---|---|---:|---:|---:|")
    plain = 0.0
    for title, (make, given) in rows(size, "adm", batch).items():
        spent, peak = alone(make, given, seconds)
        plain = plain or spent
        print(
            f"| DiT-{size}/2 | {title} | {batch / spent:.2f} | {plain / spent:.2f} | {peak:.0f} |", flush=True
        )


def rows(size: str, objective: str, batch: int) -> dict[str, tuple[Callable, tuple]]:
    """What is measured, by name; the first is what the others are compared with."""
    return {
        "plain training": (plain_step, (size, objective, batch, True)),
        "plain training, latents given": (plain_step, (size, objective, batch, False)),
        "condense training": (our_step, (size, objective, batch)),
    }


if __name__ == "__main__":
    typer.run(main)

"""Training step and sampling of gadc against plain ones, with the same network and batch.

    python benchmarks/training.py                          on a CPU: DiT-S/2 at 32 x 32 x 4
    python benchmarks/training.py --size L --batch 128     on a GPU: DiT-L/2 and SiT-L/2 of 256 pixels

The plain step is that of DiT's training script as its paper describes it: images encoded at each step by an
autoencoder of Stable Diffusion's size, fp32 (TF32 on a GPU), AdamW, the average updated parameter by
parameter. The plain sampler is the loop over one batch in the same arithmetic. Weights and images are random.
Every row is measured in a process of its own, for the sake of its peak memory.
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

from condense.base.compile import compile_network
from condense.base.memory import keep_freed_memory
from condense.config.objectives import OBJECTIVES
from condense.config.settings import Network, Recipe, Sampling, Training
from condense.config.study import Generator
from condense.diffusion.objectives import process_of
from condense.diffusion.samplers import SAMPLERS, guide
from condense.diffusion.transformer import Transformer, build
from condense.plan.estimate import operations
from condense.training.data import Latents, Sources
from condense.training.examples import Examples
from condense.training.losses import Denoising
from condense.training.trainer import Trainer
from condense.training.workers import joined

SHAPE, PIXELS, CLASSES, IMAGES = (4, 32, 32), 256, 1000, 512
PEAK = 989e12  # bf16 operations per second of an H100 or H200
CUDA = torch.cuda.is_available()
DEVICE = torch.device("cuda" if CUDA else "cpu")


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
    torch.set_float32_matmul_precision("high")
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


def sampler(size: str, objective: str, batch: int, ours: bool) -> Callable[[], None]:
    """One evaluation of the guided network per call, as in the 250 of an image."""
    net = network(size, objective).eval().requires_grad_(False)
    torch.set_float32_matmul_precision("high")
    if ours:
        compile_network(net, DEVICE)
    labels = torch.arange(batch, device=DEVICE)
    predict = guide(net, labels, 1.5)
    x = torch.randn(batch, *SHAPE, device=DEVICE)

    @torch.inference_mode()
    def step() -> None:
        with torch.autocast(DEVICE.type, torch.bfloat16, enabled=ours and CUDA):
            SAMPLERS[OBJECTIVES[objective].samplers[0]](predict, x, 2, lambda step: x)

    return step


def measure(make: Callable[..., Callable[[], None]], given: tuple, seconds: float) -> tuple[float, float]:
    """Seconds of the fastest call, which other work on the machine slowed least, and peak MiB.

    On a CPU it is the time of one thread at work, which is not counted while others have the core.
    """
    if not CUDA:
        torch.set_num_threads(1)
    step = make(*given)
    for _ in range(3 if CUDA else 1):
        step()
    wait()
    calls, spent, began = 10 if CUDA else 1, math.inf, time.perf_counter()
    clock = time.perf_counter if CUDA else time.process_time
    while spent == math.inf or time.perf_counter() - began < seconds:
        start = clock()
        for _ in range(calls):
            step()
        wait()
        spent = min(spent, (clock() - start) / calls)
    if CUDA:
        return spent, torch.cuda.max_memory_allocated() / 2**20
    return spent, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def wait() -> None:
    if CUDA:
        torch.cuda.synchronize()


def alone(make: Callable[..., Callable[[], None]], given: tuple, seconds: float) -> tuple[float, float]:
    """`measure` in a fresh process, whose peak memory is its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(measure, (make, given, seconds))


def main(
    size: Annotated[str, typer.Option(help="Size of the network, with patches of 2.")] = "S",
    batch: Annotated[int, typer.Option(help="Images per step.")] = 4,
    seconds: Annotated[float, typer.Option(help="Time for each row.")] = 15,
) -> None:
    where = torch.cuda.get_device_name() if CUDA else "CPU time of one thread"
    print(f"{where}, patches of 2, latents of 4 x 32 x 32, batch {batch}\n")
    print("| network | step | images/s | of plain | peak MiB |" + (" MFU |" if CUDA else ""))
    print("|---|---|---:|---:|---:|" + ("---:|" if CUDA else ""))
    for objective in OBJECTIVES if CUDA else ("adm",):
        name, plain = f"{OBJECTIVES[objective].family}-{size}/2", 0.0
        for title, (make, given) in rows(size, objective, batch).items():
            spent, peak = alone(make, given, seconds)
            # a call of a sampler is 2 of an image's 250 evaluations
            images = batch / 125 if "sampling" in title else batch
            plain = spent if title in ("plain training", "plain sampling") else plain
            line = f"| {name} | {title} | {images / spent:.2f} | {plain / spent:.2f} | {peak:.0f} |"
            line += f" {utilisation(size, objective, title, batch, spent):.0%} |" if CUDA else ""
            print(line, flush=True)


def rows(size: str, objective: str, batch: int) -> dict[str, tuple[Callable, tuple]]:
    """What is measured, by name; sampling only on a GPU."""
    training = {
        "plain training": (plain_step, (size, objective, batch, True)),
        "plain training, latents given": (plain_step, (size, objective, batch, False)),
        "gadc training": (our_step, (size, objective, batch)),
    }
    sampling = {
        "plain sampling": (sampler, (size, objective, batch, False)),
        "gadc sampling": (sampler, (size, objective, batch, True)),
    }
    return training | sampling if CUDA else training


def utilisation(size: str, objective: str, title: str, batch: int, spent: float) -> float:
    """Share of the GPU's peak that the network's own operations take."""
    sampler = OBJECTIVES[objective].samplers[0]
    settings = {"training": Training(steps=1, batch=batch), "network": Network(size=size)}
    chosen = Generator(
        objective=objective,
        resolution=PIXELS,
        autoencoder="vae",
        sampling=Sampling(images=batch, steps=2, sampler=sampler),
        **settings,
    )
    training, sampling = operations(chosen, CLASSES)
    return (sampling if "sampling" in title else training) / spent / PEAK


if __name__ == "__main__":
    typer.run(main)

"""Part 3: the sampler against the plain loop: guided, 250 steps, on latents of 256 pixels."""

from functools import partial

import torch

from benchmarks.gpu.figures import Figure, Outcome, Place
from benchmarks.gpu.timing import forget_peak, once, peak
from benchmarks.gpu.training import CLASSES, load, operations
from condense.base.compile import compile_network
from condense.config.objectives import OBJECTIVES
from condense.config.settings import Sampling
from condense.diffusion.generate import draw
from condense.diffusion.samplers import SAMPLERS, guide
from condense.diffusion.transformer import build

STEPS, BATCH = 250, 64
# ASSUME: shares of the peak of that arithmetic, without a backward pass
COMPILED, EAGER = 0.50, 0.30


def figures(place: Place) -> list[Figure]:
    """Images per second of both loops, for the usual sampler of each objective."""
    found = []
    for objective, facts in OBJECTIVES.items():
        # guidance evaluates the network twice; a training is three forward passes
        needed = 2 * STEPS * operations(load(place, objective, False)) / 3
        ways = {"plain loop, TF32": place.machine.tf32 * EAGER, "condense": place.machine.bf16 * COMPILED}
        for way, reached in ways.items():
            found.append(
                Figure(
                    f"{facts.family}-L/2, {facts.samplers[0]}, {way}",
                    "images/s",
                    reached / needed,
                    f"{needed / 1e12:.0f} TFLOP an image, {reached / 1e12:.0f} TFLOP/s",
                    partial(measure, objective, way == "condense", needed, place),
                )
            )
    return found


def measure(objective: str, ours: bool, needed: float, place: Place) -> Outcome:
    """Images per second, from fewer steps, for which the sampler takes as long each."""
    torch._dynamo.reset()
    forget_peak(place)
    chosen, batch, steps = load(place, objective, False), place.size(BATCH, 2), place.size(25, 2)
    torch.set_float32_matmul_precision("high")
    net = build(chosen.network, chosen.shape, CLASSES, OBJECTIVES[objective].learned_variance)
    net = net.to(place.device).eval().requires_grad_(False)
    sampler = OBJECTIVES[objective].samplers[0]
    labels = torch.arange(batch, device=place.device)
    predict = guide(net, labels, 1.5)
    start = torch.randn(batch, *chosen.shape, device=place.device)
    if ours:
        compile_network(net, place.device)
        sampling = Sampling(images=batch, sampler=sampler, steps=steps)
        call = partial(draw, predict, place.device, list(range(batch)), chosen.shape, sampling)
    else:
        plain = torch.inference_mode()(SAMPLERS[sampler])
        call = partial(plain, predict, start, steps, lambda step: torch.randn_like(start))
    once(call, place)
    seconds = min(once(call, place) for _ in range(place.size(2, 1)))
    rate = batch / (seconds * STEPS / steps)
    return Outcome(rate, rate * needed / place.machine.bf16, peak(place), f"from {steps} steps")

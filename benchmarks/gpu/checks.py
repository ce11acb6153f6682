"""Part 1: every path on the device, at small size, against the CPU or against the path's definition.

A check gives two sets of tensors that must agree: integers exactly, others to a tolerance of the norm of
their difference relative to the norm of what is expected. In float32 these are ten times what float32 and
float64 differ by on a CPU, in bfloat16 four times what bfloat16 and float32 do.
"""

from collections.abc import Callable
from functools import partial

import torch

from benchmarks.gpu import selection_checks, stage_checks
from benchmarks.gpu.differences import Tensors, against_cpu, judge
from benchmarks.gpu.figures import Figure, Place
from benchmarks.gpu.selection_checks import normal
from benchmarks.gpu.small import BATCH, RECIPE, SHAPE, losses, network, sources
from benchmarks.gpu.two_ranks import two_ranks
from condense.base.compile import compile_network
from condense.base.memory import keep_freed_memory
from condense.base.precision import full_precision
from condense.base.seeds import stream
from condense.config.objectives import OBJECTIVES
from condense.config.settings import Sampling, Training
from condense.diffusion.generate import draw
from condense.diffusion.samplers import SAMPLERS, guide
from condense.scoring.frechet import fit, frechet_distance
from condense.scoring.inception_score import inception_score
from condense.scoring.kernel_distance import kernel_distance
from condense.scoring.manifold import compare
from condense.training.examples import Batch, Examples
from condense.training.trainer import Trainer
from condense.training.workers import Workers


def figures(place: Place) -> list[Figure]:
    """A figure of each check: the largest relative difference, at most its tolerance."""
    keep_freed_memory()
    checks: list[tuple[str, float, Callable[[torch.device], tuple[Tensors, Tensors]]]] = [
        ("selection", 1e-9, against_cpu(selection_checks.together)),
        ("selection to a tolerance", 1e-6, against_cpu(selection_checks.to_a_tolerance)),
        ("selection, screened", 1e-9, against_cpu(selection_checks.screened)),
        ("selection by representatives", 1e-9, against_cpu(selection_checks.represented)),
        *(
            (f"gradients of {name}, float32", 1e-4, against_cpu(partial(gradients, name)))
            for name in OBJECTIVES
        ),
        *((f"training step of {name}, bfloat16, compiled", 1e-2, partial(step, name)) for name in OBJECTIVES),
        *((f"{name}, float32", 1e-5, against_cpu(partial(sampled, name))) for name in samplers()),
        ("sampling, bfloat16, compiled", 1e-2, guided),
        ("scores", 1e-6, against_cpu(scores)),
        ("two workers on one device", 1e-2, two_ranks),
    ]
    made = [
        Figure(name, "difference", tolerance, "tolerance", partial(judge, check, place.device), most=True)
        for name, tolerance, check in checks
    ]
    return made + stage_checks.figures(place)


def gradients(objective: str, device: torch.device) -> Tensors:
    """Gradients of the loss of one batch, with captions and alignment."""
    latents, captions, patches = sources()
    net, labels = network(objective).to(device), latents.labels[:BATCH]
    time = torch.linspace(0, 0.9, BATCH) if objective == "flow" else torch.arange(BATCH) * 100
    parts = (latents.mean[:BATCH, 0].float(), normal(BATCH, *SHAPE, seed=9), time, labels)
    batch = Batch(*(part.to(device) for part in (*parts, labels, captions[labels], patches[:BATCH, 0])))
    with full_precision():
        losses(objective)(net, batch).mean().backward()
    return {name: value.grad for name, value in net.named_parameters()}


def step(objective: str, device: torch.device) -> tuple[Tensors, Tensors]:
    """Loss and gradient norm of the trainer's first step, and of its batch in float32, not compiled."""
    workers, training = Workers(0, 1, device), Training(batch=BATCH, steps=4)
    examples = Examples(sources(), objective, training, RECIPE, 0, workers)
    net, plain = network(objective).to(device), network(objective).to(device)
    with full_precision():
        loss = losses(objective)(plain, examples.batch(0)).mean()
        loss.backward()
    norm = torch.nn.utils.get_total_norm([value.grad for value in plain.parameters()])
    precision = torch.get_float32_matmul_precision()
    try:
        trainer = Trainer(net, examples, losses(objective), training, workers)
        for _ in range(3):
            trainer.advance()
        trainer.check()
    finally:
        torch.set_float32_matmul_precision(precision)
    pairs = zip(net.parameters(), plain.parameters(), strict=True)
    moved = sum(float((new.detach() - old.detach()).abs().sum()) for new, old in pairs)
    if not moved:
        raise AssertionError("the trainer changes no weight")
    return {"loss, norm": trainer.history[0, :2]}, {"loss, norm": torch.stack([loss.detach(), norm])}


def samplers() -> list[str]:
    """Samplers that are the package's own."""
    return [name for name in SAMPLERS if name != "dpm-solver"]


def objective_of(sampler: str) -> str:
    """Objective that a sampler draws from."""
    return next(name for name, facts in OBJECTIVES.items() if sampler in facts.samplers)


def sampled(sampler: str, device: torch.device) -> Tensors:
    """Latents of three images by a sampler, guided, in float32."""
    net = network(objective_of(sampler)).to(device).eval().requires_grad_(False)
    labels = torch.arange(3, device=device)
    predict = guide(net, labels, 1.5, None, sources().captions.to(device)[labels])
    with torch.inference_mode(), full_precision():
        found = SAMPLERS[sampler](
            predict, normal(3, *SHAPE).to(device), 4, lambda i: normal(3, *SHAPE, seed=i).to(device)
        )
    return {"latents": found}


def guided(device: torch.device) -> tuple[Tensors, Tensors]:
    """Latents as the stage `generate` draws them, and the same in float32, not compiled."""
    net = network("flow").to(device).eval().requires_grad_(False)
    labels, sampling = torch.arange(3, device=device), Sampling(images=3, sampler="euler", steps=4)
    predict = guide(net, labels, sampling.guidance, None, sources().captions.to(device)[labels])
    start = torch.stack([torch.randn(SHAPE, generator=stream("sample", 0, i)) for i in range(3)])
    with torch.inference_mode(), full_precision():
        expected = SAMPLERS["euler"](predict, start.to(device), sampling.steps, None)
    compile_network(net, device)
    found = draw(predict, device, [0, 1, 2], SHAPE, sampling)
    return {"latents": found}, {"latents": expected}


def scores(device: torch.device) -> Tensors:
    """Every metric of features on the device."""
    samples, reference = normal(300, 16).to(device), normal(300, 16, seed=1).to(device)
    near = compare(samples, reference)
    values = [frechet_distance(fit(samples), fit(reference)), inception_score(samples, 100).mean]
    values += [kernel_distance(samples, reference, 10, 100).mean, *vars(near).values()]
    return {"scores": torch.tensor(values, dtype=torch.float64)}

"""What a study needs before it runs: GPU hours and disk, computed from its config."""

import math
from pathlib import Path
from typing import Annotated

import typer

from condense.config import study as studies
from condense.config.learners import Learner
from condense.config.objectives import OBJECTIVES
from condense.config.study import Generator, Study
from condense.plan import layout

SAMPLE_CHANNELS, SAMPLE_FACTOR = 4, 8  # ASSUME: latents of Stable Diffusion's autoencoders


def estimate(
    config: Annotated[Path, typer.Argument(help="Config of the study.")],
    images: Annotated[int, typer.Option(help="Images of the dataset.")] = 1_281_167,
    classes: Annotated[int, typer.Option(help="Classes of the dataset.")] = 1000,
    width: Annotated[int, typer.Option(help="Features of an encoder.")] = 2048,
    teraflops: Annotated[float, typer.Option(help="Peak of one GPU in bf16.")] = 989.0,
    utilisation: Annotated[float, typer.Option(help="Share of the peak that is reached.")] = 0.35,
    tables: Annotated[
        bool, typer.Option(help="Count the runs of all tables, not the comparisons' alone.")
    ] = False,
) -> None:
    """Estimate GPU hours and disk of a study from its config."""
    import yaml

    study = studies.load(yaml.safe_load(config.read_text()))
    hour = teraflops * 1e12 * utilisation * 3600
    runs = {run for budget in study.comparisons for run in study.rows(budget)}
    if tables:
        runs |= {run for table in study.tables for run in layout.runs(study, table)}
    print(f"{len(runs)} runs x {len(study.seeds)} seeds, at {utilisation:.0%} of {teraflops:.0f} TFLOP/s")
    print("generator            runs  training h  sampling h  weights GB  samples GB")
    total_hours = total_disk = 0.0
    for name, generator in study.generators.items():
        count = sum(run.learner == Learner("generator", name) for run in runs) * len(study.seeds)
        if not count:
            continue
        training, sampling = (count * cost / hour for cost in operations(generator, classes))
        training *= generator.weights is None
        kept = 1 + generator.training.steps // (generator.training.milestone_every or math.inf)
        weights = (generator.weights is None) * kept * count * 4 * parameters(generator, classes) / 1e9
        samples = count * generator.sampling.images * generator.resolution**2 * 3 / 1e9
        total_hours, total_disk = total_hours + training + sampling, total_disk + weights + samples
        print(f"{name:20} {count:4} {training:11.1f} {sampling:11.1f} {weights:11.1f} {samples:11.1f}")
    embeddings = len(encoders(study, {run.method for run in runs})) * images * width * 4 / 1e9
    total_disk += embeddings
    print(f"total {total_hours:.0f} GPU hours; {total_disk:.0f} GB, of which embeddings {embeddings:.0f} GB;")
    print("while a training runs, its saved states take another 8 times its weights.")


def encoders(study: Study, methods: set[str]) -> set[str]:
    """Encoders whose features of every image some methods need."""
    return {name for method in methods if (name := study.methods[method].encoder)}


def geometry(generator: Generator) -> tuple[int, int, int, int]:
    """(blocks, width, tokens, channels) of a generator's network."""
    from condense.diffusion.transformer import SIZES

    network = generator.network
    depth, width = (SIZES[network.size][:2]) if network.size else (network.depth, network.width)
    side = generator.resolution // (SAMPLE_FACTOR if generator.autoencoder else 1)
    return depth, width, (side // network.patch) ** 2, SAMPLE_CHANNELS if generator.autoencoder else 3


def operations(generator: Generator, classes: int) -> tuple[float, float]:
    """Floating-point operations of one training and of one run's sampling.

    A forward pass takes 2 * (12 width^2 + 2 tokens width) per block and token, a backward pass twice that;
    guidance evaluates the network twice.
    """
    depth, width, tokens, _ = geometry(generator)
    forward = 2 * depth * tokens * (12 * width**2 + 2 * tokens * width)
    training, sampling = generator.training, generator.sampling
    passes = (2 if sampling.guidance > 1 else 1) * (2 if sampling.sampler == "heun" else 1)
    return 3 * forward * training.batch * training.steps, passes * forward * sampling.steps * sampling.images


def parameters(generator: Generator, classes: int) -> int:
    """Number of parameters of a generator's network."""
    import torch

    from condense.diffusion.transformer import build

    _, _, tokens, channels = geometry(generator)
    side = generator.network.patch * round(tokens**0.5)
    with torch.device("meta"):
        learn_sigma = OBJECTIVES[generator.objective].learned_variance
        network = build(generator.network, (channels, side, side), classes, learn_sigma)
    return sum(value.numel() for value in network.parameters())

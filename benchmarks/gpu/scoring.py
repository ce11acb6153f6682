"""Part 3: all metrics of samples against as many images, on the CPU, as the stage does, and on the device."""

from collections.abc import Callable
from functools import cache, partial

import torch
from torch import Tensor

from benchmarks.gpu.figures import Figure, Outcome, Place
from benchmarks.gpu.timing import forget_peak, once, peak
from condense.scoring.frechet import fit, frechet_distance
from condense.scoring.inception_score import inception_score
from condense.scoring.kernel_distance import kernel_distance
from condense.scoring.manifold import compare

IMAGES, DIMENSIONS, LOGITS = 50_000, 2048, 1000
# processor seconds of one thread, see RESULTS.md
ON_ONE_THREAD = {
    "Fréchet distance": 14.1,
    "inception score": 1.4,
    "kernel distance": 18.2,
    "neighbours": 178.9,
}
CORES = 16
REACHED = 0.3  # ASSUME: of the peak of that arithmetic, on a device


def figures(place: Place) -> list[Figure]:
    """Seconds of each metric on the CPU and on the device."""
    found = []
    for name, (operations, arithmetic, work) in metrics(place).items():
        for where in ("CPU", "device"):
            seconds = place.machine.seconds(operations, arithmetic) / REACHED
            basis = f"{operations / 1e12:.3g} TFLOP in {arithmetic}"
            if where == "CPU":
                seconds, basis = ON_ONE_THREAD[name] / CORES, f"of one thread, by {CORES} cores"
            device = torch.device("cpu") if where == "CPU" else place.device
            measured = partial(measure, work, device, place)
            found.append(Figure(f"{name}, {where}", "s", seconds, basis, measured))
    return found


def metrics(place: Place) -> dict[str, tuple[float, str, Callable[[Tensor, Tensor, Tensor], object]]]:
    """Operations, their arithmetic and the work of each metric."""
    n, d = place.size(IMAGES, 300), place.size(DIMENSIONS, 16)
    return {
        "Fréchet distance": (
            2 * 2 * n * d**2 + 30 * d**3,
            "fp64",
            lambda samples, reference, _: frechet_distance(fit(samples), fit(reference)),
        ),
        "inception score": (20 * n * LOGITS, "fp64", lambda _, __, logits: inception_score(logits, n // 10)),
        "kernel distance": (
            100 * 3 * 2 * 1000**2 * d,
            "fp64",
            lambda samples, reference, _: kernel_distance(samples, reference),
        ),
        "neighbours": (
            2 * 2 * n**2 * d,  # all pairs between the sets, and the halves of those within each
            "fp32",
            lambda samples, reference, _: compare(samples, reference),
        ),
    }


@cache
def features(images: int, dimensions: int, seed: int) -> Tensor:
    """Features [n, d] on the CPU, correlated and rectified as an Inception's are."""
    random = torch.Generator().manual_seed(seed)
    mixing = torch.randn(64, dimensions, generator=torch.Generator().manual_seed(0)) / 8
    values = torch.randn(images, 64, generator=random) @ mixing
    return values.add_(torch.randn(images, dimensions, generator=random), alpha=0.5).relu_()


def measure(work: Callable[[Tensor, Tensor, Tensor], object], device: torch.device, place: Place) -> Outcome:
    """Seconds of a metric, its inputs being where it is computed."""
    n, d = place.size(IMAGES, 300), place.size(DIMENSIONS, 16)
    samples, reference = (features(n, d, seed).to(device) for seed in (2, 3))
    logits = samples @ torch.randn(d, LOGITS, generator=torch.Generator().manual_seed(1)).to(device) / 10
    forget_peak(place)
    seconds = once(partial(work, samples, reference, logits), place)
    return Outcome(seconds, None, peak(place) if device.type == "cuda" else None)

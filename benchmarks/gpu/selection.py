"""Part 3: GADC on classes of ImageNet's size, solved together as the stage does it."""

from functools import partial

import torch
from torch import Tensor

from benchmarks.gpu.figures import Figure, Outcome, Place
from benchmarks.gpu.timing import forget_peak, once, peak
from condense.config.settings import Gadc
from condense.selection.gadc import CLASSES_AT_ONCE, MEMORY
from condense.selection.objective import peak_memory
from condense.selection.search import condense

IMAGES, DIMENSIONS, CLASSES = 1300, 2048, 100
SETTINGS = Gadc(epsilon=0.05, epsilon_unit="median", beta=0.0)
# Sweeps over all swaps that a class takes with its restarts: measured on a CPU, see RESULTS.md
SWEEPS = {10: 7.6, 50: 11.4, 100: 10.4}
GOALS = {10: 6, 50: 30, 100: 90}  # seconds of 100 classes
REACHED = 0.5  # ASSUME: of the peaks of float32 arithmetic and of the bandwidth
LAUNCH = 5e-6  # ASSUME: seconds of a kernel that does nothing


def figures(place: Place) -> list[Figure]:
    """Seconds of all classes for each number of images per class."""
    found = []
    for budget in place.size((10, 50, 100), (3, 5)):
        seconds, basis = predict(place, budget)
        name = f"{place.size(CLASSES, 2)} classes, {budget} images of each"
        found.append(Figure(name, "s", seconds, basis, partial(measure, budget, place)))
    return found


def predict(place: Place, budget: int) -> tuple[float, str]:
    """Seconds from the operations of a sweep, the bytes of what it holds, and its kernels."""
    sweeps, n, iterations = SWEEPS.get(budget, 10), place.size(IMAGES, 40), SETTINGS.iterations
    classes = place.size(CLASSES, 2)
    # of each position and iteration: two products of [n, m] and [m, n], and four passes over [n, n]
    operations = budget * iterations * 2 * 2 * n**2 * budget
    moved = budget * iterations * 4 * 2 * 4 * n**2
    kernels = budget * iterations * 6 * -(-classes // CLASSES_AT_ONCE["cuda"])
    work = classes * place.machine.seconds(operations, "fp32", moved) / REACHED
    seconds = sweeps * (work + kernels * LAUNCH)
    goal = f"; goal {GOALS[budget]} s" if budget in GOALS else ""
    return (
        seconds,
        f"{sweeps} sweeps of {classes * operations / 1e12:.2g} TFLOP, {moved * classes / 1e9:.3g} GB{goal}",
    )


def draw(place: Place) -> Tensor:
    """Features [classes, n, d]: common factors and noise, rectified, as pooled features of a network are."""
    classes, n, d = place.size((CLASSES, IMAGES, DIMENSIONS), (2, 40, 16))
    random = torch.Generator(place.device).manual_seed(0)
    options = {"generator": random, "device": place.device}
    factors = torch.randn(classes, n, 32, **options) @ torch.randn(classes, 32, d, **options)
    return (factors / 4 + torch.randn(classes, n, d, **options)).relu()


def measure(budget: int, place: Place) -> Outcome:
    """Seconds of all classes, in batches of as many as the stage takes together."""
    features = draw(place)
    room = max(1, MEMORY // peak_memory(*features.shape[1:]))
    batches = features.split(min(CLASSES_AT_ONCE[place.device.type], room))
    forget_peak(place)
    optimal = []

    def solve() -> None:
        for batch in batches:
            optimal.append(condense(batch, None, [budget], SETTINGS)[budget].end.optimal)

    seconds = once(solve, place)
    if not torch.cat(optimal).all():
        raise AssertionError("a subset is no 1-swap optimum")
    return Outcome(seconds, None, peak(place), f"{len(batches[0])} classes at a time")

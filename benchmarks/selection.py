"""Seconds, memory and objective of selection against materialised candidates and POT's batched solver.

    python benchmarks/selection.py                         the whole table (tens of minutes on 2 cores)
    python benchmarks/selection.py --sizes 1300 --dimensions 2048 --budgets 10
    python benchmarks/selection.py --classes 20            seconds for 20 classes of 1,300 x 2,048
    python benchmarks/selection.py --classes 1000 --device cuda

Features are drawn at random: 32 common factors and noise, rectified, as pooled features of a network are. A
*sweep* is the objective of every swap. `released` materialises the m x n costs of each candidate subset and
solves it by 20 Sinkhorn steps, as the release's code does; `pot` hands the same augmented problems to
`ot.solve_batch`. Both are timed on a sample of the candidates and scaled, which the table marks with *.
"""

import dataclasses
import itertools
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Annotated

import numpy as np
import torch
import typer

from condense.config.settings import Gadc
from condense.selection.objective import Objective
from condense.selection.search import condense

SETTINGS = Gadc(epsilon=0.05, epsilon_unit="median", beta=0)
CHUNK = 256  # candidates that the release solves at a time


def draw(n: int, d: int, seed: int = 0) -> torch.Tensor:
    """Features [n, d] of one class."""
    random = torch.Generator().manual_seed(seed)
    factors = torch.randn(n, 32, generator=random) @ torch.randn(32, d, generator=random)
    return (factors / 4 + torch.randn(n, d, generator=random)).relu()


def released(features: torch.Tensor, subsets: torch.Tensor, epsilon: float) -> torch.Tensor:
    """Transport + statistics of candidate subsets [b, m], every one materialised, from the formula."""
    n, m = len(features), subsets.shape[1]
    images = features[subsets]  # [b, m, d]
    cost = torch.cdist(images, features.expand(len(subsets), -1, -1)).square()  # [b, m, n]
    dummy = cost.flatten(1).median(1).values * SETTINGS.dummy_cost
    kernel = torch.exp(-torch.cat([cost, dummy[:, None, None].expand(-1, 1, n)], 1) / epsilon)
    rows = torch.full((m + 1,), 1 / m)
    rows[-1] = SETTINGS.capacity - 1
    v = torch.ones(len(subsets), n)
    for _ in range(SETTINGS.iterations):
        u = rows / (kernel @ v[:, :, None])[:, :, 0]
        v = SETTINGS.capacity / n / (kernel.transpose(1, 2) @ u[:, :, None])[:, :, 0]
    shipped = ((u[:, :, None] * kernel * v[:, None])[:, :m] * cost).sum((1, 2))
    gaps = images.mean(1) - features.mean(0), images.std(1) - features.std(0)
    return shipped + SETTINGS.alpha * (1.25 * gaps[0].square().sum(1) + gaps[1].square().sum(1))


def pot(features: torch.Tensor, subsets: torch.Tensor, epsilon: float) -> torch.Tensor:
    """Transport of candidate subsets [b, m] by POT's batched solver on the augmented problem."""
    import ot

    n, m = len(features), subsets.shape[1]
    cost = torch.cdist(features[subsets], features.expand(len(subsets), -1, -1)).square()
    augmented = torch.cat([cost, torch.zeros_like(cost[:, :1])], 1)
    rows = torch.full((len(subsets), m + 1), 1 / m)
    rows[:, -1] = SETTINGS.capacity - 1
    columns = torch.full((len(subsets), n), SETTINGS.capacity / n)
    solved = ot.solve_batch(
        augmented, epsilon, rows, columns, method="log_sinkhorn", max_iter=SETTINGS.iterations, tol=0
    )
    return (solved.plan[:, :m] * cost).sum((1, 2))


def sweep(objective: Objective, subset: torch.Tensor) -> torch.Tensor:
    """Objective of every swap of every position, [m, n], by shared kernels."""
    objective.warm_start(torch.tensor([0]), subset)
    positions = range(subset.shape[1])
    shared = [torch.cat([subset[:, :i], subset[:, i + 1 :]], 1) for i in positions]
    return torch.cat([objective.extend(rest) for rest in shared])


def clock(function: Callable, *given: object, repeat: int = 1) -> float:
    """Fewest processor seconds of some calls."""
    seconds = []
    for _ in range(repeat):
        began = time.process_time()
        function(*given)
        seconds.append(time.process_time() - began)
    return min(seconds)


def measure(solver: str, n: int, d: int, m: int) -> None:
    """Print what one solver needs, with this process's peak memory in GB."""
    features = draw(n, d)
    objective = Objective(features[None], None, SETTINGS)
    if solver == "gadc":
        seconds = clock(sweep, objective, torch.arange(m)[None], repeat=3)
        began = time.process_time()
        chosen = condense(features[None], None, [m], SETTINGS)[m]
        whole, extra = time.process_time() - began, [chosen.greedy.item(), chosen.end.value.item()]
        print(seconds, peak(), whole, *extra)
        return
    sample = min(CHUNK, 2560 // m)
    random = torch.Generator().manual_seed(1)
    candidates = torch.stack([torch.randperm(n, generator=random)[:m] for _ in range(sample)])
    function = {"released": released, "pot": pot}[solver]
    seconds = clock(function, features, candidates, objective.transport.epsilon.item())
    print(seconds * m * (n - m) / sample, peak())


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def ask(solver: str, *words: str) -> list[float]:
    """Measure in a process of its own, so that the peak is its own."""
    command = [sys.executable, __file__, *words, "--solver", solver]
    return [float(word) for word in subprocess.check_output(command, text=True).split()]


def fit_exponents(rows: list[list[float]]) -> str:
    """Exponents of n, d and m in the seconds of the whole class, by least squares of logarithms."""
    table = np.log(rows)
    design = np.column_stack([table[:, :3], np.ones(len(table))])
    n, d, m, _ = np.linalg.lstsq(design, table[:, 3], rcond=None)[0]
    return f"seconds of the whole class grow as n^{n:.2f} d^{d:.2f} m^{m:.2f}"


def many_classes(classes: int, n: int, d: int, m: int, device: str) -> None:
    """Print seconds for many classes, a batch at a time on a GPU."""
    at_once = 1 if device == "cpu" else 32
    began = time.perf_counter()
    for start in range(0, classes, at_once):
        seeds = range(start, min(start + at_once, classes))
        condense(torch.stack([draw(n, d, seed) for seed in seeds]).to(device), None, [m], SETTINGS)
        if device == "cuda":
            torch.cuda.synchronize()
    seconds = time.perf_counter() - began
    print(f"{classes} classes of {n} x {d}, {m} each, on {device}: {seconds:.1f} s")


def main(
    sizes: Annotated[str, typer.Option(help="Images per class, with commas.")] = "300,1300",
    dimensions: Annotated[str, typer.Option(help="Features, with commas.")] = "512,2048",
    budgets: Annotated[str, typer.Option(help="Images chosen, with commas.")] = "10,50,100",
    classes: Annotated[int, typer.Option(help="Time so many classes instead.")] = 0,
    device: Annotated[str, typer.Option(help="cpu or cuda, for --classes.")] = "cpu",
    restarts: Annotated[int, typer.Option(help="Setting of that name.")] = Gadc.restarts,
    threads: Annotated[int, typer.Option(help="Compute threads.")] = 1,
    solver: Annotated[str, typer.Option(hidden=True)] = "",
) -> None:
    """Measure selection."""
    global SETTINGS
    SETTINGS = dataclasses.replace(SETTINGS, restarts=restarts)
    torch.set_num_threads(threads)
    numbers = [[int(word) for word in words.split(",")] for words in (sizes, dimensions, budgets)]
    n, d, m = (first for first, *_ in numbers)
    if solver:
        return measure(solver, n, d, m)
    if classes:
        return many_classes(classes, numbers[0][-1], numbers[1][-1], m, device)
    print(f"torch {torch.__version__}, processor seconds of {threads} threads, {restarts} restarts")
    print(
        "| n | d | m | sweep s | GB | released s | GB | pot s | GB | ratio | whole class s | greedy | end |"
    )
    print("|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|", flush=True)
    rows = []
    for n, d, m in itertools.product(*numbers):
        words = [
            "--sizes",
            n,
            "--dimensions",
            d,
            "--budgets",
            m,
            "--restarts",
            restarts,
            "--threads",
            threads,
        ]
        ours, theirs, pots = (ask(name, *map(str, words)) for name in ("gadc", "released", "pot"))
        print(
            f"| {n} | {d} | {m} | {ours[0]:.3f} | {ours[1]:.2f} | {theirs[0]:.0f} * | {theirs[1]:.2f} "
            f"| {pots[0]:.0f} * | {pots[1]:.2f} | {theirs[0] / ours[0]:.0f} "
            f"| {ours[2]:.2f} | {ours[3]:.2f} | {ours[4]:.2f} |",
            flush=True,
        )
        rows.append([n, d, m, ours[2]])
    if len(rows) > 3:
        print(fit_exponents(rows))


if __name__ == "__main__":
    typer.run(main)

"""The objective written out from the paper's formulas in plain NumPy, as slow as it likes."""

import numpy as np

from condense.config.settings import Gadc


def transport(cost: np.ndarray, epsilon: float, capacity: float, iterations: int) -> float:
    """Sinkhorn on the problem with its dummy row, in the linear domain, rows first, columns last."""
    m, n = cost.shape
    a, b = np.r_[np.full(m, 1 / m), capacity - 1], np.full(n, capacity / n)
    kernel = np.exp(-np.r_[cost, np.full((1, n), np.median(cost))] / epsilon)
    v = np.ones(n)
    for _ in range(iterations):
        u = a / (kernel @ v)
        v = b / (kernel.T @ u)
    return float(((u[:, None] * kernel * v)[:m] * cost).sum())


def objective(features: np.ndarray, nll: np.ndarray, subset: list[int], chosen: Gadc) -> float:
    """Transport + alpha * statistics + beta * confidence of one subset of a class."""
    images = features[subset]
    cost = ((images[:, None] - features[None]) ** 2).sum(2)
    std = images.std(0, ddof=1) if len(subset) > 1 else np.zeros(features.shape[1])
    mean_gap, std_gap = images.mean(0) - features.mean(0), std - features.std(0, ddof=1)
    if chosen.statistics == "bures":
        statistics = 1.25 * (mean_gap**2).sum() + (std_gap**2).sum()
    else:
        statistics = (mean_gap**2).sum() + np.abs(std_gap).sum() ** 2
    shipped = transport(cost, chosen.epsilon, chosen.capacity, chosen.iterations) if chosen.transport else 0.0
    return shipped + chosen.alpha * statistics + chosen.beta * nll[subset].mean()

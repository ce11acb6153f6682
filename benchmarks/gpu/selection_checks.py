"""Part 1, selection: each of its ways through a class, with the sizes from which it is taken made small."""

from dataclasses import replace
from unittest.mock import patch

import torch
from torch import Tensor

from condense.config.settings import Gadc
from condense.selection import large, screening
from condense.selection.gadc import choose_by_gadc
from condense.selection.image_class import ordered
from condense.selection.search import condense

SETTINGS = Gadc(epsilon=0.1, epsilon_unit="median", beta=2.0, restarts=1)


def normal(*shape: int, seed: int = 0) -> Tensor:
    """Normal numbers drawn on the CPU, the same for every device."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def together(device: torch.device) -> dict[str, Tensor]:
    """Subsets of three classes of 60 images, and their objectives."""
    return _solved(SETTINGS, 3, device)


def to_a_tolerance(device: torch.device) -> dict[str, Tensor]:
    """The same, where the transport of each subset is solved to a tolerance."""
    return _solved(replace(SETTINGS, tolerance=1e-4), 3, device)


def screened(device: torch.device) -> dict[str, Tensor]:
    """The same of one class, whose candidates are screened."""
    with patch.multiple(screening, IMAGES=40, CANDIDATES=20):
        return _solved(SETTINGS, 1, device)


def represented(device: torch.device) -> dict[str, Tensor]:
    """Subset of a class that is transported onto representatives, and chosen from a part of it at first."""
    features = normal(90, 16).relu().numpy()
    paths = [f"{number:03}.png" for number in range(len(features))]
    images = ordered("all", 0, paths, features, -normal(90, seed=1).abs().numpy())
    settings = replace(SETTINGS, columns=16)
    with patch.multiple(large, LARGE=60, DRAWN=30, JOINING=12):
        (choice,) = choose_by_gadc([images], [4], settings, device.type)
    value = torch.tensor(choice.diagnostics["objective"], dtype=torch.float64)
    return {"subset": torch.tensor(choice.ranked), "value": value}


def _solved(settings: Gadc, classes: int, device: torch.device) -> dict[str, Tensor]:
    """Subsets of two sizes, and their objectives."""
    features = normal(classes, 60, 16).relu().to(device)
    nll = normal(classes, 60, seed=1).abs().to(device)
    return {
        f"{name} {budget}": getattr(one.end, name)
        for budget, one in condense(features, nll, [2, 5], settings).items()
        for name in ("subsets", "value")
    }

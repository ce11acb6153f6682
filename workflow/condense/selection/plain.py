"""Ways to choose that look at no image: each chooses from one class and returns ranked positions."""

from collections.abc import Sequence

import torch
from torch import Generator, Tensor


def choose_randomly(paths: Sequence[str], budget: int, generator: Generator) -> Tensor:
    """First `budget` images of a permutation that depends on the seed and the class name alone."""
    return torch.randperm(len(paths), generator=generator)[:budget]


def choose_all(paths: Sequence[str]) -> Tensor:
    """Every image of the class."""
    return torch.arange(len(paths))


def choose_none() -> Tensor:
    """No image."""
    return torch.arange(0)

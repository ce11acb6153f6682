"""Selectors that look at no image: each chooses from one class and returns ranked positions."""

from collections.abc import Callable

import torch

from condense.base.seeds import stream
from condense.images.lists import choose_listed
from condense.selection.candidates import ImageClass


def choose_randomly(images: ImageClass, budget: int, seed: int) -> list[int]:
    """First `budget` images of a permutation that depends on the seed and the class name alone."""
    return torch.randperm(len(images.paths), generator=stream("select", seed, images.name))[:budget].tolist()


def choose_all(images: ImageClass, budget: int) -> list[int]:
    """Every image of the class."""
    return list(range(len(images.paths)))


def choose_none(images: ImageClass, budget: int) -> list[int]:
    """No image."""
    return []


def choose_from_list(images: ImageClass, budget: int, file: str) -> list[int]:
    """First `budget` images of the class in somebody's list."""
    return choose_listed(images.name, images.paths, budget, file)


# tag of the settings class: function (images, budget, **its settings) -> ranked positions
WITHOUT_FEATURES: dict[str, Callable[..., list[int]]] = {
    "random": choose_randomly,
    "full": choose_all,
    "none": choose_none,
    "list": choose_from_list,
}

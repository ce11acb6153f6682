"""Kernel distance: torch-fidelity's numbers, the definition, and refusals."""

import numpy as np
import pytest
import torch

from condense.base.errors import InputError
from condense.scoring.kernel_distance import kernel_distance


def normal(count: int, dimensions: int, seed: int, offset: float = 0.0) -> torch.Tensor:
    return torch.randn(count, dimensions, generator=torch.Generator().manual_seed(seed)) + offset


def digits() -> tuple[torch.Tensor, torch.Tensor]:
    from sklearn.datasets import load_digits

    pixels = torch.tensor(load_digits().data, dtype=torch.float32) / 16
    return pixels[:900], pixels[900:]


def fidelity(samples: torch.Tensor, reference: torch.Tensor, subsets: int, size: int, seed: int) -> tuple:
    from torch_fidelity.metric_kid import kid_features_to_metric

    settings = {"kid_subsets": subsets, "kid_subset_size": size, "rng_seed": seed, "verbose": False}
    result = kid_features_to_metric(samples, reference, **settings)
    return result["kernel_inception_distance_mean"], result["kernel_inception_distance_std"]


@pytest.mark.parametrize(
    "sets",
    [digits(), (normal(400, 30, 1), normal(500, 30, 2, 0.2)), (normal(300, 600, 3), normal(300, 600, 4))],
)
@pytest.mark.parametrize(("subsets", "size", "seed"), [(10, 100, 2020), (3, 250, 7)])
def test_equals_torch_fidelity(sets, subsets, size, seed) -> None:
    expected = fidelity(sets[0].double(), sets[1].double(), subsets, size, seed)
    result = kernel_distance(*sets, subsets=subsets, subset_size=size, seed=seed)
    assert (result.mean, result.std) == pytest.approx(expected, rel=1e-9, abs=1e-12)
    rounded = fidelity(*sets, subsets, size, seed)  # its sums in float32
    assert (result.mean, result.std) == pytest.approx(rounded, abs=1e-6)


def test_equals_the_definition_on_whole_sets() -> None:
    first, second = normal(20, 5, 5).numpy().astype(float), normal(20, 5, 6).numpy().astype(float)

    def kernel(x: np.ndarray, y: np.ndarray) -> float:
        return (x @ y / 5 + 1) ** 3

    within = [kernel(s[i], s[j]) for s in (first, second) for i in range(20) for j in range(20) if i != j]
    across = [kernel(x, y) for x in first for y in second]
    expected = sum(within) / (20 * 19) - 2 * sum(across) / 400
    assert kernel_distance(first, second, subsets=1).mean == pytest.approx(expected, rel=1e-10)


def test_is_near_zero_without_a_difference_and_grows_with_it() -> None:
    reference = normal(1000, 20, 7)
    same, near, far = (
        kernel_distance(normal(1000, 20, 8, shift), reference, 5).mean for shift in (0.0, 0.1, 0.3)
    )
    assert abs(same) < 5e-3
    assert same < near < far


def test_a_small_set_shrinks_the_draws_and_the_result_says_so() -> None:
    result = kernel_distance(normal(60, 4, 9), normal(300, 4, 10), subsets=5)
    assert (result.subset_size, result.subsets) == (60, 5)


def test_bad_input_is_one_sentence() -> None:
    with pytest.raises(InputError, match="same detector"):
        kernel_distance(normal(10, 4, 0), normal(10, 5, 0))
    with pytest.raises(InputError, match="two images"):
        kernel_distance(normal(1, 4, 0), normal(10, 4, 0))
    with pytest.raises(InputError, match="not finite"):
        kernel_distance(normal(10, 4, 0) / 0, normal(10, 4, 0))

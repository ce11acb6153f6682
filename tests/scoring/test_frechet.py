"""Fréchet distance: agreement with two libraries, exactness where they have none, and refusals."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from condense.base.errors import InputError
from condense.base.gaussian import Gaussian, Moments
from condense.scoring.frechet import accumulate, fit, frechet_distance

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "metrics.json").read_text())


def digits() -> torch.Tensor:
    from sklearn.datasets import load_digits

    return torch.tensor(load_digits().data, dtype=torch.float32)


def correlated(count: int, dimensions: int, seed: int, offset: float = 0.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(dimensions, dimensions, generator=generator, dtype=torch.float64) / dimensions**0.5
    return torch.randn(count, dimensions, generator=generator, dtype=torch.float64) @ mixing + offset


def fidelity(first: torch.Tensor, second: torch.Tensor) -> float:
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

    statistics = [fid_features_to_statistics(features.double()) for features in (first, second)]
    return fid_statistics_to_metric(*statistics, False)["frechet_inception_distance"]


def clean(first: torch.Tensor, second: torch.Tensor) -> float:
    from cleanfid.fid import frechet_distance as distance

    first, second = first.double().numpy(), second.double().numpy()
    return distance(first.mean(0), np.cov(first, rowvar=False), second.mean(0), np.cov(second, rowvar=False))


@pytest.mark.parametrize("library", [fidelity, clean])
@pytest.mark.parametrize(("count", "dimensions"), [(600, 8), (3000, 64), (2000, 256)])
def test_equals_other_libraries_on_random_features(library, count, dimensions) -> None:
    first, second = correlated(count, dimensions, 1), correlated(count + 50, dimensions, 2, offset=0.1)
    assert frechet_distance(fit(first), fit(second)) == pytest.approx(library(first, second), rel=1e-6)


@pytest.mark.parametrize("library", [fidelity, clean])
def test_equals_other_libraries_on_real_features(library) -> None:
    pixels = digits()
    pixels = pixels[:, pixels[:900].std(0).minimum(pixels[900:].std(0)) > 1]
    distance = frechet_distance(fit(pixels[:900]), fit(pixels[900:]))
    assert distance == pytest.approx(library(pixels[:900], pixels[900:]), rel=1e-6)


def test_equals_torch_fidelity_on_real_features_without_full_rank() -> None:
    pixels = digits()  # some are white in every image
    distance = frechet_distance(fit(pixels[:900]), fit(pixels[900:]))
    assert distance == pytest.approx(fidelity(pixels[:900], pixels[900:]), rel=1e-6)


@pytest.mark.parametrize("exponent", range(1, 12, 2))
@pytest.mark.parametrize("dimensions", [2, 16, 256])
def test_equals_torch_fidelity_for_any_number_of_images(exponent, dimensions) -> None:
    random = np.random.RandomState(2023)
    first, second = (torch.tensor(random.randn(2**exponent, dimensions)) for _ in range(2))
    expected = fidelity(first, second)
    assert frechet_distance(fit(first), fit(second)) == pytest.approx(expected, rel=1e-6, abs=1e-5)


def test_stays_a_number_where_a_real_square_root_does_not() -> None:
    random = np.random.RandomState(1)
    first, second = (torch.tensor(random.randn(4, 4)) for _ in range(2))
    products = np.cov(first, rowvar=False) @ np.cov(second, rowvar=False)
    assert np.linalg.eigvals(products).real.min() < 0
    assert frechet_distance(fit(first), fit(second)) == pytest.approx(fidelity(first, second), abs=1e-5)


def test_matches_the_published_statistics() -> None:
    assert "FID == 2048" in GOLDEN["pytorch_fid_stats"]["case1"]
    unit = np.eye(2048)
    first, second = Gaussian.of(np.zeros(2048), unit), Gaussian.of(np.ones(2048), unit)
    assert frechet_distance(first, second) == pytest.approx(2048, abs=1e-9)
    small = fit(np.array([[0.0] * 3, [0.5] * 3, [1.0] * 3], dtype=np.float32))
    assert torch.allclose(small.mean, torch.full((3,), 0.5).double())
    assert torch.allclose(small.covariance, torch.full((3, 3), 0.25).double())


def test_matches_the_formula_for_known_gaussians() -> None:
    first, second = torch.tensor([1.0, 4.0, 9.0]), torch.tensor([4.0, 4.0, 0.0])
    distance = frechet_distance(
        Gaussian.of(torch.zeros(3), first.diag()), Gaussian.of(torch.ones(3), second.diag())
    )
    assert distance == pytest.approx(3 + (first.sqrt() - second.sqrt()).square().sum().item(), rel=1e-12)


@pytest.mark.parametrize("count", [2, 5, 40, 64, 65, 400])
def test_a_set_is_at_distance_zero_from_itself(count) -> None:
    features = correlated(count, 64, 3, offset=100.0).float()
    assert 0 <= frechet_distance(fit(features), fit(features)) < 1e-6
    assert 0 <= frechet_distance(fit(features), fit(features.flip(0))) < 1e-6
    stored = Gaussian.of(fit(features).mean, fit(features).covariance)
    assert 0 <= frechet_distance(fit(features), stored) < 1e-4


def test_fewer_images_than_dimensions_are_as_exact_as_a_rotated_small_problem() -> None:
    # Embedding 6 dimensions isometrically in 200 changes no distance, but makes both covariances singular.
    first, second = correlated(50, 6, 4), correlated(70, 6, 5, offset=0.3)
    basis = torch.linalg.qr(correlated(200, 6, 6)).Q.T
    expected = frechet_distance(fit(first), fit(second))
    assert frechet_distance(fit(first @ basis), fit(second @ basis)) == pytest.approx(expected, rel=1e-10)
    stored = [Gaussian.of(fit(x @ basis).mean, fit(x @ basis).covariance) for x in (first, second)]
    assert frechet_distance(*stored) == pytest.approx(expected, rel=1e-6)


def test_directions_without_variance_add_no_rounding_noise() -> None:
    variances = torch.tensor([4.0, 9.0, 0.25], dtype=torch.float64)
    basis = torch.linalg.qr(correlated(300, 3, 13)).Q
    flat = Gaussian.of(torch.zeros(300), basis @ variances.diag() @ basis.T)
    expected = 297 + (variances.sqrt() - 1).square().sum().item()
    full = Gaussian.of(torch.zeros(300), torch.eye(300))
    assert frechet_distance(flat, full) == pytest.approx(expected, rel=1e-11)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**16), counts=st.tuples(*[st.integers(2, 40)] * 2), constant=st.booleans())
def test_is_symmetric_finite_and_never_negative(seed, counts, constant) -> None:
    first, second = correlated(counts[0], 12, seed), correlated(counts[1], 12, seed + 1)
    if constant:
        first[:] = first[0]
    there, back = frechet_distance(fit(first), fit(second)), frechet_distance(fit(second), fit(first))
    assert 0 <= there < float("inf")
    assert there == pytest.approx(back, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("batch", [1, 7, 512, 4096])
def test_batches_and_order_change_nothing(batch) -> None:
    features = correlated(1200, 40, 7, offset=1000.0)
    shuffled = features[torch.randperm(1200, generator=torch.Generator().manual_seed(0))]
    whole, other = fit(features), accumulate(shuffled.split(batch))
    assert torch.allclose(whole.covariance, other.covariance, rtol=1e-10, atol=1e-12)
    reference = fit(correlated(900, 40, 8))
    assert frechet_distance(whole, reference) == pytest.approx(frechet_distance(other, reference), rel=1e-11)


def test_one_thread_or_two_give_the_same_to_twelve_digits() -> None:
    first, second, threads = correlated(900, 300, 9), correlated(800, 300, 10), torch.get_num_threads()
    distances = []
    for count in (1, 2):
        torch.set_num_threads(count)
        distances.append(frechet_distance(fit(first), fit(second)))
    torch.set_num_threads(threads)
    assert distances[0] == pytest.approx(distances[1], rel=1e-12)


def test_reads_an_open_hdf5_dataset(tmp_path) -> None:
    import h5py

    features = correlated(500, 10, 11).float()
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file["features"] = features.numpy()
        assert frechet_distance(fit(file["features"]), fit(features)) == pytest.approx(0, abs=1e-12)


def test_bad_input_is_one_sentence() -> None:
    features = correlated(20, 4, 12)
    broken = features.clone()
    broken[3, 2] = float("nan")
    with pytest.raises(InputError, match="not finite"):
        fit(broken)
    with pytest.raises(InputError, match="two images"):
        fit(features[:1])
    with pytest.raises(InputError, match="two images"):
        Moments().gaussian()
    with pytest.raises(InputError, match=r"\[d\] and \[d, d\]"):
        Gaussian.of(torch.zeros(3), torch.eye(4))
    with pytest.raises(InputError, match="same detector"):
        frechet_distance(fit(features), fit(features[:, :3]))
    moments = Moments()
    moments.add(features)
    with pytest.raises(InputError, match="dimensions after"):
        moments.add(features[:, :3])

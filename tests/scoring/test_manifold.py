"""Precision, recall, density, coverage: agreement with two libraries, exact decisions, sense of direction."""

import contextlib
import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from condense.base.errors import InputError
from condense.scoring import neighbours
from condense.scoring.manifold import Manifold, compare
from condense.scoring.neighbours import Points, nearest, squared_neighbour_distances, tiles

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "metrics.json").read_text())


def normal(count: int, dimensions: int, seed: int, scale: float = 1.0, offset: float = 0.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, dimensions, generator=generator) * scale + offset


def digits() -> tuple[torch.Tensor, torch.Tensor]:
    from sklearn.datasets import load_digits

    pixels = torch.tensor(load_digits().data, dtype=torch.float32)
    return pixels[::2], pixels[1::2]


def brute_force(samples: torch.Tensor, reference: torch.Tensor, k: int = 3, wide: int = 5) -> tuple:
    """The definitions, word for word, on whole float64 matrices of squared distances."""

    def squared(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return torch.stack([(row.double() - y.double()).square().sum(1) for row in x])

    real, generated, cross = (
        squared(reference, reference),
        squared(samples, samples),
        squared(samples, reference),
    )
    narrow, broad = real.sort(1).values[:, k], real.sort(1).values[:, wide]
    own = generated.sort(1).values[:, k]
    return (
        (cross <= narrow).any(1).double().mean().item(),
        (cross <= own[:, None]).any(0).double().mean().item(),
        (cross < broad).double().sum().item() / (wide * len(samples)),
        (cross < broad).any(0).double().mean().item(),
    )


def values(result: Manifold) -> tuple:
    return result.precision, result.recall, result.density, result.coverage


SETS = {
    "narrower": (normal(700, 16, 1, 0.8), normal(900, 16, 2)),
    "fewer images than dimensions": (normal(60, 300, 3), normal(50, 300, 4, offset=0.05)),
    "far from the origin": (normal(500, 24, 5, offset=300.0), normal(400, 24, 6, offset=300.0)),
    "digits": digits(),
}


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("whole", [True, False])
def test_precision_and_recall_equal_torch_fidelity(name, whole) -> None:
    from torch_fidelity.metric_prc import calculate_precision_recall_full, calculate_precision_recall_part

    samples, reference = SETS[name]
    library = calculate_precision_recall_full if whole else calculate_precision_recall_part
    expected = library(samples.double(), reference.double(), neighborhood=3, batch_size=300)
    result = compare(samples, reference)
    assert (result.precision, result.recall) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("name", SETS)
def test_density_and_coverage_equal_prdc(name) -> None:
    from prdc import compute_prdc

    samples, reference = SETS[name]
    with contextlib.redirect_stdout(io.StringIO()):
        expected = compute_prdc(reference.double().numpy(), samples.double().numpy(), nearest_k=5)
    result = compare(samples, reference, neighbours=5)
    assert result.density == pytest.approx(expected["density"], abs=1e-9)
    assert result.coverage == pytest.approx(expected["coverage"], abs=1e-9)
    if name != "digits":  # there, points lie on the rim, which prdc leaves out
        assert result.precision == pytest.approx(expected["precision"], abs=1e-9)
        assert result.recall == pytest.approx(expected["recall"], abs=1e-9)


@pytest.mark.parametrize("name", SETS)
def test_equals_the_definition(name) -> None:
    assert values(compare(*SETS[name])) == brute_force(*SETS[name])


@pytest.mark.parametrize("tile", [16, 100, 2048])
def test_tiles_change_nothing(tile, monkeypatch) -> None:
    expected = {name: values(compare(*sets)) for name, sets in SETS.items()}
    monkeypatch.setattr(neighbours, "TILE", tile)
    monkeypatch.setattr(neighbours, "NUMBERS", 1000)
    for name in ("digits", "fewer images than dimensions"):
        assert values(compare(*SETS[name])) == expected[name]


def test_threads_order_and_container_change_nothing() -> None:
    samples, reference = SETS["far from the origin"]
    expected, threads = values(compare(samples, reference)), torch.get_num_threads()
    torch.set_num_threads(2)
    assert values(compare(samples.flip(0).numpy(), reference.flip(0).numpy())) == expected
    torch.set_num_threads(threads)


def test_near_duplicates_are_told_apart_where_float32_products_cannot() -> None:
    # Clusters a million times smaller than their distance from the centre: every screened distance is noise.
    centres = normal(8, 12, 7, scale=1000.0).double().repeat_interleave(40, 0)
    samples = centres + normal(320, 12, 8, scale=1e-3).double()
    reference = centres + normal(320, 12, 9, scale=1e-3).double()
    assert values(compare(samples, reference)) == brute_force(samples, reference)
    distances = squared_neighbour_distances(Points.of(samples), 4)
    exact = torch.stack([(row - samples).square().sum(1) for row in samples]).sort(1).values[:, 1:5]
    assert torch.allclose(distances, exact, rtol=1e-12)


@pytest.mark.parametrize("spread", [1.0, 1e-6])
def test_nearest_names_the_nearest(spread) -> None:
    first, second = (normal(n, 20, n).double() * spread + 5 for n in (90, 150))
    squared = torch.stack([(row - second).square().sum(1) for row in first])
    centre = first.mean(0)
    distances, indices = nearest(Points.of(first, centre), Points.of(second, centre), 2)
    expected = squared.sort(1)
    assert torch.equal(indices, expected.indices[:, :2])
    assert torch.allclose(distances, expected.values[:, :2], rtol=1e-12)


def test_float32_error_bound_holds() -> None:
    for dimensions, scale in ((3, 1.0), (64, 1e3), (2000, 1e-3)):
        features = normal(60, dimensions, 10, scale).abs() ** 3
        points = Points.of(features)
        exact = torch.stack([(row.double() - features.double()).square().sum(1) for row in features])
        for tile in tiles(points, points):
            error = points.slack * (points.squares[:, None] + points.squares)
            assert (tile.low <= exact).all()
            assert (tile.low + 2 * error >= exact).all()


def test_a_collapsed_generator_has_high_precision_and_low_recall() -> None:
    assert "precision>0.8, recall<0.3" in GOLDEN["torch_fidelity_prc_convention"]["case"]
    generator = torch.Generator().manual_seed(42)
    samples = torch.randn(200, 16, generator=generator) * 0.1
    reference = torch.randn(200, 16, generator=generator) * 3
    collapsed, scattered = compare(samples, reference), compare(reference, samples)
    assert collapsed.precision > 0.8
    assert collapsed.recall < 0.3
    assert scattered.precision < 0.3
    assert scattered.recall > 0.8


def test_a_point_on_the_rim_is_inside_for_precision_and_recall_and_outside_for_density() -> None:
    line = torch.arange(6.0)[:, None]  # the third neighbour of 0 is at distance 3, the fifth at 5
    shifted = torch.tensor([-3.0, -5.0, -50.0, -60.0, -70.0, -80.0])[:, None]
    result = compare(shifted, line)
    assert result.precision == 1 / 6  # -3, not -5
    assert result.density == 1 / (5 * 6)  # -3 lies 3 from 0; -5 is on the rim of 0, -3 on that of 1
    mirrored = compare(line, shifted)
    assert mirrored.recall == 1 / 6


def test_copies_of_one_image_cover_almost_nothing() -> None:
    _, reference = SETS["digits"]
    result = compare(reference[:1].repeat(300, 1), reference)
    assert result.precision == 1
    assert result.recall == pytest.approx(1 / len(reference))
    assert result.coverage < 0.1


def test_the_set_itself_is_perfect() -> None:
    result = compare(SETS["narrower"][0], SETS["narrower"][0])
    assert (result.precision, result.recall, result.coverage) == (1, 1, 1)


def test_matches_the_published_corner_case() -> None:
    published = GOLDEN["ipr_corner_case"]["published"]
    random = np.random.RandomState(0)
    real = np.append(random.uniform(0, 1, 999), 2.0)[:, None].astype(np.float32)
    generated = np.append(random.uniform(2, 3, 999), 1.0)[:, None].astype(np.float32)
    result = compare(generated, real)
    assert (result.precision, result.recall) == (published["precision"], published["recall"])


def test_matches_the_published_gaussian_case() -> None:
    golden = GOLDEN["prdc_gaussian"]
    runs = [golden["published"], *golden["re-run here, 3 torch seeds (own fp32 implementation)"]]
    result = compare(normal(10000, 1000, 1), normal(10000, 1000, 0), neighbours=5)
    for key in ("precision", "recall", "density", "coverage"):
        seen = [run[key] for run in runs]
        spread = max(seen) - min(seen)
        assert min(seen) - spread < getattr(result, key) < max(seen) + spread


def test_bad_input_is_one_sentence() -> None:
    features = normal(30, 4, 11)
    broken = features.clone()
    broken[2, 1] = float("inf")
    with pytest.raises(InputError, match="not finite"):
        compare(broken, features)
    with pytest.raises(InputError, match="same detector"):
        compare(features, features[:, :3])
    with pytest.raises(InputError, match="need more than 5 images"):
        compare(features, features[:5])
    with pytest.raises(InputError, match=r"\[images, dimensions\]"):
        compare(features[0], features)

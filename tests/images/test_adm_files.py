"""ADM's archives: numpy reads what is written, nothing is held twice, damage is named."""

import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from condense.base.errors import InputError
from condense.images.adm_files import ImageBatch, write_samples

SHAPE = (12, 10, 3)


def images(count: int, seed: int = 0, shape: tuple = SHAPE) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), dtype=np.uint8)


def parts(every: np.ndarray, labels: np.ndarray | None, size: int = 7) -> Iterator[tuple]:
    for start in range(0, len(every), size):
        chosen = slice(start, start + size)
        yield every[chosen], None if labels is None else labels[chosen]


@pytest.fixture
def reference(tmp_path) -> Path:
    random = np.random.default_rng(1)
    features = random.normal(size=(50, 6))
    path = tmp_path / "reference.npz"
    np.savez(
        path,
        arr_0=images(20),
        mu=features.mean(0),
        sigma=np.cov(features, rowvar=False),
        mu_s=features[:, :3].mean(0),
        sigma_s=np.cov(features[:, :3], rowvar=False),
    )
    return path


def test_numpy_reads_what_is_written(tmp_path) -> None:
    every, labels = images(50), np.arange(50) % 10
    write_samples(tmp_path / "samples.npz", parts(every, labels), 50)
    with np.load(tmp_path / "samples.npz") as archive:
        assert set(archive) == {"arr_0", "arr_1"}
        assert np.array_equal(archive["arr_0"], every)
        assert np.array_equal(archive["arr_1"], labels)


def test_without_labels_there_is_one_array(tmp_path) -> None:
    write_samples(tmp_path / "samples.npz", parts(images(9), None), 9)
    with np.load(tmp_path / "samples.npz") as archive:
        assert list(archive) == ["arr_0"]
    assert ImageBatch(tmp_path / "samples.npz").labels() is None


def test_equal_images_give_equal_bytes_whatever_the_parts(tmp_path) -> None:
    for name, size in (("a.npz", 3), ("b.npz", 50)):
        write_samples(tmp_path / name, parts(images(50), np.arange(50), size), 50)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_writing_and_reading_hold_a_part_at_a_time(tmp_path) -> None:
    count, shape = 400, (64, 64, 3)
    one = images(20, shape=shape)
    tracemalloc.start()
    write_samples(tmp_path / "samples.npz", ((one, np.zeros(20)) for _ in range(count // 20)), count)
    total = sum(len(batch) for batch in ImageBatch(tmp_path / "samples.npz").images(20))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert total == count
    assert peak < 0.25 * count * np.prod(shape)


@pytest.mark.parametrize("compressed", [True, False])
def test_reads_images_in_order_and_labels(tmp_path, compressed) -> None:
    save = np.savez_compressed if compressed else np.savez
    save(tmp_path / "some.npz", arr_0=images(23), arr_1=np.arange(23))
    batch = ImageBatch(tmp_path / "some.npz")
    assert (len(batch), batch.shape) == (23, SHAPE)
    assert np.array_equal(np.concatenate(list(batch.images(8))), images(23))
    assert batch.labels().tolist() == list(range(23))


def test_reads_the_statistics_of_a_reference(reference) -> None:
    batch = ImageBatch(reference)
    with np.load(reference) as archive:
        assert np.allclose(batch.statistics().mean, archive["mu"])
        assert np.allclose(batch.statistics().covariance, archive["sigma"])
        assert np.allclose(batch.statistics(spatial=True).covariance, archive["sigma_s"])


def test_statistics_that_do_not_fit_are_named(tmp_path) -> None:
    np.savez(tmp_path / "some.npz", arr_0=images(3), mu=np.zeros(4), sigma=np.eye(5))
    with pytest.raises(InputError, match=r"some\.npz: statistics have a mean of shape \(4,\)"):
        ImageBatch(tmp_path / "some.npz").statistics()


def test_samples_have_no_statistics(tmp_path) -> None:
    write_samples(tmp_path / "samples.npz", parts(images(9), None), 9)
    assert ImageBatch(tmp_path / "samples.npz").statistics() is None


@pytest.mark.parametrize("count", [49, 51])
def test_a_wrong_number_of_images_leaves_no_file(tmp_path, count) -> None:
    with pytest.raises(InputError, match=rf"samples.npz was to hold {count} images, but 50 came"):
        write_samples(tmp_path / "samples.npz", parts(images(50), None), count)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "wrong", [images(5).astype(np.float32), images(5, shape=(4, 4, 3)), images(5)[..., :1]]
)
def test_images_of_another_kind_are_refused(tmp_path, wrong) -> None:
    with pytest.raises(InputError, match=r"samples.npz takes images uint8 \[n, h, w, 3\]"):
        write_samples(tmp_path / "samples.npz", [(images(5), None), (wrong, None)], 10)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kept", [0.02, 0.5, 0.99])
def test_a_truncated_file_is_named(reference, kept) -> None:
    reference.write_bytes(reference.read_bytes()[: int(reference.stat().st_size * kept)])
    with pytest.raises(InputError, match=r"reference\.npz cannot be read as an .npz archive"):
        ImageBatch(reference)


def test_a_damaged_image_is_noticed(reference) -> None:
    data = bytearray(reference.read_bytes())
    data[2000] ^= 255
    reference.write_bytes(bytes(data))
    with pytest.raises(InputError, match=r"reference.npz cannot be read .*CRC"):
        list(ImageBatch(reference).images())


def test_a_file_of_another_kind_is_named(tmp_path) -> None:
    with pytest.raises(InputError, match=r"missing\.npz cannot be read"):
        ImageBatch(tmp_path / "missing.npz")
    np.savez(tmp_path / "features.npz", features=np.zeros(3))
    with pytest.raises(InputError, match="holds features, and arr_0 is needed"):
        ImageBatch(tmp_path / "features.npz")
    np.savez(tmp_path / "floats.npz", arr_0=np.zeros((2, 4, 4, 3)))
    with pytest.raises(InputError, match=r"arr_0 of float64 \[2, 4, 4, 3\]"):
        ImageBatch(tmp_path / "floats.npz")
    np.savez(tmp_path / "labels.npz", arr_0=images(3), arr_1=np.zeros(2))
    with pytest.raises(InputError, match=r"\[2\] labels of 3 images"):
        ImageBatch(tmp_path / "labels.npz").labels()
    np.savez(tmp_path / "objects.npz", arr_0=images(3), arr_1=np.array([{}, {}, {}]))
    with pytest.raises(InputError, match="cannot be read"):
        ImageBatch(tmp_path / "objects.npz").labels()

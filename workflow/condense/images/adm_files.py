"""The ADM evaluator's files (Dhariwal and Nichol 2021): samples to hand to it, reference batches to read.

Both are `.npz` archives. Samples: `arr_0`, images uint8 [n, h, w, 3], and `arr_1`, class indices [n], if
known. A reference batch has `arr_0` too, and `mu`, `sigma` (features), `mu_s`, `sigma_s` (spatial features)
of a larger set of images. Images pass through in pieces: neither side ever holds them all.
"""

import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
from numpy.lib import format as npy

from condense.base.errors import InputError
from condense.base.gaussian import Gaussian
from condense.base.storage import replacing

BATCH = 256  # images read at a time


def write_samples(path: Path, parts: Iterable[tuple[np.ndarray, np.ndarray | None]], count: int) -> None:
    """Write `count` images that come in parts (images uint8 [n, h, w, 3], class indices [n] or None).

    Equal images give equal bytes. Raises InputError for another number of images, another type or shape.
    """
    labels, done, shape = [], 0, None
    with replacing(path) as beside, zipfile.ZipFile(beside, "w") as archive:
        with _member(archive, "arr_0") as file:
            for images, classes in parts:
                if shape is None:
                    shape = images.shape[1:]
                    _write_header(file, np.dtype(np.uint8), (count, *shape))
                if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1:] != shape or shape[2] != 3:
                    raise InputError(
                        f"{path} takes images uint8 [n, h, w, 3] of one size, "
                        f"not {images.dtype} {list(images.shape)} after {done} images."
                    )
                file.write(np.ascontiguousarray(images).data)
                done += len(images)
                labels.append(classes)
        if done != count:
            raise InputError(f"{path} was to hold {count} images, but {done} came; generate them again.")
        if all(classes is not None for classes in labels):
            every = np.concatenate(labels).astype(np.int64)
            if len(every) != count:
                raise InputError(f"{path} was to hold {count} labels, but {len(every)} came.")
            with _member(archive, "arr_1") as file:
                _write_header(file, every.dtype, every.shape)
                file.write(every.data)


class ImageBatch:
    """An archive of images, samples or reference, of which only what is asked for is read.

    Raises InputError that names the file where it is damaged, truncated or of another kind.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        with self._open() as archive:
            self._names = {name.removesuffix(".npy") for name in archive.namelist()}
            if "arr_0" not in self._names:
                held = ", ".join(sorted(self._names)) or "nothing"
                raise InputError(f"{path} has no images: it holds {held}, and arr_0 is needed.")
            with archive.open("arr_0.npy") as file:
                shape, order, dtype = _read_header(file)
        if dtype != np.uint8 or len(shape) != 4 or shape[3] != 3 or order:
            raise InputError(f"{path} holds arr_0 of {dtype} {list(shape)}; uint8 [n, h, w, 3] is needed.")
        self.count, self.shape = shape[0], shape[1:]

    def __len__(self) -> int:
        return self.count

    def images(self, size: int = BATCH) -> Iterator[np.ndarray]:
        """Images uint8 [b, h, w, 3] in order, `size` at a time."""
        with self._open() as archive, archive.open("arr_0.npy") as file:
            _read_header(file)
            for start in range(0, self.count, size):
                shape = (min(size, self.count - start), *self.shape)
                batch = np.frombuffer(file.read(int(np.prod(shape))), np.uint8)
                if batch.size != np.prod(shape):
                    raise InputError(f"{self.path} ends within images {start} to {start + shape[0] - 1}.")
                yield batch.reshape(shape)
            file.read(1)  # at the end, the checksum is compared

    def labels(self) -> np.ndarray | None:
        """Class indices [n], None where there are none."""
        labels = self._array("arr_1")
        if labels is not None and labels.shape != (self.count,):
            raise InputError(f"{self.path} holds {list(labels.shape)} labels of {self.count} images.")
        return labels

    def statistics(self, spatial: bool = False) -> Gaussian | None:
        """Stored statistics of features, or of spatial features; None where there are none."""
        mean, covariance = (self._array(name + "_s" * spatial) for name in ("mu", "sigma"))
        if mean is None or covariance is None:
            return None
        try:
            return Gaussian.of(mean, covariance)
        except InputError as error:
            raise InputError(f"{self.path}: {error}") from None

    def _array(self, name: str) -> np.ndarray | None:
        if name not in self._names:
            return None
        with self._open() as archive, archive.open(f"{name}.npy") as file:
            return npy.read_array(file, allow_pickle=False)

    @contextmanager
    def _open(self) -> Iterator[zipfile.ZipFile]:
        try:
            with zipfile.ZipFile(self.path) as archive:
                yield archive
        except (OSError, zipfile.BadZipFile, zlib.error, EOFError, ValueError, KeyError) as error:
            raise InputError(
                f"{self.path} cannot be read as an .npz archive ({error}); download or generate it again."
            ) from None


def _member(archive: zipfile.ZipFile, name: str) -> IO[bytes]:
    """Open an array of an archive to write; dated the same in every run."""
    return archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True)


def _write_header(file: IO[bytes], dtype: np.dtype, shape: tuple[int, ...]) -> None:
    fields = {"descr": npy.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    npy.write_array_header_1_0(file, fields)


def _read_header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, Fortran order and type of an array."""
    read = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
    return read[npy.read_magic(file)](file)

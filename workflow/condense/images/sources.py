"""Sources of images, and their ordered decoding ahead of need."""

import hashlib
import os
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np

from condense.base.errors import InputError
from condense.base.libraries import library_folder
from condense.config.settings import Images
from condense.images.decoding import Unreadable, centre_crop, decode
from condense.images.names import is_image_name
from condense.images.parquet import Parquet
from condense.images.tars import TarShards

if TYPE_CHECKING:
    from PIL import Image

T = TypeVar("T")


class Source(Protocol):
    """Images in classes; an image is named by its class and file, joined by a slash."""

    def classes(self) -> list[str]:
        """Names of the classes, sorted."""

    def images(self, name: str) -> list[tuple[str, int]]:
        """(path, bytes) of each image of a class, sorted by path."""

    def open(self, path: str, side: int | None = None) -> "Image.Image":
        """Upright RGB image; where only a shorter side of `side` pixels matters it may come reduced."""

    def holds(self, path: str, name: str) -> bool:
        """Whether a path names an image of class `name`, by the rule of `images` but without its limits."""

    def state(self, name: str) -> int:
        """A number that changes when images join or leave a class, cheap to get."""


class ImageFolder:
    """A tree class/file, the layout of ImageNet; files are told by extension, decoded by content."""

    def __init__(self, settings: Images) -> None:
        self.settings = settings
        self.root = Path(settings.root or "")

    def classes(self) -> list[str]:
        """Sub-folders of the root, without hidden ones; InputError where there are none."""
        if self.settings.root is None or not self.root.is_dir():
            where = f"{self.root} is not a folder" if self.settings.root else "no image root is given"
            raise InputError(
                f"Images are expected under images.root with one folder per class, but {where}: "
                "correct the path; to get going without them: make demo."
            )
        with os.scandir(self.root) as entries:
            names = sorted(e.name for e in entries if not e.name.startswith(".") and e.is_dir())
        if not names:
            raise InputError(f"{self.root} holds no folders: it must hold one folder of images per class.")
        return names[: self.settings.classes]

    def images(self, name: str) -> list[tuple[str, int]]:
        """Files with an image's extension, without hidden ones; InputError where there are none."""
        folder = self.root / name
        try:
            with os.scandir(folder) as entries:
                found = sorted((e.name, _bytes(e)) for e in entries if is_image_name(e.name))
        except OSError as error:
            raise InputError(
                f"{folder} cannot be listed ({error.strerror}): give read access to it."
            ) from None
        if not found:
            raise InputError(
                f"Class {name!r} is empty: no file with an image's extension (JPEG, PNG, WEBP, ...) "
                f"lies directly in {folder}; remove the folder or fill it."
            )
        return [(f"{name}/{file}", size) for file, size in found[: self.settings.per_class]]

    def open(self, path: str, side: int | None = None) -> "Image.Image":
        """Decode a file; a JPEG much larger than `side` comes reduced, to twice `side` or more."""
        return decode(self.root / path, side)

    def holds(self, path: str, name: str) -> bool:
        """Whether the path is `name`/file and that file is there under an image's name."""
        folder, _, file = path.rpartition("/")
        direct = folder == name and "/" not in name and not name.startswith(".")
        return direct and is_image_name(file) and (self.root / path).is_file()

    def state(self, name: str) -> int:
        """Modification time of the class's folder, in nanoseconds."""
        return (self.root / name).stat().st_mtime_ns


class FlatFolder(ImageFolder):
    """A folder of images without classes, at any depth: one class, which has the name of the folder."""

    def __init__(self, settings: Images) -> None:
        super().__init__(settings)
        self.top = self.root.absolute()  # which has a name, also where the root is "."
        self.root = self.top.parent  # so that a path begins with the class, as everywhere

    def classes(self) -> list[str]:
        """The name of the folder; InputError where there is none."""
        if self.settings.root is None or not self.top.is_dir():
            raise InputError(f"Images are expected in the folder images.root, but {self.top} is none.")
        return [self.top.name]

    def images(self, name: str) -> list[tuple[str, int]]:
        """Files with an image's extension, without hidden ones; InputError where there are none."""
        files = sorted(file for file in self.top.rglob("*") if self._is_image(file))
        names = Counter(file.name for file in files)
        if not files:
            raise InputError(f"{self.top} holds no file with an image's extension (JPEG, PNG, WEBP, ...).")
        if names.most_common(1)[0][1] > 1:
            raise InputError(f"{self.top} holds two files {names.most_common(1)[0][0]!r}: rename one.")
        found = [(file.relative_to(self.root).as_posix(), file.stat().st_size) for file in files]
        return found[: self.settings.per_class]

    def holds(self, path: str, name: str) -> bool:
        """Whether the path is that of an image in the folder."""
        inside = path.startswith(f"{self.top.name}/") and name == self.top.name
        return inside and self._is_image(self.root / path)

    def state(self, name: str) -> int:
        """Digest of the modification times of the folder and those in it, also of copies that are older."""
        folders = sorted([self.top, *(found for found in self.top.rglob("*") if found.is_dir())])
        times = repr([(str(folder), folder.stat().st_mtime_ns) for folder in folders])
        return int(hashlib.sha256(times.encode()).hexdigest()[:16], 16)

    def _is_image(self, file: Path) -> bool:
        visible = not any(part.startswith(".") for part in file.relative_to(self.top).parts)
        return visible and is_image_name(file.name) and file.is_file()


class Digits:
    """scikit-learn's 1,797 handwritten digits: 8x8 greys of 17 levels, spread over 0..255."""

    def __init__(self, settings: Images) -> None:
        self.settings = settings

    def classes(self) -> list[str]:
        """The ten digits."""
        return [str(digit) for digit in range(10)][: self.settings.classes]

    def images(self, name: str) -> list[tuple[str, int]]:
        """Images of a digit, named by their number in the data set."""
        members = np.flatnonzero(_digits()[1] == int(name))[: self.settings.per_class]
        return [(f"{name}/{number:04d}.png", 64) for number in members]

    def open(self, path: str, side: int | None = None) -> "Image.Image":
        """One digit as an 8x8 RGB image."""
        from PIL import Image

        grey = _digits()[0][int(Path(path).stem)]
        return Image.fromarray(np.repeat(grey[..., None], 3, axis=2))

    def holds(self, path: str, name: str) -> bool:
        """Whether the digit is there."""
        return name in self.classes() and path in dict(self.images(name))

    def state(self, name: str) -> int:
        """The data set never changes."""
        return 0


def source(settings: Images) -> Source:
    """Open the source of images that the settings describe."""
    if settings.source == "imagefolder" and settings.unlabelled:
        return FlatFolder(settings)
    kinds = {"imagefolder": ImageFolder, "parquet": Parquet, "tar": TarShards, "digits": Digits}
    return kinds[settings.source](settings)


def load(images: Source, path: str, size: int | None = None) -> np.ndarray:
    """Pixels of one image: uint8 [h, w, 3], or its ADM centre crop [size, size, 3]. Raises Unreadable."""
    image = images.open(path)
    return np.asarray(image if size is None else centre_crop(image, size))


@dataclass(frozen=True)
class Decoded:
    """Images in order: paths, pixels [b, ...], and (path, reason) of what could not be decoded."""

    paths: list
    pixels: np.ndarray
    unreadable: list[tuple[str, str]]


def batches(
    groups: Iterable[Sequence[T]], read: Callable[[T], np.ndarray], workers: int = 2
) -> Iterator[Decoded]:
    """Yield the images of each group of paths, in order, decoded ahead of need by `workers` threads.

    Pillow leaves Python's lock while it decodes and resizes, so threads are enough. The number of workers
    changes no pixel. `read` turns a path (or what else stands for an image) into pixels of one shape, or
    raises Unreadable.
    """
    pool = ThreadPoolExecutor(max_workers=max(1, workers))
    waiting: deque = deque()
    try:
        for group in groups:
            waiting.append(pool.submit(_read_batch, group, read))
            if len(waiting) > 2 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _read_batch(group: Sequence[T], read: Callable[[T], np.ndarray]) -> Decoded:
    """Decode one group of paths."""
    paths, pixels, unreadable = [], [], []
    for path in group:
        try:
            pixels.append(read(path))
            paths.append(path)
        except Unreadable as error:
            unreadable.append((path, str(error)))
    return Decoded(paths, np.stack(pixels) if pixels else np.empty(0, np.uint8), unreadable)


def _bytes(entry: os.DirEntry) -> int:
    """Size of a file; 0 for a link to nothing, which decoding will name."""
    try:
        return entry.stat().st_size
    except FileNotFoundError:
        return 0


@cache
def _digits() -> tuple[np.ndarray, np.ndarray]:
    """Greys uint8 [1797, 8, 8] and labels [1797] of scikit-learn's digits."""
    # without importing scikit-learn, which takes a second of each of a study's many short jobs
    folder = library_folder("sklearn")
    if folder is None:
        raise InputError("source digits needs scikit-learn: pip install scikit-learn.")
    rows = np.loadtxt(folder / "datasets/data/digits.csv.gz", np.uint8, delimiter=",")
    greys = np.round(rows[:, :-1].reshape(-1, 8, 8) * (255 / 16))
    return greys.astype(np.uint8), rows[:, -1].astype(np.int64)

"""Images that lie in files of many, such as Parquet files or tar shards, and are read where they are."""

import re
from collections.abc import Mapping
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from condense.base.errors import InputError
from condense.config.settings import Images
from condense.images.decoding import decode

if TYPE_CHECKING:
    from PIL import Image

UNLABELLED = "images"  # the one class of files whose labels are not looked at
Places = Mapping[str, Mapping[str, Any]]  # where each image is, by class and path


class Packed:
    """Source of images in files; a file is local, or of a data set on Hugging Face's hub at a revision."""

    kind: ClassVar[str]  # as a sentence calls it
    suffix: ClassVar[str]

    def __init__(self, settings: Images) -> None:
        self.settings = settings

    @cached_property
    def places(self) -> Places:
        """Where each image is."""
        raise NotImplementedError

    def content(self, place: Any) -> bytes:
        """What lies at a place."""
        raise NotImplementedError

    def sizes(self, name: str) -> dict[str, int]:
        """Encoded bytes of each image of a class."""
        raise NotImplementedError

    def classes(self) -> list[str]:
        """Names of the classes, sorted."""
        return sorted(self.places)[: self.settings.classes]

    def images(self, name: str) -> list[tuple[str, int]]:
        """Images of a class, sorted by name; InputError where there are none."""
        if not self.places.get(name):
            raise InputError(f"Class {name!r} has no image in {self.settings.root}.")
        return sorted(self.sizes(name).items())[: self.settings.per_class]

    def open(self, path: str, side: int | None = None) -> "Image.Image":
        """Decode one image; a JPEG much larger than `side` comes reduced, to twice `side` or more."""
        return decode(Path(self.settings.root or "").parent / path, side, self.read(path))

    def read(self, path: str) -> bytes:
        """An image as it is encoded."""
        return self.content(self.places[path.partition("/")[0]][path])

    def holds(self, path: str, name: str) -> bool:
        """Whether an image of the class has that path."""
        return path in self.places.get(name, {})

    def state(self, name: str) -> int:
        """Newest modification time of the files, in nanoseconds."""
        return max(file.stat().st_mtime_ns for file in self.files)

    @cached_property
    def files(self) -> tuple[Path, ...]:
        """The files of the root: itself, those that it is a pattern of, or those of one split in a folder."""
        root = Path(self.settings.root or "")
        if self.settings.revision:
            root = _downloaded(str(root), self.settings.revision, self.suffix)
        if root.is_dir():
            files = sorted(root.rglob(f"*{self.suffix}"))
            splits = sorted({re.split(r"[-_.]", file.name)[0] for file in files})
            if len(splits) > 1:
                raise InputError(
                    f"{root} has files of {', '.join(splits)}: choose by a pattern, as "
                    f"{splits[-1]}-*{self.suffix}."
                )
        else:
            files = [root] if root.is_file() else sorted(root.parent.glob(root.name)) if root.name else []
        if not files or not all(file.is_file() for file in files):
            raise InputError(
                f"No {self.kind} is at {root}: give images.root a file, a pattern as x-*{self.suffix}, or a "
                "folder of them; of a data set on the hub its name and images.revision."
            )
        return tuple(files)


def keep(found: dict[str, dict[str, Any]], name: str, path: str, place: Any, file: Path) -> None:
    """Put an image among those of its class. Raises InputError for a second one of that name."""
    kept = found.setdefault(name, {})
    if path in kept:
        raise InputError(f"{file} names two images {path!r}: their names must differ.")
    kept[path] = place


@cache
def _downloaded(root: str, revision: str, suffix: str) -> Path:
    """Local place of `owner/name`, or `owner/name/pattern`, of a data set on the hub at a commit."""
    from huggingface_hub import snapshot_download

    owner, name, *pattern = root.split("/", 2) if root.count("/") else ("", root)
    if not owner or not re.fullmatch(r"[0-9a-f]{40}", revision):
        raise InputError(
            f"{root!r} at revision {revision!r} is no data set on the hub: give owner/name, and the 40 "
            "digits of a commit."
        )
    wanted = pattern[0] if pattern else f"*{suffix}"
    try:
        folder = snapshot_download(
            f"{owner}/{name}", repo_type="dataset", revision=revision, allow_patterns=wanted
        )
    except Exception as error:  # of the network, of the hub, of access: the library has a dozen kinds
        reason = str(error).strip().splitlines()[0]
        raise InputError(
            f"{owner}/{name} cannot be had from the hub ({reason}): download it first."
        ) from None
    return Path(folder) / pattern[0] if pattern else Path(folder)

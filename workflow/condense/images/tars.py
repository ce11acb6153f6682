"""Tar shards as a source, in the layout of WebDataset: the files of a sample share their name up to a dot.

A sample is an image with its label beside it: `key.jpg` and `key.cls`, a number or a name as text, or
`key.json` with the label under `images.label_column`. Numbers are lines of `classes.txt`, counted from 0,
where that file lies beside the shards. Only the names and labels are read until an image is asked for.
"""

import json
import os
import tarfile
from functools import cache, cached_property
from pathlib import Path
from typing import Any, NamedTuple

from condense.base.errors import InputError
from condense.images.names import is_image_name
from condense.images.packed import UNLABELLED, Packed, Places, keep

NAMES = "classes.txt"
END = 1024  # zero bytes with which an archive ends


class Member(NamedTuple):
    """Where an image is."""

    file: Path
    offset: int
    size: int


class TarShards(Packed):
    """Images of tar shards; a class is a label, an image is named by its name in the shard."""

    kind, suffix = "tar shard", ".tar"

    @cached_property
    def places(self) -> Places:
        """Member of each image."""
        label = None if self.settings.unlabelled else self.settings.label_column
        return _list_members(self.files, label)

    def sizes(self, name: str) -> dict[str, int]:
        """Bytes of each image of a class."""
        return {path: member.size for path, member in self.places[name].items()}

    def content(self, place: Member) -> bytes:
        """An image as it is encoded there."""
        return os.pread(_descriptor(place.file), place.size, place.offset)


@cache
def _descriptor(file: Path) -> int:
    """Descriptor of a shard, which stays open as long as the process lives."""
    return os.open(file, os.O_RDONLY)


@cache
def _list_members(files: tuple[Path, ...], label_field: str | None) -> Places:
    """Member of each image, by class and path."""
    found: dict[str, dict[str, Member]] = {}
    for file in files:
        names = _class_names(file.parent / NAMES)
        labels, images = _scan(file, label_field)
        for key, (suffix, member) in images.items():
            name = UNLABELLED
            if label_field is not None:
                if key not in labels:
                    raise InputError(
                        f"{file} has no label of {key + suffix!r}: put {key}.cls beside it, or {key}.json "
                        f"with {label_field!r} (images.label_column)."
                    )
                name = _class_of(labels[key], names, file, key)
            keep(found, name, f"{name}/{Path(key).name}{suffix}", member, file)
    return found


def _scan(file: Path, label_field: str | None) -> tuple[dict[str, Any], dict[str, tuple[str, Member]]]:
    """Label, and image with the end of its name, of each sample of a shard, by key."""
    labels: dict[str, Any] = {}
    images: dict[str, tuple[str, Member]] = {}
    end = 0
    try:
        with tarfile.open(file, "r:") as archive:
            for member in archive:
                end = member.offset_data + member.size
                folder, _, base = member.name.rpartition("/")
                stem, dot, last = base.partition(".")
                key, suffix = f"{folder}/{stem}".lstrip("./"), dot + last
                if not member.isfile() or not stem:
                    continue
                if is_image_name(base):
                    if key in images:
                        raise InputError(f"{file} has two images of the sample {key!r}: leave one out.")
                    images[key] = suffix, Member(file, member.offset_data, member.size)
                elif label_field is not None and suffix in (".cls", ".json"):
                    text = archive.extractfile(member).read().decode()
                    value = text.strip() if suffix == ".cls" else json.loads(text).get(label_field)
                    if value is not None:
                        labels.setdefault(key, value)
    except (tarfile.TarError, OSError, ValueError, AttributeError) as error:
        raise InputError(
            f"{file} cannot be read as an uncompressed tar ({error}): download it again, or decompress it."
        ) from None
    if file.stat().st_size < end + END:
        raise InputError(f"{file} cannot be read as a tar (it ends too early): download it again.")
    return labels, images


def _class_of(label: Any, names: list[str] | None, file: Path, key: str) -> str:
    """Name of the class of a sample."""
    if names is not None and str(label).isdecimal() and int(label) < len(names):
        return names[int(label)]
    if names is not None and str(label) not in names:
        raise InputError(
            f"{file} has the label {label!r} of {key!r}, which is none of the {len(names)} classes of "
            f"{file.parent / NAMES}: correct it."
        )
    if not str(label) or "/" in str(label):
        raise InputError(f"{file} has the label {label!r} of {key!r}, which names no class: correct it.")
    return str(label)


@cache
def _class_names(file: Path) -> list[str] | None:
    """Names of the classes, a line each, where there is such a file."""
    return (
        [line.strip() for line in file.read_text().splitlines() if line.strip()] if file.is_file() else None
    )

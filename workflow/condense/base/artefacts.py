"""Tensors with a description, in one safetensors file: whole or absent, nothing in it is executed."""

import json
import zlib
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from condense.base.errors import damaged
from condense.base.storage import replacing

KEY = "condense"
FORMER_KEY = "gadc"  # of files written under the package's former name


def write_artefact(path: Path, about: dict[str, Any], tensors: dict[str, Tensor]) -> None:
    """Write tensors and what they are; equal content gives equal bytes."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    about = json.loads(json.dumps(about))  # as it will be read
    about["checksums"] = {name: checksum(tensor) for name, tensor in tensors.items()} | {"": _checksum(about)}
    with replacing(path) as beside:
        # one key, because safetensors writes several in an order that changes from run to run
        save_file(tensors, beside, metadata={KEY: json.dumps(about, sort_keys=True)})


def read_artefact(path: Path, what: str, only: str = "") -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What an artefact says about itself, and its tensors whose names start with `only`.

    Raises InputError, which says `what` the file was expected to be.
    """
    try:
        with safe_open(path, "pt") as file:
            described = file.metadata() or {}
            about = json.loads(described[KEY] if KEY in described else described[FORMER_KEY])
            names = [name for name in file.keys() if name.startswith(only)]  # noqa: SIM118 - no mapping
            tensors = {name: file.get_tensor(name) for name in names}
        checksums = about.pop("checksums")
        if checksums[""] != _checksum(about):
            raise ValueError("its description is not what was written")
        if spoilt := [name for name in names if checksum(tensors[name]) != checksums[name]]:
            raise ValueError(f"{spoilt[0]} is not what was written")
        return about, tensors
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise damaged(path, what, error) from None


def checksum(tensor: Tensor) -> int:
    """CRC-32 of a tensor's bytes: safetensors itself notices no flipped bit."""
    return zlib.crc32(tensor.reshape(-1).view(torch.uint8).numpy())


def _checksum(about: dict[str, Any]) -> int:
    return zlib.crc32(json.dumps(about, sort_keys=True).encode())

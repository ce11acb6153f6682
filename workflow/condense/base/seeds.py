"""Random streams that are pure functions of what they are for, so that no order of work changes a number."""

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def seed_of(*key: int | str) -> int:
    """63-bit seed of a key such as ("noise", seed, step); the same on every machine."""
    digest = hashlib.sha256("\0".join(map(str, key)).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def stream(*key: int | str, device: "torch.device | str" = "cpu") -> "torch.Generator":
    """Random generator of a key on a device; CPU and CUDA draw different numbers from one key."""
    import torch  # not above: plans take seeds too, and start in half the time without it

    return torch.Generator(device).manual_seed(seed_of(*key))

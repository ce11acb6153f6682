"""Compilation of networks: on a GPU alone, where the machine has what it takes and nobody switched it off."""

import os
import shutil

import torch
from torch import nn

from condense.base.errors import InputError

SWITCH = (
    "TORCH_COMPILE_DISABLE"  # PyTorch's own; an environment variable reaches jobs and their workers alike
)


def compile_network(network: nn.Module, device: torch.device) -> bool:
    """Compile a network in place for a device; tell whether that was done.

    Raises InputError on a machine with a GPU but without the C compiler that `torch.compile` calls.
    """
    if device.type != "cuda" or os.environ.get(SWITCH) == "1":
        return False
    if not (os.environ.get("CC") or shutil.which("gcc") or shutil.which("clang")):
        raise InputError(
            "compiling the network for the GPU needs a C compiler, and there is none: install gcc or clang, "
            f"name one in the environment variable CC, or set {SWITCH}=1 to go without, more slowly."
        )
    network.compile()
    return True

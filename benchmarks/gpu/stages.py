"""Stages of the package, called as functions: with settings that are made already, and on a device."""

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from unittest.mock import patch

import torch

from condense.__main__ import COMMANDS


def stage(name: str) -> Callable[..., None]:
    """The function of a command as it was written, which takes settings and not their options."""
    module = import_module(f"condense.{COMMANDS[name]}")
    return inspect.unwrap(getattr(module, name.replace("-", "_")))


@contextmanager
def seen(device: torch.device) -> Iterator[None]:
    """Let stages, which take a GPU where there is one, see one or none."""
    with patch.object(torch.cuda, "is_available", return_value=device.type == "cuda"):
        yield

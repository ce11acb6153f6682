"""Seconds of a call on a device, and the memory it takes."""

import time
from collections.abc import Callable

import torch

from benchmarks.gpu.figures import Place

BLOCK = 5  # calls between two waits for the device


def seconds_of(call: Callable[[], object], place: Place, least: float = 6.0) -> float:
    """Seconds of a call once the device is warm: the fastest block of calls, over `least` seconds."""
    block = place.size(BLOCK, 1)
    for _ in range(place.size(4, 1)):
        call()
    place.wait()
    best, began = float("inf"), time.perf_counter()
    while best == float("inf") or time.perf_counter() - began < place.size(least, 0):
        start = time.perf_counter()
        for _ in range(block):
            call()
        place.wait()
        best = min(best, (time.perf_counter() - start) / block)
    return best


def once(call: Callable[[], object], place: Place) -> float:
    """Seconds of one call, the device cold or not."""
    place.wait()
    began = time.perf_counter()
    call()
    place.wait()
    return time.perf_counter() - began


def forget_peak(place: Place) -> None:
    """Begin to watch the memory anew."""
    if place.device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(place.device)


def peak(place: Place) -> float | None:
    """Most GB of tensors on the device since then; None on a CPU."""
    return torch.cuda.max_memory_allocated(place.device) / 1e9 if place.device.type == "cuda" else None

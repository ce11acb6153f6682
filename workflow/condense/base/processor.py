"""The processor that a result was computed on."""

import platform
from pathlib import Path

VECTORS = ("sse4_2", "avx", "avx2", "fma", "avx512f", "avx512_bf16", "amx_tile")


def processor() -> str:
    """Name of the processor."""
    lines = _described().splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def instruction_sets() -> str:
    """Sets of vector instructions that the processor has, the newest last; its architecture where unknown."""
    has = _described().split()
    return " ".join(name for name in VECTORS if name in has) or platform.machine()


def _described() -> str:
    """What Linux tells of the processor; "" elsewhere."""
    known = Path("/proc/cpuinfo")
    return known.read_text(errors="replace") if known.exists() else ""

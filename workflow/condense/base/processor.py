"""The processor that a result was computed on."""

import platform
from pathlib import Path

VECTORS = ("sse4_2", "avx", "avx2", "fma", "avx512f", "avx512_bf16", "amx_tile")


def processor() -> str:
    """Name of the processor."""
    known = Path("/proc/cpuinfo")
    lines = known.read_text(errors="replace").splitlines() if known.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def instruction_sets() -> str:
    """Sets of vector instructions that the processor has, the newest last; its architecture where unknown."""
    known = Path("/proc/cpuinfo")
    has = known.read_text(errors="replace").split() if known.exists() else []
    return " ".join(name for name in VECTORS if name in has) or platform.machine()

"""CPU arithmetic that gives the same bits on every x86-64 machine, and threads that wait without spinning.

Libraries choose their kernels by the processor they find, and another kernel sums in another order. Under
`pinned` all of them use AVX2, which every machine of the last decade has. What stays out of reach of
environment variables is Intel's vector library, which PyTorch calls for contiguous tensors on a CPU: its
square root of both precisions and its logarithm of float64 differ between Intel's and AMD's processors.
Hence `square_root`, `logarithm` and `log_sum_exp` below, and the fused form of AdamW wherever it is used.
"""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from condense.base.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

VARIABLE = "CONDENSE_ARITHMETIC"
PINNED = {  # read when a library is first imported
    "ATEN_CPU_CAPABILITY": "avx2",  # PyTorch's own kernels
    "ONEDNN_MAX_CPU_ISA": "AVX2",  # its convolutions
    "MKL_CBWR": "COMPATIBLE",  # its matrix products and factorisations
    "OPENBLAS_CORETYPE": "Haswell",  # NumPy's and SciPy's
    "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",  # NumPy's functions
}
PASSIVE = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0", "KMP_BLOCKTIME": "0"}
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def prepare(words: Sequence[str]) -> list[str]:
    """Obey leading `--threads N` and `--arithmetic pinned|native`, before any library is imported.

    Returns the other words. One thread is the default, so that a command by hand gives what a job gives.
    `native` lets each library choose its kernels: faster on some machines, and other bits on each.
    """
    given = {"--threads": "1", "--arithmetic": os.environ.get(VARIABLE, "pinned")}
    words = list(words)
    while len(words) > 1 and words[0] in given:
        given[words[0]] = words[1]
        del words[:2]
    if not given["--threads"].isdecimal() or int(given["--threads"]) < 1:
        raise InputError(f"--threads {given['--threads']} must be a whole number from 1.")
    if given["--arithmetic"] not in ("pinned", "native"):
        raise InputError(f"--arithmetic {given['--arithmetic']} must be pinned or native.")
    os.environ |= dict.fromkeys(THREADS, given["--threads"]) | PASSIVE
    os.environ[VARIABLE] = given["--arithmetic"]
    if given["--arithmetic"] == "pinned":
        os.environ |= PINNED
    return words


def square_root(values: "Tensor") -> "Tensor":
    """Square root, the same on every processor, to one and a half units in the last place."""
    return values.rsqrt().reciprocal_()


def logarithm(values: "Tensor") -> "Tensor":
    """Natural logarithm, the same on every processor."""
    return values.new_ones(()).xlogy(values)


def log_sum_exp(values: "Tensor", dim: int, keepdim: bool = False) -> "Tensor":
    """Logarithm of the sum of exponentials along a dimension, the same on every processor."""
    largest = values.amax(dim, keepdim=True)
    total = largest + logarithm((values - largest).exp_().sum(dim, keepdim=True))
    return total if keepdim else total.squeeze(dim)

"""Memory of the C library, which decides how fast networks run on a CPU."""

import ctypes

TRIM_THRESHOLD, MMAP_MAX = -1, -4  # mallopt's numbers in glibc


def keep_freed_memory() -> None:
    """Let freed memory stay with the process, so that layers reuse warm pages instead of faulting in new.

    Without this, glibc hands every large activation back to the system and half of a forward pass is page
    faults. Where the C library is another one, nothing changes.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(MMAP_MAX, 0)
        mallopt(TRIM_THRESHOLD, -1)

"""Memory of the process: how the C library's allocator treats the large blocks of a training step."""

from __future__ import annotations

import ctypes
import sys

# <malloc.h> of glibc: numbers of the parameters of mallopt(3).
TRIM_THRESHOLD, TOP_PAD, MMAP_MAX = -1, -2, -4
LARGEST_INT = 2**31 - 1


def keep_freed_memory() -> None:
    """Let the process keep what it frees, instead of handing it back to the system and fetching it anew each step.

    Training on a CPU allocates the same activations every step; by default glibc maps and unmaps each large one, and
    the kernel fills them with zeros again: much of the time of a step. Without effect where there is no glibc.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(MMAP_MAX, 0)
        mallopt(TRIM_THRESHOLD, LARGEST_INT)
        mallopt(TOP_PAD, 2**28)

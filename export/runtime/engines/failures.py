"""Errors of the engines, which have no base of their own, become :class:`DeviceError` here and nowhere else."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

from export.errors import DeviceError

NO_MEMORY = re.compile(
    r"failed to allocate (\d+ bytes of )?memory|can't alloc|out of memory|OUT_OF_MEMORY|ALLOC_FAILED|bad_alloc|"
    r"bad allocation|Available memory of \d+ is smaller|Cannot allocate memory",
    re.IGNORECASE,
)
"""What onnxruntime's arenas, CUDA, cuBLAS, cuDNN, oneDNN, OpenVINO, the loader and C++ say when memory runs out."""

LESS, OTHER = "Use smaller batches, or another device.", "Use another device."
OPENING = "opening the model on it"
PLACE = re.compile(r"(Exception from|Check '.*' failed at) \S+?:\d+:\s*")
"""How OpenVINO begins: one line for each place that an error came through, what happened behind the last."""


@contextlib.contextmanager
def mapped(device: str, doing: str, hint: str = OTHER) -> Iterator[None]:
    """Raise :class:`DeviceError` for whatever an engine raises while it does something; ``hint``: what to do then."""
    try:
        yield
    except DeviceError:
        raise
    except Exception as error:
        less = is_out_of_memory(error)
        reason = f"{doing} failed: {brief(error)}"
        raise DeviceError(
            device, reason, LESS if less else hint, available=True, out_of_memory=less, passing=True
        ) from error


def is_out_of_memory(error: BaseException) -> bool:
    """Does a foreign error say that memory ran out?"""
    return isinstance(error, MemoryError) or NO_MEMORY.search(str(error)) is not None


def brief(error: Exception) -> str:
    """Return the first line of a foreign error that says more than where in the engine it was raised."""
    lines = [PLACE.sub("", line).strip() for line in str(error).splitlines()]
    return next(filter(None, lines), type(error).__name__)

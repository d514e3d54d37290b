"""Map the errors of the engines, which have no base class, to :class:`DeviceError`."""

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
"""Out-of-memory messages of onnxruntime's arenas, CUDA, cuBLAS, cuDNN, oneDNN, OpenVINO, the loader and C++."""

LESS, OTHER = "Use smaller batches, or another device.", "Use another device."
OPENING = "opening the model on it"
PLACE = re.compile(r"(Exception from|Check '.*' failed at) \S+?:\d+:\s*")
"""OpenVINO's prefix: one line per place in its source, with the actual message after the last."""


@contextlib.contextmanager
def mapped(device: str, doing: str, hint: str = OTHER) -> Iterator[None]:
    """Raise :class:`DeviceError` for any error of an engine while it does something; ``hint``: what to do then."""
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
    """Return whether an engine's error says that memory ran out."""
    return isinstance(error, MemoryError) or NO_MEMORY.search(str(error)) is not None


def brief(error: Exception) -> str:
    """Return the first line of an engine's error that says more than where in its source it was raised."""
    lines = [PLACE.sub("", line).strip() for line in str(error).splitlines()]
    return next(filter(None, lines), type(error).__name__)

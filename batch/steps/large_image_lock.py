"""A lock of the whole run, for images too large to decode two at once."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

LOCK_NAME = ".seg-batch-large.lock"


def one_at_a_time(folder: Path | None) -> AbstractContextManager[object]:
    """Return a context that one thread of one process is in at a time, among those who name the same ``folder``.

    None: there are no others.
    """
    if folder is None:
        return nullcontext()
    from filelock import FileLock

    return FileLock(folder / LOCK_NAME)

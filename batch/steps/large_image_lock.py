"""One at a time, over all threads and processes of a run: for what several of would not fit into memory."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

GATE_NAME = ".seg-batch-large.lock"


def passing(folder: Path | None) -> AbstractContextManager[object]:
    """Return a context that one thread of one process is in at a time, among those who name the same ``folder``.

    None: there are no others.
    """
    if folder is None:
        return nullcontext()
    from filelock import FileLock

    return FileLock(folder / GATE_NAME)

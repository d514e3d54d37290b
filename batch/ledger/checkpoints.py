"""Checkpoints: which rows can be trusted after a power cut, without syncing each mask.

Rows carry the number of the epoch in which they were finished. Once a minute a thread syncs the masks' file system;
when it has finished, all epochs up to its start are recorded as synced. After an unclean end, the masks of later epochs
are compared with their SHA-256 before they count as done.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

CHECKPOINT_SECONDS = 60.0
EPOCHS_PER_RUN = 1 << 20
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def run_of(epoch: int | None) -> int:
    """Return the run in which a row was finished; 0 if its epoch is not known (ledgers before format 2)."""
    return (epoch or 0) // EPOCHS_PER_RUN


class Checkpoints:
    """The epochs of one run. ``sync``: writes the masks to disk; it runs in its own thread.

    ``epoch``: the epoch of rows that are finished now.
    """

    def __init__(self, run: int, sync: Callable[[], None]) -> None:
        self.epoch = run * EPOCHS_PER_RUN
        self._sync = sync
        self._begun = -CHECKPOINT_SECONDS
        self._thread: threading.Thread | None = None
        self._synced: int | None = None

    def turn(self) -> int | None:
        """Begin a checkpoint if it is due, called after finished rows are committed. Return an epoch that is newly
        synced together with all before it, else None.
        """
        if self._thread is None:
            if time.monotonic() - self._begun >= CHECKPOINT_SECONDS:
                self._begin()
            return None
        if self._thread.is_alive():
            return None
        self._thread = None
        synced, self._synced = self._synced, None
        return synced

    def _begin(self) -> None:
        closed, self.epoch = self.epoch, self.epoch + 1
        self._begun = time.monotonic()
        self._thread = threading.Thread(target=self._work, args=(closed,), name="checkpoint", daemon=True)
        self._thread.start()

    def _work(self, closed: int) -> None:
        with contextlib.suppress(OSError):  # not synced: the next attempt is in a minute
            self._sync()
            self._synced = closed


def sync_folder(folder: Path) -> None:
    """Flush the file system of a folder to disk. Raises :class:`OSError`."""
    if sys.platform != "linux":
        os.sync()
        return
    import ctypes  # what is loaded before the processes start is light

    handle = os.open(folder, os.O_RDONLY)
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.syncfs(handle) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(folder))
    finally:
        os.close(handle)


def this_boot() -> str:
    """Return an ID of this boot of the system; empty if the system has none."""
    try:
        return BOOT_ID.read_text().strip()
    except OSError:
        return ""

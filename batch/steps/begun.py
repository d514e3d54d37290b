"""Record which images are being worked on, in a file that all processes of a run map into memory.

Each thread records what it begins in its own slot, because a process that died can no longer report it. From the slots
the run sees which image may have caused a crash or a hang. If the whole run is killed, the file is left and tells the
next run.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

BEGUN_NAME = ".seg-batch-begun"
SLOT_BYTES = 16
"""A row of the ledger (int64, 0: none) and its start time (float64, seconds of ``time.monotonic``)."""
THREAD_SLOTS = 64
BATCH_SLOTS = 256
"""Images of a larger batch beyond this number are not recorded."""
SLOTS = THREAD_SLOTS + BATCH_SLOTS
WORKER_BYTES = SLOT_BYTES * SLOTS


class Slot(NamedTuple):
    """An image being worked on: its row in the ledger, and its start time in seconds of ``time.monotonic``."""

    row: int
    since: float


class BegunFile:
    """The file, with room for this number of ``workers``. Raises :class:`OSError`."""

    def __init__(self, path: Path, workers: int) -> None:
        self.path = path
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | getattr(os, "O_NOFOLLOW", 0), 0o666)
        try:
            _write_all(descriptor, bytes(workers * WORKER_BYTES))  # not sparse: on a full disk, access would crash
            self._map = mmap.mmap(descriptor, workers * WORKER_BYTES)
        finally:
            os.close(descriptor)

    def of(self, worker: int) -> list[Slot]:
        """Return the slots in use of one worker."""
        return _slots(self._map[worker * WORKER_BYTES : (worker + 1) * WORKER_BYTES])

    def clear(self, worker: int) -> None:
        """Clear the slots of a worker that has ended."""
        self._map[worker * WORKER_BYTES : (worker + 1) * WORKER_BYTES] = bytes(WORKER_BYTES)

    def close(self) -> None:
        """Remove the file: the run ends normally, and all outcomes are known."""
        self._map.close()
        self.path.unlink(missing_ok=True)


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def left_by_a_killed_run(path: Path) -> list[int]:
    """Return the rows that a killed run was working on; none if the last run ended normally."""
    try:
        data = path.read_bytes()
    except OSError:
        return []
    return [slot.row for slot in _slots(data[: len(data) // SLOT_BYTES * SLOT_BYTES])]


def _slots(data: bytes) -> list[Slot]:
    if not data.strip(b"\0"):
        return []
    view = memoryview(data)
    pairs = zip(view.cast("q")[::2], view.cast("d")[1::2], strict=True)
    return [Slot(row, since) for row, since in pairs if row > 0]


class Begun:
    """The slots of this process, filled by its threads. Without a path nothing is recorded."""

    def __init__(self, path: Path | None = None, worker: int = 0) -> None:
        self._threads = threading.local()
        self._lock, self._next = threading.Lock(), 0
        self._rows, self._times = memoryview(b"").cast("q"), memoryview(b"").cast("d")
        self._is_on = path is not None
        if path is None:
            return
        with path.open("r+b") as file:
            view = memoryview(mmap.mmap(file.fileno(), 0))
        mine = view[worker * WORKER_BYTES : (worker + 1) * WORKER_BYTES]
        self._rows, self._times = mine.cast("q")[::2], mine.cast("d")[1::2]

    @contextlib.contextmanager
    def one(self, row: int) -> Iterator[None]:
        """Record that this thread works on an image."""
        if not self._is_on:
            yield
            return
        slot = self._own_slot()
        self._times[slot], self._rows[slot] = time.monotonic(), row
        try:
            yield
        finally:
            self._rows[slot] = 0

    @contextlib.contextmanager
    def together(self, rows: Sequence[int]) -> Iterator[None]:
        """Record the images of the batch that the model is running on. For one thread."""
        if not self._is_on:
            yield
            return
        now, slots = time.monotonic(), range(THREAD_SLOTS, THREAD_SLOTS + min(len(rows), BATCH_SLOTS))
        for slot, row in zip(slots, rows, strict=False):
            self._times[slot], self._rows[slot] = now, row
        try:
            yield
        finally:
            for slot in slots:
                self._rows[slot] = 0

    def _own_slot(self) -> int:
        try:
            return self._threads.slot  # type: ignore[no-any-return]  # threading.local has no types
        except AttributeError:
            with self._lock:
                self._threads.slot, self._next = self._next, (self._next + 1) % THREAD_SLOTS
            return self._own_slot()

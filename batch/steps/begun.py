"""Which images are being worked on, where everybody can see it: in a file that all processes of a run map into memory.

A process that dies says nothing any more. So each of its threads notes what it begins here, in a slot of its own; the
run reads it to know whose fault a death or a hang may be. The file outlives the run as well: what a killed run has left
in it is what it was working on.
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
"""A row of the ledger (int64, 0: nothing) and since when (float64, seconds of ``time.monotonic``)."""
THREAD_SLOTS = 64
BATCH_SLOTS = 256
"""Of a larger batch the first images are noted."""
SLOTS = THREAD_SLOTS + BATCH_SLOTS
WORKER_BYTES = SLOT_BYTES * SLOTS


class Slot(NamedTuple):
    """What somebody works on: a row of the ledger, and since when."""

    row: int
    since: float


class BegunFile:
    """The file, with room for so many ``workers``. Raises :class:`OSError`."""

    def __init__(self, path: Path, workers: int) -> None:
        self.path = path
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | getattr(os, "O_NOFOLLOW", 0), 0o666)
        try:
            _write_all(descriptor, bytes(workers * WORKER_BYTES))  # a hole on a full disk would end who looks into it
            self._map = mmap.mmap(descriptor, workers * WORKER_BYTES)
        finally:
            os.close(descriptor)

    def of(self, worker: int) -> list[Slot]:
        """Return what a process works on."""
        return _slots(self._map[worker * WORKER_BYTES : (worker + 1) * WORKER_BYTES])

    def clear(self, worker: int) -> None:
        """Forget what a process that has ended worked on."""
        self._map[worker * WORKER_BYTES : (worker + 1) * WORKER_BYTES] = bytes(WORKER_BYTES)

    def close(self) -> None:
        """Remove it: the run ends by itself, and knows what became of everything."""
        self._map.close()
        self.path.unlink(missing_ok=True)


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def left_by_a_killed_run(path: Path) -> list[int]:
    """Return the rows that a run was working on when it was killed; none where it ended by itself."""
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
    """The slots of this process, as its threads fill them. None of them: nobody looks."""

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
        """Note that this thread works on an image."""
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
        """Note that the model is shown a batch. For one thread."""
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

"""The worker processes of a run, one per share of the machine: started, listened to, ended, replaced if they die."""

from __future__ import annotations

import contextlib
import os
import pickle
import selectors
import socket
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from batch.errors import cannot_write
from batch.executors.blame import Hangs
from batch.executors.messages import Orders
from batch.executors.placement import Share
from batch.executors.process import Worker
from batch.outputs.base import FolderStore, MaskFiles
from batch.outputs.leftovers import remove_leftovers
from batch.settings import RunSettings
from batch.steps.begun import BEGUN_NAME, BegunFile

RINGS = 4096
"""Bytes that are read from the bell at a time."""
LOOK_SECONDS = 0.1
"""Interval between checks for hangs."""


class Crew:
    """Workers for these ``shares``. ``store``, ``state``, ``bell``: see :class:`batch.executors.workers.Workers`."""

    def __init__(
        self,
        settings: RunSettings,
        shares: Sequence[Share],
        *,
        store: MaskFiles | None,
        state: Path | None,
        bell: socket.socket | None = None,
    ) -> None:
        self.workers: list[Worker] = []
        self._settings, self._shares, self._store = settings, shares, store
        self._speakers = selectors.DefaultSelector()
        if bell is not None:
            bell.setblocking(False)
            self._speakers.register(bell, selectors.EVENT_READ, bell)
        self._begun = _begun_file(state, len(shares))
        self._hangs, self._looked = Hangs(settings.timeout), time.monotonic()
        try:
            for index in range(len(shares)):
                self.start(index)
        except BaseException:
            self.close()
            raise

    def listen(self, seconds: float) -> Iterator[tuple[Worker, object]]:
        """Wait up to ``seconds`` or until the bell rings, and yield the messages of workers; None for one that died."""
        for key, _ in self._speakers.select(seconds):
            if isinstance(key.data, socket.socket):
                _silence(key.data)
                continue
            worker: Worker = key.data
            try:
                message = worker.connection.recv()
            except (EOFError, OSError, pickle.UnpicklingError):
                message = None
            yield worker, message

    @property
    def begun(self) -> int:
        """Return how many images are being worked on."""
        return sum(len(self._begun.of(worker.index)) for worker in self.workers)

    def overdue(self) -> Iterator[tuple[Worker, set[int]]]:
        """Yield workers that hang, with the rows that they have worked on for too long; no rows for a worker that does
        not begin its work or does not open its model.
        """
        now = time.monotonic()
        if now - self._looked < LOOK_SECONDS:
            return
        seconds, self._looked = now - self._looked, now
        for worker in list(self.workers):
            slots = self._begun.of(worker.index)
            rows = self._hangs.overdue(worker.index, slots, seconds)
            waits = not slots and (worker.load > 0 or not worker.is_ready)
            if rows or self._hangs.is_silent(worker.pid, seconds if waits else None, is_ready=worker.is_ready):
                yield worker, rows

    def remove(self, worker: Worker, *, has_gone: bool) -> tuple[str, set[int]]:
        """End a worker and remove its temporary files. ``has_gone``: it is ending by itself.

        Return how it ended, and the rows that it was working on.
        """
        self._speakers.unregister(worker.connection)
        how = worker.end(has_gone=has_gone)
        begun = {slot.row for slot in self._begun.of(worker.index)}
        self._begun.clear(worker.index)
        self.workers.remove(worker)
        masks = [task.mask for task in worker.held.values()]
        for folder in self._folders():
            remove_leftovers(folder, masks, worker.pid)
        return how, begun

    def close(self) -> None:
        """End all workers at once."""
        for worker in self.workers:
            worker.end()
        self.workers.clear()
        self._speakers.close()
        self._begun.close()

    def _folders(self) -> Iterator[Path]:
        """Yield the folders that workers write to."""
        out = self._store.folder if isinstance(self._store, FolderStore) else None
        yield from filter(None, (out, self._settings.overlays, self._settings.probs))

    def start(self, index: int) -> None:
        """Start a worker at a free index."""
        worker = Worker(index)
        self.workers.append(worker)
        self._speakers.register(worker.connection, selectors.EVENT_READ, worker)
        lives_on = threading.current_thread() is threading.main_thread()
        worker.send(
            Orders(self._settings, self._shares[index], index, self._store, self._begun.path, os.getpid(), lives_on)
        )


def _silence(bell: socket.socket) -> None:
    with contextlib.suppress(BlockingIOError):
        while bell.recv(RINGS):
            pass


def _begun_file(state: Path | None, workers: int) -> BegunFile:
    """Return the file in which workers record what they work on: beside the ledger, if possible."""
    if state is not None:
        try:
            return BegunFile(state / BEGUN_NAME, workers)
        except OSError:  # a full disk, or no memory mapping: then only this run will know
            pass
    try:
        handle, path = tempfile.mkstemp(prefix="seg-batch-")
        os.close(handle)
        return BegunFile(Path(path), workers)
    except OSError as error:
        raise cannot_write(tempfile.gettempdir(), error) from error

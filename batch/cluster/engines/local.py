"""Do units on this machine: a process for each core or GPU, each of which does one unit after the other.

A process that dies is replaced, and its unit is tried again with more care (see :mod:`batch.cluster.attempts`).
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import tempfile
import threading
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection

from batch.cluster.engines.base import MOST_DEATHS, STOP_SECONDS, Waiting
from batch.cluster.engines.worker import UnitWorker, WorkerOptions
from batch.cluster.files.names import UnitName
from batch.cluster.unit import UnitResult
from batch.errors import ProcessError
from batch.executors.child import connection_to_parent, end_with_parent, start_child
from batch.executors.placement import Share
from seglab.errors import SeglabError

CHILD = "from batch.cluster.engines.local import main; main()"


@dataclass(frozen=True)
class _Orders:
    job: str
    options: WorkerOptions
    cores: tuple[int, ...]
    scratch: str
    parent: int
    dies_with_thread: bool


@dataclass(frozen=True)
class _Ready:
    device: str


@dataclass(frozen=True)
class _Failed:
    error: SeglabError


class _Child:
    """A process, and the unit that it does."""

    def __init__(self, job: str, options: WorkerOptions, share: Share, scratch: str) -> None:
        self.share, self.unit, self.is_ready = share, None, False
        self._process, self.connection = start_child(CHILD)
        options = replace(options, device=share.device, threads=share.threads)
        lives_on = threading.current_thread() is threading.main_thread()
        self.connection.send(_Orders(job, options, share.cores, scratch, os.getpid(), lives_on))

    unit: str | None

    def give(self, unit: str) -> None:
        """Let it do a unit."""
        self.unit = unit
        with contextlib.suppress(OSError):  # it is gone, which shows when it is listened to
            self.connection.send(unit)

    def end(self) -> str:
        """Let it end in good order, else kill it; return how it ended."""
        if self._process.poll() is None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_SECONDS)
            self._process.kill()  # it hangs
        return self.bury()

    def bury(self) -> str:
        """Return how it ended, which it has done or does now."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_SECONDS)
        self._process.kill()
        code = self._process.wait()
        self.connection.close()
        return f"signal {-code}" if code < 0 else f"exit code {code}"

    def tell(self) -> None:
        """Tell it to end, and do not wait."""
        self._process.terminate()


class LocalEngine:
    """Processes of this machine for the job at a path or URL, one for each of the ``shares``.

    ``device``: what the first of them works on, once it is ready.
    """

    def __init__(self, job: str, options: WorkerOptions, shares: Sequence[Share]) -> None:
        self.device = ""
        self._job, self._options, self._shares = job, options, shares
        self._children: list[_Child] = []
        self._speakers = selectors.DefaultSelector()
        self._waiting, self._deaths = Waiting(()), 0
        self._scratch = tempfile.TemporaryDirectory(prefix="seg-batch-cluster-", ignore_cleanup_errors=True)

    def run(self, units: Sequence[UnitName]) -> Generator[UnitResult]:
        """Yield the results of the units, in any order. Raises :class:`ProcessError` and the errors of opening."""
        self._waiting = Waiting(units)
        try:
            for share in self._shares[: len(units)]:
                self._start(share)
            while self._waiting or any(child.unit for child in self._children):
                for key, _ in self._speakers.select():
                    yield from self._hear(key.data)
        finally:
            self.close()

    def close(self) -> None:
        """End all processes; units that they were doing stay to be done."""
        for child in self._children:
            child.tell()
        while self._children:
            self._children.pop().end()
        self._speakers.close()
        self._scratch.cleanup()

    def _start(self, share: Share) -> None:
        child = _Child(self._job, self._options, share, self._scratch.name)
        self._children.append(child)
        self._speakers.register(child.connection, selectors.EVENT_READ, child)

    def _hear(self, child: _Child) -> Iterator[UnitResult]:
        try:
            message = child.connection.recv()
        except (EOFError, OSError):
            yield from self._replace(child)
            return
        if isinstance(message, _Failed):
            raise message.error
        if isinstance(message, _Ready):
            child.is_ready, self.device = True, self.device or message.device
            self._deaths = 0
        else:
            child.unit = None
            yield message
        if self._waiting:
            child.give(self._waiting.take())

    def _replace(self, child: _Child) -> Iterator[UnitResult]:
        """Start another process for one that died, and let its unit be done again."""
        self._speakers.unregister(child.connection)
        self._children.remove(child)
        how = child.bury()
        if child.unit is not None:
            yield from self._waiting.put_back(child.unit, how)
        elif not child.is_ready:
            self._deaths += 1
            if self._deaths >= MOST_DEATHS:
                raise ProcessError(
                    f"{MOST_DEATHS} processes in a row ended before they had opened the model ({how}). There may be "
                    "too little memory: run again with fewer --processes."
                )
        if self._waiting:
            self._start(child.share)


def main() -> None:
    """Serve the parent: open the job, then do the units that it names."""
    connection = connection_to_parent()
    signal.signal(signal.SIGTERM, _interrupt)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    try:
        _serve(connection)
    except (KeyboardInterrupt, EOFError, BrokenPipeError, ConnectionResetError):
        os._exit(1)
    except SeglabError as error:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the parent answers at once, by ending this process
        connection.send(_Failed(error))
        os._exit(1)


def _serve(connection: Connection) -> None:
    orders: _Orders = connection.recv()
    end_with_parent(orders.parent, dies_with_thread=orders.dies_with_thread)
    if orders.cores:
        os.sched_setaffinity(0, orders.cores)
    tempfile.tempdir = orders.scratch  # the engine removes it, whatever becomes of this process
    worker = UnitWorker(orders.job, orders.options)
    connection.send(_Ready(worker.device))
    while True:
        connection.send(worker.do(connection.recv()))


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt

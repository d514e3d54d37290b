"""Start a worker process and communicate with it; its side is :mod:`batch.executors.worker`."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from multiprocessing import Pipe as socket_pair
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler
from pathlib import Path

from batch.steps.task import Task

GONE_SECONDS = 5.0
"""How long a process that has closed its connection may take to end."""
SMALL_BYTES = 8192
"""The system buffers some 200 kB per connection, and a worker has few unanswered messages."""
WORKER = "from batch.executors.worker import main; main()"


class Worker:
    """A worker process, with the tasks it was sent and has not answered: ``held``, by row.

    ``index``: its place among the workers. ``is_ready``: whether it has opened its model. ``started``: when, in seconds
    since 1970.
    """

    def __init__(self, index: int) -> None:
        self.index, self.is_ready = index, False
        self.held: dict[int, Task] = {}
        self.started = time.time()
        self.connection, theirs = socket_pair()
        self._outbox: queue.SimpleQueue[object] | None = None
        with _held_back(), theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", WORKER, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                env=_environment(),
                stdin=subprocess.DEVNULL,
            )

    @property
    def pid(self) -> int:
        """Return the process ID."""
        return self._process.pid

    @property
    def load(self) -> int:
        """Return how many images it holds."""
        return len(self.held)

    @property
    def has_solo(self) -> bool:
        """Return whether it holds an image that must be worked on alone."""
        return len(self.held) == 1 and next(iter(self.held.values())).solo

    def send(self, message: object, *, holds_bytes: bool = False) -> None:
        """Send a message without waiting until it is received: a worker that hangs must not block its run.

        A message that may not fit into the connection's buffer is sent by a thread, and so are all later ones.
        ``holds_bytes``: it contains images; then it is also pickled by that thread.
        """
        packed = None if holds_bytes or self._outbox is not None else ForkingPickler.dumps(message)
        if self._outbox is None and (packed is None or len(packed) > SMALL_BYTES):
            self._outbox = queue.SimpleQueue()
            threading.Thread(target=_send_all, args=(self.connection, self._outbox), daemon=True).start()
        if self._outbox is not None:
            self._outbox.put(message)
        elif packed is not None:
            with contextlib.suppress(OSError):  # the process is gone, which shows when it is listened to
                self.connection.send_bytes(packed)

    def end(self, *, has_gone: bool = False) -> str:
        """End the process, whatever it does; return how it ended. ``has_gone``: it is ending by itself."""
        if has_gone:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(GONE_SECONDS)
        if self._process.poll() is None:
            self._process.kill()
        code = self._process.wait()
        with contextlib.suppress(OSError):
            self.connection.close()
        if self._outbox is not None:
            self._outbox.put(None)
        return f"signal {-code}" if code < 0 else f"exit code {code}"


def _send_all(connection: Connection, outbox: queue.SimpleQueue[object]) -> None:
    with contextlib.suppress(OSError, ValueError):  # the process or this end of the connection is gone
        while (message := outbox.get()) is not None:
            connection.send(message)


def _environment() -> dict[str, str]:
    """Return an environment in which a worker imports this package, and nothing from the working folder."""
    root = str(Path(__file__).resolve().parents[2])
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))}


@contextlib.contextmanager
def _held_back() -> Iterator[None]:
    """Block SIGINT and SIGTERM for a process that is started meanwhile, which inherits the signal mask: only the run
    handles them.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

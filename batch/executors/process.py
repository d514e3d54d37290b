"""Start a worker process and communicate with it; its side is :mod:`batch.executors.worker`."""

from __future__ import annotations

import contextlib
import queue
import subprocess
import threading
import time
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler

from batch.executors.child import start_child
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
        self._outbox: queue.SimpleQueue[object] | None = None
        self._process, self.connection = start_child(WORKER)

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

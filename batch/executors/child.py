"""Start a Python process of this package, connected to the one that starts it, and let it end with that one."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from multiprocessing import Pipe as socket_pair
from multiprocessing.connection import Connection
from pathlib import Path

LOOK_SECONDS = 1.0
"""Interval between checks that the parent still exists."""
PR_SET_PDEATHSIG = 1


def start_child(code: str) -> tuple[subprocess.Popen[bytes], Connection]:
    """Start a process that executes ``code``, with its end of a connection as the only argument; return our end."""
    ours, theirs = socket_pair()
    with _held_back(), theirs:
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", code, str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            env=_environment(),
            stdin=subprocess.DEVNULL,
        )
    return process, ours


def connection_to_parent() -> Connection:
    """Return the connection that :func:`start_child` passed to this process."""
    return Connection(int(sys.argv[1]))


def end_with_parent(parent: int, *, dies_with_thread: bool) -> None:
    """Make this process end when its parent does, however that ends: locks of the parent are then released.

    ``dies_with_thread``: whether the thread that started this process lives as long as the parent.
    """
    if dies_with_thread and sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # by the kernel, even if a decoder hangs
    threading.Thread(target=_look_for, args=(parent,), name="look for the parent", daemon=True).start()


def _look_for(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(LOOK_SECONDS)
    os._exit(1)


def _environment() -> dict[str, str]:
    """Return an environment in which a child imports this package, and nothing from the working folder."""
    root = str(Path(__file__).resolve().parents[2])
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))}


@contextlib.contextmanager
def _held_back() -> Iterator[None]:
    """Block SIGINT and SIGTERM for a process that is started meanwhile, which inherits the signal mask: only the parent
    handles them.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

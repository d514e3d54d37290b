"""Starting processes of a crew, and hearing from them; what they then do is in :mod:`batch.executors.worker`."""

from __future__ import annotations

import contextlib
import os
import pickle
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing import Pipe as socket_pair
from multiprocessing.connection import Connection
from pathlib import Path

from batch.errors import ProcessError

END_SECONDS = 60.0


@dataclass(frozen=True)
class Process:
    """A process, and this end of its connection."""

    process: subprocess.Popen[bytes]
    connection: Connection

    def receive(self) -> object:
        """Return what it says next. Raises :class:`ProcessError` where it ended by itself."""
        try:
            return self.connection.recv()
        except (EOFError, OSError, pickle.UnpicklingError) as error:
            code = self.process.wait(END_SECONDS)
            how = f"signal {-code}" if code < 0 else f"exit code {code}"
            raise ProcessError(
                f"A process that segments images ended by itself ({how}); expected it to go on. It may have run out of "
                "memory, or an image may break its decoder. Run again to go on, with --processes 1 if it happens again."
            ) from error

    def end(self) -> None:
        """End it, whatever it does."""
        with contextlib.suppress(OSError):
            self.connection.close()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


def start_processes(count: int) -> list[Process]:
    """Start processes: this interpreter, this package, and nothing that lies in the working folder."""
    processes: list[Process] = []
    try:
        processes.extend(_start() for _ in range(count))
    except BaseException:
        end_processes(processes)
        raise
    return processes


def end_processes(processes: Sequence[Process]) -> None:
    """End all of them."""
    for process in processes:
        process.end()


def _start() -> Process:
    ours, theirs = socket_pair()
    root = str(Path(__file__).resolve().parents[2])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))}
    command = [sys.executable, "-P", "-c", "from batch.executors.worker import main; main()", str(theirs.fileno())]
    process = subprocess.Popen(command, pass_fds=[theirs.fileno()], env=environment, stdin=subprocess.DEVNULL)
    theirs.close()
    return Process(process, ours)

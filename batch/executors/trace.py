"""``--profile FILE``: what every thread did when, as a trace that Perfetto (ui.perfetto.dev) and chrome://tracing open.

Written while it goes on, so that a run of a million images takes no more memory than one of ten. Source: Trace Event
Format, JSON array form: complete events (``X``), counters (``C``), metadata (``M``); times in microseconds.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from batch.errors import cannot_write, printable
from seglab.files import replacing


class Trace:
    """An open trace. Any thread may write to it. Times are the system's monotonic ones, the same in all processes."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._threads: set[int] = set()
        self._separator = "[\n"

    def span(self, name: str, start: float, end: float, **about: Any) -> None:
        """Note that this thread did ``name`` from ``start`` to ``end`` (seconds of ``time.perf_counter``)."""
        thread = threading.get_ident()
        if thread not in self._threads:
            self._threads.add(thread)
            self._event("thread_name", "M", tid=thread, args={"name": threading.current_thread().name})
        shown_about = {key: printable(value) if isinstance(value, str) else value for key, value in about.items()}
        self._event(name, "X", tid=thread, ts=_microseconds(start), dur=round((end - start) * 1e6, 1), args=shown_about)

    def count(self, name: str, value: int) -> None:
        """Note the length of a queue."""
        self._event(name, "C", ts=_microseconds(time.perf_counter()), args={"waiting": value})

    def include(self, part: Path) -> None:
        """Take over the events of another process's trace, and remove its file."""
        if not part.exists():  # it was killed
            return
        with part.open(encoding="utf-8") as lines, self._lock:
            for line in lines:
                event = line.strip(",\n[]")
                if event:
                    self._file.write(self._separator + event)
                    self._separator = ",\n"
        part.unlink()

    def close(self) -> None:
        """End the file."""
        with self._lock:
            self._file.write("\n]\n" if self._separator != "[\n" else "[]\n")

    def _event(self, name: str, phase: str, **fields: Any) -> None:
        text = json.dumps({"name": name, "ph": phase, "pid": self._pid, **fields}, separators=(",", ":"))
        with self._lock:
            self._file.write(self._separator + text)
            self._separator = ",\n"


def _microseconds(seconds: float) -> float:
    return round(seconds * 1e6, 1)


@contextlib.contextmanager
def tracing(path: Path | None) -> Iterator[Trace | None]:
    """Yield a trace that is at ``path`` in the end, also when the run is stopped; None for no path.

    Raises :class:`batch.errors.OutputError` where it cannot be written.
    """
    if path is None:
        yield None
        return
    stopped: BaseException | None = None
    try:
        with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
            trace = Trace(file)
            try:
                yield trace
            except BaseException as error:  # of a run that ends early the beginning is worth as much
                stopped = error
            trace.close()
    except OSError as error:
        raise cannot_write(str(path), error) from error
    if stopped is not None:
        raise stopped

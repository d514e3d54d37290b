"""``--profile FILE``: what every thread did when, as a trace for Perfetto (ui.perfetto.dev) and chrome://tracing.

It is written during the run, so a run of a million images takes no more memory than one of ten. Source: Trace Event
Format, JSON array form: complete events (``X``), metadata (``M``); times in microseconds.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from batch.errors import cannot_write, printable
from batch.steps.task import Span
from seglab.files import replacing


class Trace:
    """An open trace, for one thread. Times are of the system's monotonic clock, the same in all processes."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file
        self._threads: set[tuple[int, int]] = set()
        self._separator = "[\n"

    def span(self, process: int, path: str, span: Span) -> None:
        """Record what a thread of a process did, on the image at ``path`` or on several together."""
        stage, thread, start, end, images = span
        if (process, thread) not in self._threads:
            self._threads.add((process, thread))
            self._event("thread_name", "M", pid=process, tid=thread, args={"name": stage})
        about: dict[str, object] = {"batch": images} if stage == "infer" else {"image": printable(path)} if path else {}
        times = {"ts": _microseconds(start), "dur": round((end - start) * 1e6, 1)}
        self._event(stage, "X", pid=process, tid=thread, **times, args=about)

    def close(self) -> None:
        """Complete the file."""
        self._file.write("\n]\n" if self._separator != "[\n" else "[]\n")

    def _event(self, name: str, phase: str, **fields: Any) -> None:
        text = json.dumps({"name": name, "ph": phase, **fields}, separators=(",", ":"))
        self._file.write(self._separator + text)
        self._separator = ",\n"


def _microseconds(seconds: float) -> float:
    return round(seconds * 1e6, 1)


@contextlib.contextmanager
def tracing(path: Path | None) -> Iterator[Trace | None]:
    """Yield a trace that is written to ``path``, also if the run is stopped; None for no path.

    Raises :class:`batch.errors.OutputError` if it cannot be written.
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
            except BaseException as error:  # the trace of a run that ends early is worth keeping
                stopped = error
            trace.close()
    except OSError as error:
        raise cannot_write(str(path), error) from error
    if stopped is not None:
        raise stopped

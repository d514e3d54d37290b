"""``seg-batch run --json``: the progress of a run as JSON lines on standard output, for programs.

One event per line, flushed, in ASCII; the first has ``format_version``. A failure to write never stops the run: the
lines end with a warning, and the run continues.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from batch.errors import encodable
from batch.urls import public_url, without_secrets
from seglab.cli_support import echo
from seglab.errors import INTERRUPTED, SeglabError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from batch.ledger.records import Result
    from batch.running.runner import Runner
    from batch.settings import RunSettings

FORMAT_VERSION = 1
SECONDS_BETWEEN = 1.0
"""The shortest interval between two progress events."""


class ProgressLines:
    """The events of one run: ``start``, ``progress``, ``failed``, ``end``."""

    def __init__(self) -> None:
        self._runner: Runner | None = None
        self._total: int | None = None
        self._has_begun = self._has_started = self._is_closed = False
        self._last = 0.0

    def watch(self, runner: Runner, results: Iterable[Result]) -> None:
        """Write an event for each result that needs one; the total is counted in a thread."""
        self._runner = runner
        stopped = threading.Event()
        threading.Thread(target=self._count, args=(stopped,), daemon=True).start()
        try:
            for result in results:
                self._note(runner, result)
        finally:
            stopped.set()

    def end(self, exit_code: int, error: str | None = None) -> None:
        """Write the last event. Its summary: :class:`batch.running.report.RunReport`, null before a run began."""
        summary = None
        if self._runner is not None:
            self._start(self._runner)
            if self._has_started:
                self._progress(self._runner)
            summary = self._runner.report.to_json()
        why = {} if error is None else {"error": error}
        self._write({"event": "end", "exit_code": exit_code, **why, "summary": summary})

    def _note(self, runner: Runner, result: Result) -> None:
        self._start(runner)
        if result.error is not None:
            self._write({"event": "failed", "path": result.path, "reason": result.error})
        if time.monotonic() - self._last >= SECONDS_BETWEEN:
            self._progress(runner)

    def _start(self, runner: Runner) -> None:
        report = runner.report
        if self._has_started or not report.device:
            return
        self._has_started, self._last = True, time.monotonic()
        sources = _named(runner.settings)
        place = {"output": report.masks, "ledger": report.ledger}
        self._write({"event": "start", "device": report.device, "sources": sources, **place})

    def _progress(self, runner: Runner) -> None:
        self._last = time.monotonic()
        report = runner.report
        seconds = report.seconds or self._last - report.started
        rate = (report.done + report.failed) / seconds if seconds else 0.0
        counts = {"done": report.done, "failed": report.failed, "skipped": report.skipped}
        drawn = report.sources.drawn
        total = self._total if drawn is None else drawn.images
        self._write({"event": "progress", **counts, "total": total, "images_per_second": round(rate, 2)})

    def _count(self, stopped: threading.Event) -> None:
        if self._runner is not None:
            self._total = self._runner.sources.count(stopped.is_set)

    def _write(self, event: dict[str, Any]) -> None:
        if self._is_closed:
            return
        if not self._has_begun:
            event = {"event": event["event"], "format_version": FORMAT_VERSION, **event}
            self._has_begun = True
        try:
            sys.stdout.write(as_line(event) + "\n")
            sys.stdout.flush()
        except OSError as failure:
            self._is_closed = True
            _close_stdout()
            echo(
                f"warning: progress can no longer be written to standard output ({failure.strerror or failure}); the "
                "run continues without it. Run `seg-batch status` on the output to see its progress.",
                err=True,
            )


@contextlib.contextmanager
def progress_lines() -> Iterator[ProgressLines]:
    """Yield the lines of a run, and write their last event however the run ends."""
    lines = ProgressLines()
    exit_code, error = 0, None
    try:
        yield lines
    except SystemExit as end:
        exit_code = end.code if isinstance(end.code, int) else 1
        raise
    except KeyboardInterrupt:
        exit_code = INTERRUPTED
        raise
    except SeglabError as failure:
        exit_code, error = failure.exit_code, str(failure)
        raise
    except BaseException as failure:
        exit_code, error = 1, f"{type(failure).__name__}: {failure}"
        raise
    finally:
        lines.end(exit_code, error)


def as_line(value: object) -> str:
    """Return JSON on one line, in ASCII; names that are not UTF-8 as by :func:`batch.errors.encodable`."""
    return json.dumps(_plain(value))


def _plain(value: object) -> object:
    """Return a JSON value whose strings every program can read, without passwords and signatures in URLs."""
    if isinstance(value, str):
        return encodable(without_secrets(value) if "://" in value else value)
    if isinstance(value, dict):
        return {_plain(key): _plain(entry) for key, entry in value.items()}
    return [_plain(entry) for entry in value] if isinstance(value, (list, tuple)) else value


def _named(settings: RunSettings) -> list[str]:
    return [public_url(name) for name in (*settings.source_names, *settings.list_names)]


def _close_stdout() -> None:
    """Redirect standard output to nowhere: at exit, Python would complain that it cannot be flushed."""
    with contextlib.suppress(OSError, ValueError):
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, sys.stdout.fileno())
        os.close(nothing)
        sys.stdout.flush()

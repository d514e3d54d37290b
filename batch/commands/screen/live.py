"""The screen during a run: the sources, and a progress bar that counts failures."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from batch.commands.screen.highlights import Highlights
from batch.commands.screen.paper import Paper
from batch.commands.screen.summary import Summary
from batch.errors import printable
from batch.ledger.records import Status
from batch.reporting.shown_paths import ShownPaths
from batch.running.source_lines import other_files
from seglab import progress_log
from seglab.cli_support import progress
from seglab.terminal import is_live
from seglab.words import counted

if TYPE_CHECKING:
    from batch.ledger.records import Result
    from batch.running.runner import Runner

BAR = "{l_bar}{bar}| {n_fmt}/{total_fmt}{postfix} [{elapsed}<{remaining}, {rate_fmt}]"
"""Failures come before the times, so that a narrow terminal does not cut them off."""
COUNT_SECONDS = 1.0
"""How long the first line waits for the images to be counted, in seconds."""
SOURCES_SHOWN = 3


class Screen:
    """The screen of one run."""

    def __init__(self, runner: Runner, *, with_timing: bool = False) -> None:
        self._runner, self._with_timing, self._is_live = runner, with_timing, is_live(sys.stderr)
        self._paper, self._highlights = Paper.of(sys.stderr), Highlights()
        self._total: int | None = None
        self._has_begun = self._others_were_said = self._is_whole = False
        self._failed = 0  # among the results seen here; the run itself may be ahead

    def watch(self, results: Iterable[Result]) -> None:
        """Iterate over the results with a progress bar; a thread counts its total."""
        stopped = threading.Event()
        with progress(None, "segment", " images") as bar:
            counting = threading.Thread(target=self._count, args=(bar, stopped), daemon=True)
            counting.start()
            try:
                for result in results:
                    if not self._has_begun and result.status is not Status.SKIPPED:
                        self._begin(bar, counting)
                    self._take(result, bar)
                self._is_whole = True
            finally:
                stopped.set()

    def _begin(self, bar: Any, counting: threading.Thread) -> None:
        """Print which sources are read, at the first image that needs work."""
        self._has_begun = True
        if self._is_live and self._runner.all_found is None:
            counting.join(COUNT_SECONDS)
        bar.write(self._first_line(), file=sys.stderr)
        bar.unpause()  # the rate leaves out opening the model

    def end(self, page: Path | None = None) -> None:
        """Print the summary of the run. ``page``: of the run, if one was written."""
        runner = self._runner
        paths = ShownPaths(runner.sources.origins)
        said = (self._with_timing or runner.settings.profile is not None, self._others_were_said)
        summary = Summary(runner.report, runner.settings, self._highlights, paths, self._paper, *said, page)
        for line in summary.lines() if self._is_whole or runner.report.total else summary.warnings():
            click.echo(line, err=True)

    def _take(self, result: Result, bar: Any) -> None:
        self._highlights.add(result)
        if result.status is Status.SKIPPED:  # it took no work, so it must not count in the rate
            bar.n, bar.initial, bar.last_print_n = bar.n + 1, bar.initial + 1, bar.last_print_n + 1
        if result.status is Status.FAILED:
            self._failed += 1
            bar.set_postfix_str(f"{self._failed:,} failed", refresh=False)
        bar.update(0 if result.status is Status.SKIPPED else 1)

    def _count(self, bar: Any, stopped: threading.Event) -> None:
        """Count the images: at once for a bar, but for a log only when its first line is due."""
        if not self._is_live and stopped.wait(progress_log.LOG_SECONDS):
            return
        self._total = bar.total = self._runner.sources.count(stopped.is_set)
        if self._total is not None:
            bar.bar_format = BAR

    def _first_line(self) -> str:
        """Return the line that names the sources, with the number of images if it is known."""
        settings = self._runner.settings
        names = [self._paper.fitted(printable(name)) for name in (*settings.source_names, *settings.list_names)]
        more = f" and {len(names) - SOURCES_SHOWN:,} more" if len(names) > SOURCES_SHOWN else ""
        found = self._runner.all_found
        total = self._total if found is None else found
        parts = [] if total is None else [counted(total, "image")]
        if found is not None:
            parts += other_files(self._runner.sources.report)
            self._others_were_said = True
        what = f": {', '.join(parts)}" if parts else ""
        return self._paper.styled(f"Reading {', '.join(names[:SOURCES_SHOWN])}{more}{what}", bold=True)

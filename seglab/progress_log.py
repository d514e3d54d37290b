"""Progress in a log file, where no bar can be painted over."""

from __future__ import annotations

import time
from typing import Self, TextIO

import click

LOG_SECONDS = 30.0
"""Least time between two lines of progress in a log, in seconds."""


def rate_text(rate: float) -> str:
    """Return a rate as text: whole numbers from 10 on, two digits below."""
    return f"{rate:,.0f}" if rate >= 10 else f"{rate:.2g}"


class ProgressLog:
    """Progress as lines in a log, at most one per :data:`LOG_SECONDS`, with the methods of tqdm that are used here."""

    disable = False

    def __init__(self, total: int | None, desc: str, unit: str) -> None:
        self.total, self.n, self.initial, self.last_print_n = total, 0, 0, 0
        self._desc, self._unit, self._postfix = desc, unit, ""
        self._began = self._last = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def unpause(self) -> None:
        """Measure the rate from now on."""
        self._began = time.monotonic()

    def set_postfix_str(self, text: str, refresh: bool = False) -> None:
        """Set the text after the numbers of a line."""
        self._postfix = text

    def update(self, count: int = 1) -> None:
        """Add ``count``. Write a line if the last one was written :data:`LOG_SECONDS` ago."""
        self.n += count
        now = time.monotonic()
        if now - self._last >= LOG_SECONDS:
            self._last = now
            rate = (self.n - self.initial) / max(now - self._began, 1e-9)
            whole = f" of {self.total:,}" if self.total is not None else ""
            more = f", {self._postfix}" if self._postfix else ""
            self.write(f"{self._desc}: {self.n:,}{whole}{more}, {rate_text(rate)} {self._unit.strip()}/s")

    @staticmethod
    def write(text: str, file: TextIO | None = None) -> None:
        """Write a line."""
        click.echo(text, file=file, err=file is None)

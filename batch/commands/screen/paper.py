"""How lines look: their width, colours, and texts that are too long."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self

import click

from batch.errors import printable
from seglab.cli_support import is_coloured, is_live

NARROWEST = 60
LONGEST_REASON = 50
SHORTEST_PATH = 14
MOST_PADDED = 40
"""Columns of paths that are filled up, so that what is said of short ones is near."""
LABEL = 10
"""Columns of a label and the blank behind it."""


@dataclass(frozen=True)
class Paper:
    """Where lines go. ``width``: columns; None for logs, whose lines are as long as they need. ``in_colour``: is it a
    terminal that shows colours?
    """

    width: int | None = None
    in_colour: bool = False

    @classmethod
    def of_stderr(cls) -> Self:
        """Look at standard error; of a terminal COLUMNS says the width, where it is set."""
        if not is_live(sys.stderr):
            return cls()
        width = shutil.get_terminal_size().columns
        if not os.environ.get("COLUMNS"):  # standard output may be a file
            with contextlib.suppress(OSError):
                width = os.get_terminal_size(sys.stderr.fileno()).columns or width
        return cls(max(width, NARROWEST), is_coloured(sys.stderr))

    def styled(self, text: str, **style: Any) -> str:
        """Return text in a style, where there are colours."""
        return click.style(text, **style) if self.in_colour else text

    def table(self, rows: Sequence[tuple[str, str]]) -> Iterator[str]:
        """Yield rows of a path and what is said of it; paths are shortened to what the others leave."""
        if not rows:
            return
        room = longest = max(len(path) for path, _ in rows)
        said = max(len(text) for _, text in rows)
        if self.width is not None:
            said = min(said, self.width - SHORTEST_PATH - 4)
            room = longest = min(room, self.width - said - 4)
        for path, text in rows:
            yield f"  {shortened(path, longest):<{min(room, MOST_PADDED)}}  {cut(text, said)}"

    def labelled(self, label: str, text: str, more: str = "") -> Iterator[str]:
        """Yield a text beside its label, and ``more`` behind it, or below it where there is no room."""
        whole = f"{text}   {more}" if more else text
        if more and self.width is not None and len(whole) + LABEL > self.width:
            yield f"{label:<{LABEL}}{text}"
            label, whole = "", more
        yield f"{label:<{LABEL}}{whole}".rstrip()

    def fitted(self, name: str) -> str:
        """Return a name, shortened to a quarter of the width."""
        return name if self.width is None else shortened(name, self.width // 4)

    def filled(self, text: str) -> list[str]:
        """Return a sentence in lines as wide as there is room."""
        text = printable(text)
        if self.width is None:
            return [text]
        return textwrap.wrap(text, self.width, subsequent_indent="    ", break_on_hyphens=False)


def shortened(text: str, width: int) -> str:
    """Return a text with its middle left out where it is too long: names differ at their ends."""
    if len(text) <= width:
        return text
    end = (width - 3) * 2 // 3
    return f"{text[: width - 3 - end]}...{text[len(text) - end :]}"


def cut(text: str, width: int = LONGEST_REASON) -> str:
    """Return the beginning of a text, in whole words, where it is too long."""
    if len(text) <= width:
        return text
    return text[: width - 3].rsplit(" ", 1)[0].rstrip(" ,:;(") + "..."


def counted(count: int, one: str, many: str = "") -> str:
    """Return a number with its noun."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def listed(items: Iterable[str], count: int) -> str:
    """Return the first items of ``count``."""
    shown = [printable(item) for item in items]
    more = count - len(shown)
    return ", ".join(shown) + (f" and {more:,} more" if more > 0 else "")

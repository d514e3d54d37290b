"""How lines look: their width, colours, and texts that are too long."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self, TextIO

import click

from batch.errors import printable
from seglab.terminal import columns_of, cut, is_coloured, padded, shortened, width_of, wrapped

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
    def of(cls, stream: TextIO) -> Self:
        """Return what a stream is."""
        return cls(columns_of(stream), is_coloured(stream))

    def styled(self, text: str, **style: Any) -> str:
        """Return text in a style, where there are colours."""
        return click.style(text, **style) if self.in_colour else text

    def table(self, rows: Sequence[tuple[str, str]]) -> Iterator[str]:
        """Yield rows of a path and what is said of it; paths are shortened to what the others leave."""
        if not rows:
            return
        room = longest = max(width_of(path) for path, _ in rows)
        said = max(width_of(text) for _, text in rows)
        if self.width is not None:
            said = min(said, self.width - SHORTEST_PATH - 4)
            room = longest = min(room, self.width - said - 4)
        for path, text in rows:
            yield f"  {padded(shortened(path, longest), min(room, MOST_PADDED))}  {cut(text, said)}"

    def labelled(self, label: str, text: str, more: str = "") -> Iterator[str]:
        """Yield a text beside its label, and ``more`` behind it, or below it where there is no room."""
        whole = f"{text}   {more}" if more else text
        if more and self.width is not None and width_of(whole) + LABEL > self.width:
            yield f"{label:<{LABEL}}{text}"
            label, whole = "", more
        yield f"{label:<{LABEL}}{whole}".rstrip()

    def fitted(self, name: str) -> str:
        """Return a name, shortened to a quarter of the width."""
        return name if self.width is None else shortened(name, self.width // 4)

    def filled(self, text: str) -> list[str]:
        """Return a sentence in lines as wide as there is room."""
        return wrapped(printable(text), self.width)

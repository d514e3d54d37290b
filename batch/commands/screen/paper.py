"""The look of lines: their width and colours, and the shortening of long texts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self, TextIO

import click

from batch.errors import printable
from seglab.terminal import columns_of, cut, is_coloured, padded, shortened, width_of, wrapped

SHORTEST_PATH = 14
MOST_PADDED = 40
"""Paths are padded to at most this many columns, so that the text after a short path is near it."""
LABEL = 10
"""Columns of a label and the space after it."""


@dataclass(frozen=True)
class Paper:
    """The place that lines are written to. ``width``: in columns; None for logs, whose lines are not limited.
    ``in_colour``: whether it shows colours.
    """

    width: int | None = None
    in_colour: bool = False

    @classmethod
    def of(cls, stream: TextIO) -> Self:
        """Return the width and colours of a stream."""
        return cls(columns_of(stream), is_coloured(stream))

    def styled(self, text: str, **style: Any) -> str:
        """Return text in a style if there are colours."""
        return click.style(text, **style) if self.in_colour else text

    def table(self, rows: Sequence[tuple[str, str]]) -> Iterator[str]:
        """Yield rows of a path and a text. Paths are shortened to the width that the texts leave."""
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
        """Yield a text after its label, and ``more`` after it, or below it if the line is too short."""
        whole = f"{text}   {more}" if more else text
        if more and self.width is not None and width_of(whole) + LABEL > self.width:
            yield f"{label:<{LABEL}}{text}"
            label, whole = "", more
        yield f"{label:<{LABEL}}{whole}".rstrip()

    def fitted(self, name: str) -> str:
        """Return a name, shortened to a quarter of the width."""
        return name if self.width is None else shortened(name, self.width // 4)

    def filled(self, text: str) -> list[str]:
        """Return a sentence broken into lines of at most the width."""
        return wrapped(printable(text), self.width)

"""Text on a terminal: its width in columns, line breaks, colours.

Only lines for a terminal are broken, and only between words: a path or URL stays whole even if it is longer than the
line. In a file or a pipe each message stays one line, so that scripts can search for it.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Collection, Iterator, Sequence
from typing import TextIO

NARROWEST = 60
GAP = "  "
"""Between the columns of a table."""
INDENT = "    "
_LABEL = re.compile(r" *\S+(?: \S+)*  +(?=\S)")
"""Matches the first column of a table."""
_WORD = re.compile(r" *[^ ]+")


def is_live(stream: TextIO) -> bool:
    """Return whether lines on this stream can be overwritten, unlike in a log file or on a dumb terminal."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def is_coloured(stream: TextIO) -> bool:
    """Return whether colours may be written to this stream (see https://no-color.org)."""
    return is_live(stream) and not os.environ.get("NO_COLOR")


def columns_of(stream: TextIO) -> int | None:
    """Return the number of columns of a terminal, from COLUMNS if that is set; None if the stream is no terminal."""
    if not is_live(stream):
        return None
    columns = shutil.get_terminal_size().columns
    if not os.environ.get("COLUMNS"):  # standard output, which Python asks, may be a file
        with contextlib.suppress(OSError):
            columns = os.get_terminal_size(stream.fileno()).columns or columns
    return max(columns, NARROWEST)


def width_of(text: str) -> int:
    """Return the number of columns of a text: two for a Chinese character, none for a combining mark."""
    if text.isascii():
        return len(text)
    from wcwidth import wcswidth

    width = wcswidth(text)
    return width if width >= 0 else len(text)


def padded(text: str, width: int, *, right: bool = False) -> str:
    """Return a text padded with spaces to ``width`` columns; ``right``: aligned right."""
    blanks = " " * (width - width_of(text))
    return blanks + text if right else text + blanks


def aligned(rows: Sequence[Sequence[str]], right: Collection[int] = ()) -> list[str]:
    """Return rows of equal length as lines with aligned columns; ``right``: indices of right-aligned columns."""
    widths = [max(map(width_of, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        sized = enumerate(zip(row, widths, strict=True))
        lines.append(GAP.join(padded(cell, width, right=place in right) for place, (cell, width) in sized).rstrip())
    return lines


def shortened(text: str, width: int) -> str:
    """Return a text, without its middle if it is too long, because names differ at their ends."""
    if width_of(text) <= width:
        return text
    end = (width - 3) * 2 // 3
    return f"{_beginning(text, width - 3 - end)}...{_ending(text, end)}"


def cut(text: str, width: int) -> str:
    """Return a text, cut after a word if it is too long."""
    if width_of(text) <= width:
        return text
    return _beginning(text, width - 3).rsplit(" ", 1)[0].rstrip(" ,:;(") + "..."


def wrapped(line: str, width: int | None, indent: str | None = None) -> list[str]:
    """Return a line broken between words into lines of at most ``width`` columns; unchanged if ``width`` is None.

    A longer word stays whole. ``indent``: of the following lines; None: they start at the second column of a table,
    else four columns further in than the first line.
    """
    if width is None or width_of(line) <= width:
        return [line]
    return list(_broken(line, width, _indent_of(line, width) if indent is None else indent))


def fitted(text: str, stream: TextIO) -> str:
    """Return a text with its lines broken to fit the terminal ``stream``; unchanged if it is no terminal."""
    columns = columns_of(stream)
    return "\n".join(part for line in text.split("\n") for part in wrapped(line, columns))


def _indent_of(line: str, width: int) -> str:
    label = _LABEL.match(line)
    if label is not None and width_of(label[0]) <= width // 2:
        return " " * width_of(label[0])
    lead = " " * (len(line) - len(line.lstrip(" ")))
    return lead if len(lead) > len(INDENT) else lead + INDENT  # text in a column stays in it


def _broken(line: str, width: int, indent: str) -> Iterator[str]:
    said = ""
    for word in _WORD.findall(line):
        if width_of(said) > width_of(indent) and width_of(said + word) > width:
            yield said
            said, word = indent, word.lstrip(" ")
        said += word
    yield said


def _beginning(text: str, width: int) -> str:
    return next(text[:end] for end in range(len(text), -1, -1) if width_of(text[:end]) <= width)


def _ending(text: str, width: int) -> str:
    """Return the longest end of at most ``width`` columns that does not begin with a combining mark."""
    begins = range(len(text) + 1)
    fits = (text[begin:] for begin in begins if width_of(text[begin:]) <= width)
    return next(part for part in fits if not part or width_of(part[0]))

"""How text fits a terminal: how many columns it takes, where lines are broken, whether there are colours.

Only what goes to a terminal is broken, and only between words: a path or a URL stays whole, even where it is longer
than the line. In a file or a pipe each message stays one line, so that no text that a script looks for is broken.
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
"""The first column of a table."""
_WORD = re.compile(r" *[^ ]+")


def is_live(stream: TextIO) -> bool:
    """Can lines on this stream be painted over? A log file and a dumb terminal keep every one."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def is_coloured(stream: TextIO) -> bool:
    """May colours be written to this stream? See https://no-color.org."""
    return is_live(stream) and not os.environ.get("NO_COLOR")


def columns_of(stream: TextIO) -> int | None:
    """Return how many columns a terminal has, as COLUMNS says where it is set; None for anything else."""
    if not is_live(stream):
        return None
    columns = shutil.get_terminal_size().columns
    if not os.environ.get("COLUMNS"):  # standard output, which Python asks, may be a file
        with contextlib.suppress(OSError):
            columns = os.get_terminal_size(stream.fileno()).columns or columns
    return max(columns, NARROWEST)


def width_of(text: str) -> int:
    """Return how many columns a text takes: two for a Chinese character, none for a combining mark."""
    if text.isascii():
        return len(text)
    from wcwidth import wcswidth

    width = wcswidth(text)
    return width if width >= 0 else len(text)


def padded(text: str, width: int, *, right: bool = False) -> str:
    """Return a text filled up with blanks to ``width`` columns; ``right``: in front of it."""
    blanks = " " * (width - width_of(text))
    return blanks + text if right else text + blanks


def aligned(rows: Sequence[Sequence[str]], right: Collection[int] = ()) -> list[str]:
    """Return rows of equal length as lines with aligned columns; ``right``: the columns whose text ends together."""
    widths = [max(map(width_of, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        sized = enumerate(zip(row, widths, strict=True))
        lines.append(GAP.join(padded(cell, width, right=place in right) for place, (cell, width) in sized).rstrip())
    return lines


def shortened(text: str, width: int) -> str:
    """Return a text with its middle left out where it is too long: names differ at their ends."""
    if width_of(text) <= width:
        return text
    end = (width - 3) * 2 // 3
    return f"{_beginning(text, width - 3 - end)}...{_ending(text, end)}"


def cut(text: str, width: int) -> str:
    """Return the beginning of a text, in whole words, where it is too long."""
    if width_of(text) <= width:
        return text
    return _beginning(text, width - 3).rsplit(" ", 1)[0].rstrip(" ,:;(") + "..."


def wrapped(line: str, width: int | None, indent: str | None = None) -> list[str]:
    """Return a line as lines of at most ``width`` columns, broken between words; None: as it is.

    A word that is longer stays whole. ``indent``: of the lines that go on; None: they stand below the second column of
    a table, else four columns further in than the first one.
    """
    if width is None or width_of(line) <= width:
        return [line]
    return list(_broken(line, width, _indent_of(line, width) if indent is None else indent))


def fitted(text: str, stream: TextIO) -> str:
    """Return a text whose lines fit the terminal that ``stream`` is; as it is where it is none."""
    columns = columns_of(stream)
    return "\n".join(part for line in text.split("\n") for part in wrapped(line, columns))


def _indent_of(line: str, width: int) -> str:
    label = _LABEL.match(line)
    if label is not None and width_of(label[0]) <= width // 2:
        return " " * width_of(label[0])
    lead = " " * (len(line) - len(line.lstrip(" ")))
    return lead if len(lead) > len(INDENT) else lead + INDENT  # what stands in a column goes on in it


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
    """Return the longest end of so many columns; no mark stands in front that belongs to a letter left out."""
    begins = range(len(text) + 1)
    fits = (text[begin:] for begin in begins if width_of(text[begin:]) <= width)
    return next(part for part in fits if not part or width_of(part[0]))

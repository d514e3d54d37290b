"""Result files of commands: they never replace a file of somebody else, and their CSV reads back unchanged."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TextIO

from batch.errors import OutputError, cannot_write, printable
from seglab.errors import ConfigError
from seglab.files import write_text

LOOKED_AT = 1 << 16
"""Bytes of a file that are read to recognise it."""
CRLF = "\r\n"


def require_replaceable(path: Path, suffixes: Sequence[str], what: str, is_ours: Callable[[bytes, Path], bool]) -> None:
    """Raise :class:`ConfigError` if the name has another suffix, and :class:`OutputError` if the file exists and is
    neither empty nor ``what`` (as ``is_ours`` says of its beginning and its path).
    """
    if path.suffix.lower() not in suffixes:
        raise ConfigError(
            f"{what.capitalize()} cannot be written to {printable(str(path))}; expected a name that ends in "
            f"{', '.join(suffixes)}. Choose such a name."
        )
    try:
        if not os.path.lexists(path):
            return
        begin = _beginning(path) if path.is_file() else None
    except OSError as error:
        raise cannot_write(str(path), error) from error
    if begin is None or (begin and not is_ours(begin, path)):
        raise OutputError(
            f"{printable(str(path))} exists and is not {what} of seg-batch; expected a new file, or one that may be "
            "replaced. Choose another name, or move the file away."
        )


def begins_with(*texts: str) -> Callable[[bytes, Path], bool]:
    """Return a predicate for files that begin with one of the texts."""
    starts = tuple(text.encode() for text in texts)
    return lambda begin, _path: begin.startswith(starts)


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Write a JSON file atomically. Raises :class:`OutputError` if it cannot be written."""
    try:
        write_text(path, json.dumps(value, indent=2) + "\n")
    except OSError as error:
        raise cannot_write(str(path), error) from error


class CsvRows:
    """A file for :mod:`csv` writers whose line terminator is :data:`CRLF`; it writes lines that end in ``\\n``.

    A writer quotes the characters of its line terminator. With ``\\n`` alone, a carriage return in a file name would
    end the row for some readers.
    """

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, row: str) -> int:
        """Write one row; return the number of characters."""
        return self._file.write(row.removesuffix(CRLF) + "\n")


def csv_writer(file: TextIO, columns: Sequence[str]) -> csv.DictWriter[str]:
    """Return a writer, with the header written, whose rows any CSV reader understands."""
    writer = csv.DictWriter(CsvRows(file), list(columns), lineterminator=CRLF)
    writer.writeheader()
    return writer


def _beginning(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(LOOKED_AT)

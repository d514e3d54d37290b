"""Files that commands write their findings to: no file of somebody else is replaced, and a CSV reads back."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TextIO

from batch.errors import OutputError, cannot_write, printable
from seglab.errors import ConfigError
from seglab.files import write_text

LOOKED_AT = 1 << 16
"""Bytes of a file that are enough to know it by."""
CRLF = "\r\n"


def require_replaceable(path: Path, suffixes: Sequence[str], what: str, is_ours: Callable[[bytes, Path], bool]) -> None:
    """Raise :class:`ConfigError` where the name has another suffix, and :class:`OutputError` where something is there
    that is neither empty nor ``what`` (as ``is_ours`` says of its beginning and its path).
    """
    if path.suffix.lower() not in suffixes:
        raise ConfigError(
            f"{what.capitalize()} cannot be written to {printable(str(path))}; expected a name that ends in "
            f"{', '.join(suffixes)}. Choose such a name."
        )
    try:
        if not path.exists():
            return
        begin = _beginning(path) if path.is_file() else None
    except OSError as error:
        raise cannot_write(str(path), error) from error
    if begin is None or (begin and not is_ours(begin, path)):
        raise OutputError(
            f"{printable(str(path))} is there and is not {what} of seg-batch; expected a new file, or one that may be "
            "replaced. Choose another name, or move it away."
        )


def begins_with(*texts: str) -> Callable[[bytes, Path], bool]:
    """Return a test for files that begin with one of the texts."""
    starts = tuple(text.encode() for text in texts)
    return lambda begin, _path: begin.startswith(starts)


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Write JSON as a whole. Raises :class:`OutputError` where it cannot be written."""
    try:
        write_text(path, json.dumps(value, indent=2) + "\n")
    except OSError as error:
        raise cannot_write(str(path), error) from error


class CsvRows:
    """A file for :mod:`csv` writers, to be used with :data:`CRLF` as their end of line: lines end in ``\\n`` in it.

    A writer quotes what is in its end of line; with ``\\n`` alone a carriage return in a file's name would end the row
    for those who read it.
    """

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, row: str) -> int:
        """Write one row."""
        return self._file.write(row.removesuffix(CRLF) + "\n")


def csv_writer(file: TextIO, columns: Sequence[str]) -> csv.DictWriter[str]:
    """Return a writer of rows that any CSV reader understands, the header written."""
    writer = csv.DictWriter(CsvRows(file), list(columns), lineterminator=CRLF)
    writer.writeheader()
    return writer


def _beginning(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(LOOKED_AT)

"""Tables as files: CSV, JSON lines or Parquet, by the suffix. Rows are written one by one, never held in memory."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from batch.errors import cannot_write, encodable
from batch.reporting.result_file import csv_writer, require_replaceable
from seglab.errors import ConfigError
from seglab.files import replacing

TEXT, NUMBER, SHARE = "string", "int64", "float64"
"""Kinds of columns, by pyarrow's names."""
FIRST_COLUMNS = 5
"""A table is recognised by this many first columns; all releases write the same ones first."""
ROW_GROUP = 50_000
INSTALL = 'Parquet needs pyarrow, which is not installed. Install it with pip install "seglab[outputs]", or write CSV.'

Row = dict[str, Any]


@dataclass(frozen=True)
class Table:
    """A kind of table. ``columns``: their names and kinds, in order. ``what``: its name in messages, "a table"."""

    columns: Mapping[str, str]
    what: str = "a table"

    def require_writable(self, path: Path) -> None:
        """Raise :class:`ConfigError` if this format cannot be written, :class:`OutputError` if the file exists and is
        not a table of this kind.
        """
        require_replaceable(path, tuple(WRITERS), self.what, self._is_one)
        if path.suffix.lower() == ".parquet":
            try:
                import pyarrow  # noqa: F401
            except ImportError as error:
                raise ConfigError(INSTALL) from error

    def write(self, rows: Iterable[Row], path: Path) -> int:
        """Write the rows to ``path`` atomically and return their number. Missing values stay empty; bytes of names that
        are not UTF-8 become ``\\xNN``.

        Raises as :meth:`require_writable`, and :class:`OutputError` if the file cannot be written.
        """
        self.require_writable(path)
        counted = _Counted(map(self._complete, rows))
        try:
            with replacing(path) as temporary:
                WRITERS[path.suffix.lower()](self.columns, counted, temporary)
        except OSError as error:
            raise cannot_write(str(path), error) from error
        return counted.count

    def _complete(self, row: Row) -> Row:
        values = ((name, row.get(name)) for name in self.columns)
        return {name: encodable(value) if isinstance(value, str) else value for name, value in values}

    def _is_one(self, begin: bytes, path: Path) -> bool:
        first = tuple(self.columns)[:FIRST_COLUMNS]
        if begin.startswith(b"PAR1"):
            return _parquet_columns(path)[: len(first)] == first
        return begin.startswith((",".join(first) + ",").encode()) or _keys(begin)[: len(first)] == first


class _Counted:
    """Rows, counted as they are iterated."""

    def __init__(self, rows: Iterator[Row]) -> None:
        self.count = 0
        self._rows = rows

    def __iter__(self) -> Iterator[Row]:
        for row in self._rows:
            self.count += 1
            yield row


def _keys(begin: bytes) -> tuple[str, ...]:
    """Return the keys of a JSON object on the first line; none if there is no such line."""
    try:
        row = json.loads(begin.partition(b"\n")[0])
    except ValueError:
        return ()
    return tuple(row) if isinstance(row, dict) else ()


def _parquet_columns(path: Path) -> tuple[str, ...]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        return ()
    try:
        return tuple(pyarrow.parquet.read_schema(path).names)
    except (OSError, pyarrow.ArrowException):
        return ()


def _write_csv(columns: Mapping[str, str], rows: Iterable[Row], path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv_writer(file, list(columns)).writerows(rows)


def _write_lines(_columns: Mapping[str, str], rows: Iterable[Row], path: Path) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _write_parquet(columns: Mapping[str, str], rows: Iterable[Row], path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    schema = pyarrow.schema([(name, getattr(pyarrow, kind)()) for name, kind in columns.items()])
    with pyarrow.parquet.ParquetWriter(path, schema) as writer:
        remaining = iter(rows)
        while group := list(itertools.islice(remaining, ROW_GROUP)):
            writer.write_table(pyarrow.Table.from_pylist(group, schema))


WRITERS: dict[str, Callable[[Mapping[str, str], Iterable[Row], Path], None]] = {
    ".csv": _write_csv,
    ".jsonl": _write_lines,
    ".parquet": _write_parquet,
}

"""The ledger as a table: CSV, JSON lines or Parquet, by the file's suffix. One row an image, in the order found."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from batch.errors import cannot_write, encodable
from batch.outputs.reading import ledger_of
from batch.reporting.result_file import csv_writer, require_replaceable
from seglab.errors import ConfigError
from seglab.files import replacing

TEXTS = (
    "path", "source", "mask", "status", "error", "changed_at", "finished_at", "key", "model_sha256", "sha256", "remark",
)  # fmt: skip
NUMBERS = ("bytes", "height", "width", "lesion_area", "bbox_x0", "bbox_y0", "bbox_x1", "bbox_y1")
SHARES = ("lesion_fraction", "confidence", "seconds")
COLUMNS = (
    "path", "source", "mask", "status", "error", "bytes", "changed_at", "height", "width", "lesion_area",
    "lesion_fraction", "bbox_x0", "bbox_y0", "bbox_x1", "bbox_y1", "confidence", "seconds", "finished_at", "key",
    "model_sha256", "sha256", "remark",
)  # fmt: skip
"""As in the ledger (see :mod:`batch.ledger.schema`); ``changed_at``: of the image, UTC, ISO 8601;
``model_sha256``: of the model's file; ``sha256``: of the mask's; ``remark``: on an image that is done. ``mask`` is
empty where none is on record."""
ROW_GROUP = 50_000
INSTALL = 'Parquet needs pyarrow, which is not installed. Install it: pip install "seglab[outputs]"; or write CSV.'

Row = dict[str, Any]


def write_table(out: Path | str, path: Path) -> int:
    """Write the table of an output to ``path`` and return how many rows it has.

    Raises :class:`ConfigError` for another suffix than .csv, .jsonl and .parquet, :class:`OutputError` where there is
    no ledger or the file cannot be written.
    """
    writer = writer_for(path)
    with ledger_of(out) as ledger, ledger.snapshot():
        counted = _Counted(map(_row, ledger.rows()))
        try:
            with replacing(path) as temporary:
                writer(counted, temporary)
        except OSError as error:
            raise cannot_write(str(path), error) from error
        return counted.count


def writer_for(path: Path) -> Callable[[Iterable[Row], Path], None]:
    """Return what writes such a file. Raises :class:`ConfigError` where nothing does, :class:`OutputError` where the
    file is there and is no table of ours.
    """
    require_replaceable(path, tuple(WRITERS), "a table", _is_table)
    writer = WRITERS[path.suffix.lower()]
    if writer is _write_parquet:
        try:
            import pyarrow  # noqa: F401
        except ImportError as error:
            raise ConfigError(INSTALL) from error
    return writer


def _is_table(begin: bytes, path: Path) -> bool:
    """Does a file begin with the columns that all releases wrote first?"""
    first = COLUMNS[:5]
    if begin.startswith(b"PAR1"):
        return _parquet_columns(path)[: len(first)] == first
    return begin.startswith((",".join(first) + ",").encode()) or _keys(begin)[: len(first)] == first


def _keys(begin: bytes) -> tuple[str, ...]:
    """Return the keys of a JSON object on the first line; none where there is no such line."""
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


class _Counted:
    """Rows, and how many there were."""

    def __init__(self, rows: Iterator[Row]) -> None:
        self.count = 0
        self._rows = rows

    def __iter__(self) -> Iterator[Row]:
        for row in self._rows:
            self.count += 1
            yield row


def _row(entry: Row) -> Row:
    changed = datetime.fromtimestamp(entry["mtime_ns"] / 1e9, UTC).isoformat(timespec="seconds")
    row = {name: entry.get(name) for name in COLUMNS} | {"changed_at": changed if entry["mtime_ns"] else None}
    return {name: encodable(value) if isinstance(value, str) else value for name, value in row.items()}


def _write_csv(rows: Iterable[Row], path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv_writer(file, COLUMNS).writerows(rows)


def _write_lines(rows: Iterable[Row], path: Path) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _write_parquet(rows: Iterable[Row], path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    kinds = {
        **dict.fromkeys(TEXTS, pyarrow.string()),
        **dict.fromkeys(NUMBERS, pyarrow.int64()),
        **dict.fromkeys(SHARES, pyarrow.float64()),
    }
    schema = pyarrow.schema([(name, kinds[name]) for name in COLUMNS])
    with pyarrow.parquet.ParquetWriter(path, schema) as writer:
        remaining = iter(rows)
        while group := list(itertools.islice(remaining, ROW_GROUP)):
            writer.write_table(pyarrow.Table.from_pylist(group, schema))


WRITERS: dict[str, Callable[[Iterable[Row], Path], None]] = {
    ".csv": _write_csv,
    ".jsonl": _write_lines,
    ".parquet": _write_parquet,
}

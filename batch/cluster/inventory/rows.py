"""The rows of an inventory's data files: a row for each object of the bucket."""

from __future__ import annotations

import csv
import gzip
import itertools
import zlib
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote_plus

from batch.cluster.inventory.manifest import CSV, DataFile, InventoryManifest
from batch.errors import SourceError, printable

if TYPE_CHECKING:
    import pyarrow

KEY, SIZE, CHANGED, TAG, LATEST, DELETED = "key", "size", "lastmodifieddate", "etag", "islatest", "isdeletemarker"
COLUMNS = (KEY, SIZE, CHANGED, TAG, LATEST, DELETED)
"""As :func:`_plain` spells them: ``LastModifiedDate`` in a CSV, ``last_modified_date`` in a Parquet file."""
BATCH = 65_536


class Listed(NamedTuple):
    """An object of the bucket. ``changed``: Unix seconds. None if the inventory does not have the column."""

    key: str
    bytes: int | None
    changed: float | None
    tag: str | None


def rows_of(manifest: InventoryManifest) -> Iterator[Listed]:
    """Yield the objects in the order of the data files, without former versions and markers of deletion.

    Raises :class:`SourceError` for data that is missing or damaged.
    """
    import pyarrow

    for file in manifest.files:
        with manifest.fetched(file) as path:
            try:
                yield from _csv_rows(path, manifest.columns) if manifest.form == CSV else _parquet_rows(path)
            except (OSError, EOFError, ValueError, csv.Error, zlib.error, pyarrow.ArrowException) as error:
                raise _damaged(manifest, file, error) from error


def _csv_rows(path: Path, columns: Sequence[str]) -> Iterator[Listed]:
    """Yield the objects of a CSV, which has no header. Keys are URL-encoded, spaces as ``+``."""
    places = _places(columns)
    key, size, changed, tag, latest, deleted = (places.get(name, len(columns)) for name in COLUMNS)
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        for number, row in enumerate(csv.reader(file, strict=True), 1):
            if len(row) != len(columns):
                raise ValueError(f"row {number:,} has {len(row)} values")
            row.append("")  # of columns that are not there
            if row[latest] != "false" and row[deleted] != "true":
                bytes_ = int(row[size]) if row[size] else None
                yield Listed(unquote_plus(row[key]), bytes_, _seconds(row[changed]), row[tag] or None)


def _parquet_rows(path: Path) -> Iterator[Listed]:
    """Yield the objects of a Parquet file, read row group by row group. Keys are as they are."""
    import pyarrow.parquet

    with pyarrow.parquet.ParquetFile(path, pre_buffer=False) as file:
        names = file.schema_arrow.names
        places = _places(names)
        wanted = [names[places[name]] for name in COLUMNS if name in places]
        for batch in file.iter_batches(BATCH, columns=wanted, use_threads=False):
            found = dict(zip((_plain(name) for name in batch.schema.names), batch.columns, strict=True))
            if CHANGED in found:
                found[CHANGED] = found[CHANGED].cast(pyarrow.timestamp("us", found[CHANGED].type.tz), safe=False)
                found[CHANGED] = found[CHANGED].cast(pyarrow.int64())
            rows = zip(*(_values(found.get(name)) for name in COLUMNS), strict=False)
            for key, size, changed, tag, latest, deleted in rows:
                if latest is not False and deleted is not True:
                    yield Listed(key, size, None if changed is None else changed / 10**6, tag or None)


def _values(column: pyarrow.Array | None) -> Iterable[Any]:
    return itertools.repeat(None) if column is None else column.to_pylist()


def _places(columns: Sequence[str]) -> dict[str, int]:
    places = {_plain(name): number for number, name in enumerate(columns)}
    if KEY not in places:
        raise ValueError("there is no column Key")
    return places


def _plain(name: str) -> str:
    return name.replace("_", "").lower()


def _seconds(text: str) -> float | None:
    if not text:
        return None
    found = datetime.fromisoformat(text)
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def _damaged(manifest: InventoryManifest, file: DataFile, error: Exception) -> SourceError:
    said = str(error).strip().splitlines() or [type(error).__name__]
    columns = f" with the columns {', '.join(manifest.columns)}" if manifest.columns else ""
    return SourceError(
        f"{printable(file.key)}, which {printable(manifest.named)} names, cannot be read: {printable(said[0])}; "
        f"expected a {manifest.form} file of an S3 Inventory{columns}. Get it again, or name another inventory."
    )

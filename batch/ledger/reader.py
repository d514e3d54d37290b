"""Reading a ledger, also while a run writes to it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from batch.ledger.records import RunRecord
from batch.ledger.schema import MASKS, encode, ledger_path, open_for_reading, sqlite_errors
from batch.naming import clash_key

STATUSES = ("done", "failed", "pending")


@dataclass(frozen=True, slots=True)
class Entry:
    """An image of the ledger: absolute ``path``, ``mask`` below the output folder, ``error`` if it failed."""

    path: str
    mask: str
    error: str | None


@dataclass(frozen=True, slots=True)
class DoneEntry:
    """A ``mask`` below the output, its image's ``path``, and figures: see :class:`batch.figures.Figures`."""

    id: int
    path: str
    mask: str
    height: int
    width: int
    lesion_area: int
    bbox: tuple[int, int, int, int] | None


class LedgerReader:
    """A ledger, read-only; a context manager. Raises :class:`batch.errors.OutputError` where there is none."""

    def __init__(self, out: Path) -> None:
        self._path = ledger_path(out)
        self._connection = open_for_reading(self._path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def counts(self) -> dict[str, int]:
        """Return how many images are done, failed and pending."""
        found = dict(self._query("SELECT status, count(*) FROM items GROUP BY status"))
        return {status: found.get(status, 0) for status in STATUSES}

    def entries(self, status: str, limit: int | None = None) -> Iterator[Entry]:
        """Yield images of one status by path, at most ``limit``."""
        by_index = "" if status == "done" else "AND status <> 'done'"
        rows = self._query(
            f"SELECT path, mask, error FROM items WHERE status = ? {by_index} ORDER BY path LIMIT ?",
            (status, -1 if limit is None else limit),
        )
        return (Entry(*row) for row in rows)

    def done_entries(self) -> Iterator[DoneEntry]:
        """Yield the images that are done, with what was measured of their masks."""
        rows = self._query(
            "SELECT id, path, mask, height, width, lesion_area, bbox_x0, bbox_y0, bbox_x1, bbox_y1 FROM items "
            "WHERE status = 'done' ORDER BY id"
        )
        for number, path, mask, height, width, area, x0, y0, x1, y1 in rows:
            yield DoneEntry(number, path, mask, height, width, area, None if x0 is None else (x0, y0, x1, y1))

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield all images with all that is known of them, in order: columns of :mod:`batch.ledger.schema`."""
        with sqlite_errors(self._path), closing(self._connection.cursor()) as cursor:
            cursor.row_factory = sqlite3.Row
            for row in cursor.execute("SELECT * FROM items ORDER BY id"):
                yield dict(row)

    def has_mask(self, name: str) -> bool:
        """Is this the name of an image's mask, one that is done or still to be done?"""
        text = "SELECT 1 FROM items WHERE mask_key = CAST(? AS TEXT) AND status <> 'failed'"
        return next(self._query(text, (encode(clash_key(name)),)), None) is not None

    def masks(self) -> str | None:
        """Return where the masks are; None: beside the ledger."""
        row = next(self._query("SELECT value FROM meta WHERE key = ?", (MASKS,)), None)
        return None if row is None else str(row[0])

    def is_done(self, path: str, key: str, size: int, mtime_ns: int) -> bool:
        """Was the image at ``path`` done under ``key``, when it had this size and time of change?"""
        rows = self._query(
            "SELECT status, key, bytes, mtime_ns FROM items WHERE path = CAST(? AS TEXT)", (encode(path),)
        )
        return next(rows, None) == ("done", key, size, mtime_ns)

    def last_run(self) -> RunRecord | None:
        """Return the run that began last."""
        with sqlite_errors(self._path), closing(self._connection.cursor()) as cursor:
            cursor.row_factory = sqlite3.Row
            row = cursor.execute("SELECT * FROM runs ORDER BY id DESC LIMIT 1").fetchone()
        if row is None:
            return None
        values = dict(row)
        for name in ("settings", "tools", "summary"):
            values[name] = json.loads(values[name] or "{}")
        return RunRecord(**values)

    def _query(self, sql: str, parameters: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
        with sqlite_errors(self._path):
            yield from self._connection.execute(sql, parameters)

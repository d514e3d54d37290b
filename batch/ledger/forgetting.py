"""Remove rows from a ledger for good; with ``purge``, deleted data is overwritten.

The selection is kept in temporary tables, so there may be any number of images.
"""

from __future__ import annotations

import contextlib
import functools
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from batch.ledger.meta import Meta
from batch.ledger.reader import DONE_COLUMNS, PAGE, DoneEntry, done_entry_of
from batch.ledger.schema import encode, ledger_path, open_for_writing, sqlite_errors

TABLES = """
CREATE TEMP TABLE chosen (id INTEGER PRIMARY KEY);
CREATE TEMP TABLE gone (id INTEGER PRIMARY KEY);
"""
IS_BELOW = "path >= CAST(? AS TEXT) AND path < CAST(? AS TEXT)"
NOTHING_LEFT = "NOT EXISTS (SELECT 1 FROM items WHERE path >= root || '/' AND path < root || '0')"


@dataclass(frozen=True, slots=True)
class ChosenImage:
    """An image to be forgotten. ``entry``: its path, mask, SHA-256 and, if ``is_done``, figures; ``status`` as in the
    ledger.
    """

    entry: DoneEntry
    status: str

    @property
    def id(self) -> int:
        """Return the number of its row."""
        return self.entry.id

    @property
    def is_done(self) -> bool:
        """Return whether its mask is on record, with figures."""
        return self.status == "done"


class Forgetting:
    """A ledger from which images are removed while its output is locked; a context manager. ``state``: the folder of an
    existing ledger. ``purge``: overwrite deleted data. ``owner``: what the marks of this output's folders say.
    """

    def __init__(self, state: Path, *, purge: bool = False) -> None:
        self.path = ledger_path(state)
        self.connection = open_for_writing(self.path)
        try:
            with sqlite_errors(self.path):
                overwrite = "ON" if purge else "OFF"
                self.connection.executescript(
                    f"PRAGMA synchronous = FULL; PRAGMA secure_delete = {overwrite}; {TABLES}"
                )
                self._meta = Meta(self.connection, state)
                self.owner = self._meta.owner
                self.connection.commit()
        except BaseException:
            self.connection.close()
            raise

    def __enter__(self) -> Forgetting:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def choose(self, path: str) -> bool:
        """Select an image by its path; return whether it exists."""
        row = self._one("SELECT id FROM items WHERE path = CAST(? AS TEXT)", encode(path))
        if row is not None:
            self._execute("INSERT OR IGNORE INTO chosen VALUES (?)", row[0])
        return row is not None

    def choose_below(self, folder: str) -> bool:
        """Select all images below a folder, archive or URL, and the one with that path; return if there are any."""
        self._execute(f"INSERT OR IGNORE INTO chosen SELECT id FROM items WHERE {IS_BELOW}", *_bounds(folder))
        return self.choose(folder) or self.count_below(folder) > 0

    def count_below(self, folder: str) -> int:
        """Return how many images are below a folder, archive or URL."""
        row = self._one(f"SELECT count(*) FROM items WHERE {IS_BELOW}", *_bounds(folder))
        return int(row[0]) if row else 0

    @property
    def count(self) -> int:
        """Return how many images are selected and not deleted yet."""
        row = self._one("SELECT count(*) FROM chosen JOIN items USING (id)")
        return int(row[0]) if row else 0

    def pages(self) -> Iterator[list[ChosenImage]]:
        """Yield the selected images a page at a time, in the order they were found."""
        text = f"SELECT items.id, {DONE_COLUMNS}, sha256, status FROM chosen JOIN items USING (id)"
        after = -1
        while page := self._execute(f"{text} WHERE id > ? ORDER BY id LIMIT {PAGE}", after).fetchall():
            yield [_chosen(row) for row in page]
            after = page[-1][0]

    def note(self, images: Iterable[ChosenImage]) -> None:
        """Note images whose files are deleted: :meth:`delete` removes their rows."""
        with sqlite_errors(self.path):
            self.connection.executemany("INSERT OR IGNORE INTO gone VALUES (?)", ((image.id,) for image in images))

    def delete(self) -> None:
        """Delete the rows of the noted images, and commit."""
        self._execute("DELETE FROM items WHERE id IN (SELECT id FROM gone)")
        self._execute("DELETE FROM gone")
        self.commit()

    def delete_empty_sources(self) -> None:
        """Delete the sources of which no image is left, and commit. A later run treats them as new."""
        self._execute(f"DELETE FROM sources WHERE {NOTHING_LEFT}")
        self.commit()

    def names(self) -> Iterator[str]:
        """Yield the paths of the selected images, and the sources that hold no other image."""
        for page in self.pages():
            yield from (image.entry.path for image in page)
        yield from self._sources

    @functools.cached_property
    def _sources(self) -> list[str]:
        """Return the sources whose images are all selected, by their given names and their roots. An image that was
        named by itself is such a source, too.
        """
        chosen, below = "id IN (SELECT id FROM chosen)", "path >= root || '/' AND path < root || '0'"
        named = f"SELECT source FROM items WHERE {chosen} EXCEPT SELECT source FROM items WHERE NOT {chosen}"
        roots = (
            f"SELECT root FROM sources WHERE NOT EXISTS (SELECT 1 FROM items WHERE {below} AND NOT {chosen}) "
            f"AND EXISTS (SELECT 1 FROM items WHERE {below})"
        )
        return [name for text in (named, roots) for (name,) in self._execute(text)]

    def used(self, setting: str) -> set[Any]:
        """Return the values that a setting had in all runs."""
        last = self._one("SELECT coalesce(max(id), 0) FROM runs")
        with sqlite_errors(self.path):
            return self._meta.used(setting, (last[0] if last else 0) + 1)

    def commit(self) -> None:
        """Commit all changes."""
        with sqlite_errors(self.path):
            self.connection.commit()

    def _one(self, sql: str, *values: object) -> tuple[Any, ...] | None:
        found: tuple[Any, ...] | None = self._execute(sql, *values).fetchone()
        return found

    def _execute(self, sql: str, *values: object) -> sqlite3.Cursor:
        with sqlite_errors(self.path):
            return self.connection.execute(sql, values)


def overwrite_free_pages(path: Path) -> bool:
    """Rewrite a database and its log without deleted data; return False if another reader prevents that. Call it while
    nobody writes. Raises :class:`batch.errors.OutputError`.
    """
    with sqlite_errors(path), contextlib.closing(sqlite3.connect(path, timeout=0.5)) as connection:
        connection.execute("PRAGMA secure_delete = ON")
        connection.execute("VACUUM")
        busy = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        return not busy


def _bounds(folder: str) -> tuple[bytes, bytes]:
    """Return the lowest path below a folder, and the lowest one after all of them."""
    root = folder.rstrip("/")
    return encode(root + "/"), encode(root + "0")


def _chosen(row: tuple[Any, ...]) -> ChosenImage:
    *of_mask, status = row
    return ChosenImage(done_entry_of(tuple(of_mask)), status)

"""Rows taken out of a ledger for good: chosen by path, then deleted, and with ``purge`` the paths wherever they stand.

What is chosen is kept in temporary tables, so that there may be any number of images.
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
    """An image that is to be forgotten. ``entry``: its path, mask, SHA-256 and, if ``is_done``, figures; ``status`` as
    in the ledger.
    """

    entry: DoneEntry
    status: str

    @property
    def id(self) -> int:
        """The number of its row."""
        return self.entry.id

    @property
    def is_done(self) -> bool:
        """Is its mask on record, with figures?"""
        return self.status == "done"


class Forgetting:
    """A ledger from which images are taken, while its output is held; a context manager. ``state``: its folder, where a
    ledger must be. ``purge``: what is deleted is overwritten. ``owner``: what marks of this output's folders say.
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
        """Choose an image by its path; return whether there is one."""
        row = self._one("SELECT id FROM items WHERE path = CAST(? AS TEXT)", encode(path))
        if row is not None:
            self._execute("INSERT OR IGNORE INTO chosen VALUES (?)", row[0])
        return row is not None

    def choose_below(self, folder: str) -> bool:
        """Choose all images below a folder, archive or URL, and the one of that path; return whether there is one."""
        self._execute(f"INSERT OR IGNORE INTO chosen SELECT id FROM items WHERE {IS_BELOW}", *_bounds(folder))
        return self.choose(folder) or self.count_below(folder) > 0

    def count_below(self, folder: str) -> int:
        """Return how many images are below a folder, archive or URL."""
        row = self._one(f"SELECT count(*) FROM items WHERE {IS_BELOW}", *_bounds(folder))
        return int(row[0]) if row else 0

    @property
    def count(self) -> int:
        """How many images are chosen and still there."""
        row = self._one("SELECT count(*) FROM chosen JOIN items USING (id)")
        return int(row[0]) if row else 0

    def pages(self) -> Iterator[list[ChosenImage]]:
        """Yield the chosen images a page at a time, in the order they were found in."""
        text = f"SELECT items.id, {DONE_COLUMNS}, sha256, status FROM chosen JOIN items USING (id)"
        after = -1
        while page := self._execute(f"{text} WHERE id > ? ORDER BY id LIMIT {PAGE}", after).fetchall():
            yield [_chosen(row) for row in page]
            after = page[-1][0]

    def note(self, images: Iterable[ChosenImage]) -> None:
        """Note images whose files are gone: their rows go with :meth:`delete`."""
        with sqlite_errors(self.path):
            self.connection.executemany("INSERT OR IGNORE INTO gone VALUES (?)", ((image.id,) for image in images))

    def delete(self) -> None:
        """Delete the rows of what was noted, and commit."""
        self._execute("DELETE FROM items WHERE id IN (SELECT id FROM gone)")
        self._execute("DELETE FROM gone")
        self.commit()

    def delete_empty_sources(self) -> None:
        """Forget the sources that no image is left of, and commit. A later run takes them for new ones."""
        self._execute(f"DELETE FROM sources WHERE {NOTHING_LEFT}")
        self.commit()

    def names(self) -> Iterator[str]:
        """Yield the paths of the chosen images, and the sources of which no other image is known."""
        for page in self.pages():
            yield from (image.entry.path for image in page)
        yield from self._sources

    @functools.cached_property
    def _sources(self) -> list[str]:
        """The sources whose images are all chosen: as they were named, and their roots. An image that was named by
        itself is such a source, too.
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
        """Put all on record."""
        with sqlite_errors(self.path):
            self.connection.commit()

    def _one(self, sql: str, *values: object) -> tuple[Any, ...] | None:
        found: tuple[Any, ...] | None = self._execute(sql, *values).fetchone()
        return found

    def _execute(self, sql: str, *values: object) -> sqlite3.Cursor:
        with sqlite_errors(self.path):
            return self.connection.execute(sql, values)


def overwrite_free_pages(path: Path) -> bool:
    """Write a database anew without what was deleted from it, its log as well; return False where a program that reads
    it stands in the way. To be called while nobody writes. Raises :class:`batch.errors.OutputError`.
    """
    with sqlite_errors(path), contextlib.closing(sqlite3.connect(path, timeout=0.5)) as connection:
        connection.execute("PRAGMA secure_delete = ON")
        connection.execute("VACUUM")
        busy = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        return not busy


def _bounds(folder: str) -> tuple[bytes, bytes]:
    """Return the lowest path below a folder, and the lowest one behind all of them."""
    root = folder.rstrip("/")
    return encode(root + "/"), encode(root + "0")


def _chosen(row: tuple[Any, ...]) -> ChosenImage:
    *of_mask, status = row
    return ChosenImage(done_entry_of(tuple(of_mask)), status)

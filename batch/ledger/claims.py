"""Claim rows and mask names for images: known rows in the order they were found, new rows many at a time.

A run usually names its images in the order of the run before. So the ledger is read in that order beside the walk, and
only images that do not fit are looked up by path: a million images that are done cost seconds, and no memory.
"""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

from batch.ledger.origins import Origins
from batch.ledger.records import Claim, Claimed, is_same_content
from batch.ledger.schema import encode
from batch.naming import Naming, clash_key
from batch.sources.image_ref import ImageRef, Origin

INSERT_ITEM = """
INSERT OR IGNORE INTO items (id, path, source, mask, mask_key, status, bytes, mtime_ns, run)
VALUES (?, CAST(? AS TEXT), CAST(? AS TEXT), CAST(? AS TEXT), CAST(? AS TEXT), 'pending', ?, ?, ?)
"""
RESTORE_ITEM = "UPDATE items SET status = 'done', error = NULL WHERE id = ?"
RECLAIM_ITEM = (
    "UPDATE items SET status = 'pending', source = CAST(? AS TEXT), error = NULL, run = ?, attempts = ? WHERE id = ?"
)
SELECT_ROWS = "SELECT path, id, mask, status, bytes, mtime_ns, key, run, version, sha256, attempts FROM items WHERE"
NOT_BEGUN = 0
"""In place of the run, for pending images that no run has begun since they were claimed: no file can be theirs."""
SHORT, LONG = 32, 1024
"""Rows per read: few after a miss, then more and more."""

Present = Callable[[Collection[str]], set[str]]
"""Return which of these masks exist, with everything that belongs to them."""


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the ledger, with the columns that a claim needs."""

    path: str
    id: int
    mask: str
    status: str
    bytes: int
    mtime_ns: int
    key: str | None
    run: int
    version: str | None = None
    sha256: str | None = None
    attempts: int = 0


class Rows:
    """The rows up to ``last``, in the order they were found. Call :meth:`leap` after changing rows elsewhere."""

    def __init__(self, connection: sqlite3.Connection, last: int) -> None:
        self._connection, self._last = connection, last
        self._page: deque[Row] = deque()
        self._after, self._length = 0, SHORT

    def take(self, path: str) -> Row | None:
        """Return the next row if it has this path, and advance past it; else None."""
        if not self._page and self._after < self._last:
            self._turn()
        if not self._page or self._page[0].path != path:
            return None
        row = self._page.popleft()
        self._after = row.id
        return row

    def leap(self, after: int) -> None:
        """Continue after row ``after``, and read rows again from there."""
        self._page.clear()
        self._after, self._length = after, SHORT

    def _turn(self) -> None:
        text = f"{SELECT_ROWS} id > ? AND id <= ? ORDER BY id LIMIT ?"
        found = self._connection.execute(text, (self._after, self._last, self._length)).fetchall()
        self._page.extend(Row(*values) for values in found)
        self._length = min(2 * self._length, LONG)
        if not found:
            self._after = self._last


class RowNumbers:
    """A set of row numbers from 0 to ``last``, in one bit each: an eighth of a megabyte for a million rows."""

    def __init__(self, last: int) -> None:
        self._bits = bytearray(last // 8 + 1)

    def add(self, row: int) -> None:
        """Add a row number."""
        self._bits[row // 8] |= 1 << row % 8

    def __contains__(self, row: int) -> bool:
        return row // 8 < len(self._bits) and bool(self._bits[row // 8] & 1 << row % 8)


class Claims:
    """The claims of one run on an open ledger; the caller commits. ``key``: of the run's masks."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        naming: Naming,
        present: Present,
        key: str,
        run: int,
        origins: Iterable[Origin] = (),
    ) -> None:
        self._origins = Origins(connection, origins)
        self._connection, self._naming, self._present, self._key, self._run = connection, naming, present, key, run
        last = connection.execute("SELECT coalesce(max(id), 0) FROM items").fetchone()[0]
        self._known, self._next = Rows(connection, last), last + 1
        self._kept = RowNumbers(last)

    def claim(self, items: Sequence[ImageRef]) -> list[Claimed]:
        """Find or make a row and a mask name for each item, in their order."""
        if self._origins.settle(items):
            self._known.leap(0)
        rows = self._take(items)
        claimed = self._claim_again((item, row) for item, row in zip(items, rows, strict=True) if row is not None)
        others = [item for item, row in zip(items, rows, strict=True) if row is None]
        if others:
            made, others = self._insert(others)
            claimed += made
        if others:
            claimed += self._look_up(others)
        order = {id(item): number for number, item in enumerate(items)}
        return sorted(claimed, key=lambda claim: order[id(claim.item)])

    def _take(self, items: Sequence[ImageRef]) -> list[Row | None]:
        """Return the next known row for each item, None if it does not fit; of a repeated path, only the first fits."""
        rows: list[Row | None] = []
        passed: set[str] = set()
        for item in items:
            row = None if item.path in passed else self._known.take(item.path)
            if row is None:
                passed.add(item.path)
            rows.append(row)
        return rows

    def _claim_again(self, pairs: Iterable[tuple[ImageRef, Row]]) -> list[Claimed]:
        pairs = list(pairs)
        present = self._present([row.mask for item, row in pairs if self._is_same(item, row)])
        claims = []
        for item, row in pairs:
            if row.run == self._run or row.id in self._kept:
                claims.append(Claimed(item, row.id, row.mask, Claim.REPEATED))
            elif row.mask in present and self._is_same(item, row):
                self._kept.add(row.id)
                if row.status == "failed":
                    self._connection.execute(RESTORE_ITEM, (row.id,))
                claims.append(Claimed(item, row.id, row.mask, Claim.KEPT))
            else:
                claim = self._to_do(item, row)
                self._connection.execute(RECLAIM_ITEM, (encode(item.origin.named), self._run, claim.attempts, row.id))
                claims.append(claim)
        return claims

    def _to_do(self, item: ImageRef, row: Row) -> Claimed:
        may_be_torn = row.status == "pending" and row.run != NOT_BEGUN  # a killed run may have written its files
        is_fresh = row.status != "done" and not row.sha256 and not may_be_torn
        made = "" if may_be_torn else row.sha256 or ""
        is_torn = may_be_torn and row.sha256 is None
        is_unchanged = (item.bytes, item.mtime_ns) == (row.bytes, row.mtime_ns)
        return Claimed(item, row.id, row.mask, Claim.TODO, is_fresh, made, row.attempts if is_unchanged else 0, is_torn)

    def _is_same(self, item: ImageRef, row: Row) -> bool:
        """Return whether the row has a mask for this content and these settings, also if the image failed later."""
        has_mask = row.status == "done" or (row.status == "failed" and row.sha256 is not None)
        return has_mask and row.key == self._key and is_same_content(item, row.bytes, row.mtime_ns, row.version)

    def _insert(self, items: Sequence[ImageRef]) -> tuple[list[Claimed], list[ImageRef]]:
        """Make rows for items under their best names; return the claims, and the items whose path or name exists."""
        first = self._next
        named = [(item, self._naming.best(self._origins.relative(item))) for item in items]
        self._next += len(named)
        values = [self._values(first + number, item, mask) for number, (item, mask) in enumerate(named)]
        cursor = self._connection.executemany(INSERT_ITEM, values)
        if cursor.rowcount < len(named):
            made = {row for (row,) in self._connection.execute("SELECT id FROM items WHERE id >= ?", (first,))}
        else:
            made = set(range(first, self._next))
        numbered = list(enumerate(named, first))
        claims = [Claimed(item, row, mask, Claim.TODO, is_fresh=True) for row, (item, mask) in numbered if row in made]
        return claims, [item for row, (item, _) in numbered if row not in made]

    def _values(self, row: int, item: ImageRef, mask: str) -> tuple[int | bytes, ...]:
        texts = (encode(item.path), encode(item.origin.named), encode(mask), encode(clash_key(mask)))
        return (row, *texts, item.bytes, item.mtime_ns, self._run)

    def _look_up(self, items: Sequence[ImageRef]) -> list[Claimed]:
        """Claim items that have a row elsewhere in the ledger, or whose best name is taken."""
        marks = ", ".join(["CAST(? AS TEXT)"] * len(items))
        found = self._connection.execute(f"{SELECT_ROWS} path IN ({marks})", [encode(item.path) for item in items])
        rows = {row.path: row for row in (Row(*values) for values in found)}
        if rows:
            self._known.leap(next(rows[item.path].id for item in reversed(items) if item.path in rows))
        claims = []
        for item in items:
            row = rows.get(item.path)
            claim = self._claim_new(item) if row is None else self._claim_again([(item, row)])[0]
            claims.append(claim)
            if claim.claim is Claim.TODO:
                rows[item.path] = Row(item.path, claim.row, claim.mask, "pending", 0, 0, None, self._run)
        return claims

    def _claim_new(self, item: ImageRef) -> Claimed:
        for mask in self._naming.candidates(self._origins.relative(item)):
            row = self._next
            if self._connection.execute(INSERT_ITEM, self._values(row, item, mask)).rowcount == 1:
                self._next += 1
                return Claimed(item, row, mask, Claim.TODO, is_fresh=True)
        raise AssertionError("unreachable: candidates never end")

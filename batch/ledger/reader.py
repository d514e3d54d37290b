"""Read a ledger, also while a run writes to it or if its format is older; nothing is written."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from batch.figures import CERTAIN_FROM, SUITABLE_FROM, Figures
from batch.ledger.checkpoints import run_of
from batch.ledger.meta import NAME_TEMPLATE
from batch.ledger.opening import open_to_read, reading_errors
from batch.ledger.records import CONFIDENCE_BY, FORMER_CONFIDENCE, RunRecord, is_same_content
from batch.ledger.schema import encode, ledger_path
from batch.naming import DEFAULT_NAME, NameTemplate, clash_key
from batch.pseudonyms import PSEUDONYMS
from batch.sources.image_ref import ImageRef

STATUSES = ("done", "failed", "pending")
PAGE = 1024
"""Rows per read: between two reads a run can truncate its log."""
BOX = "bbox_x0, bbox_y0, bbox_x1, bbox_y1"
DONE_COLUMNS = f"path, mask, height, width, lesion_area, {BOX}, key"
FIGURE_COLUMNS = f"path, height, width, lesion_area, {BOX}"
RUN_JSON = ("settings", "tools", "summary")


@dataclass(frozen=True, slots=True)
class Entry:
    """An image of the ledger: absolute ``path``, ``mask`` below the output if one is on record, ``error`` if it
    failed.
    """

    path: str
    mask: str | None
    error: str | None


@dataclass(frozen=True, slots=True)
class DoneEntry:
    """A ``mask`` below the output, its image's ``path``, and its figures, see :class:`batch.figures.Figures`.

    ``key``: of the run that made it. ``sha256``: of the mask's file; None if it was written before the ledger kept it.
    """

    id: int
    path: str
    mask: str
    height: int
    width: int
    lesion_area: int
    bbox: tuple[int, int, int, int] | None
    key: str | None
    sha256: str | None


class LedgerReader:
    """A ledger, read-only; a context manager. ``in_place``: see :func:`batch.ledger.opening.open_to_read`.

    Raises :class:`batch.errors.OutputError` if there is none.
    """

    def __init__(self, out: Path, *, in_place: bool = False) -> None:
        self._path = ledger_path(out)
        self._connection = open_to_read(self._path, in_place=in_place)
        with reading_errors(self._path):
            columns = {row[1] for row in self._connection.execute("PRAGMA table_info(items)")}
        newer = ("sha256", "version", "remark", "epoch", "suitable")
        self._sha256, self._version, self._remark, self._epoch, self._suitable = (
            name if name in columns else "NULL" for name in newer
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[None]:
        """Show the ledger as it is now until the end, whatever a run changes. The run's log grows meanwhile."""
        with reading_errors(self._path):
            self._connection.execute("BEGIN")
        try:
            yield
        finally:
            self._connection.rollback()

    def counts(self) -> dict[str, int]:
        """Return how many images are done, failed and pending."""
        found = dict.fromkeys(STATUSES, 0)
        for status, _, count in self.tallies():
            found[status] += count
        return found

    def tallies(self) -> list[tuple[str, str | None, int]]:
        """Return the number of images for each status and key (see ``runs`` in :mod:`batch.ledger.schema`)."""
        return list(self.query("SELECT status, key, count(*) FROM items GROUP BY status, key"))

    def entries(self, status: str, limit: int | None = None, *, by_mask: bool = False) -> Iterator[Entry]:
        """Yield at most ``limit`` images of one status, by path or ``by_mask``."""
        order = "mask_key" if by_mask else "path"
        by_index = "" if status == "done" else "AND status <> 'done'"
        rows = self.query(
            f"SELECT path, {self._mask}, error FROM items WHERE status = ? {by_index} ORDER BY {order} LIMIT ?",
            (status, -1 if limit is None else limit),
        )
        return (Entry(*row) for row in rows)

    def remarks(self) -> Counter[str]:
        """Return the remarks on images that are done, with the number of images of each."""
        text = f"SELECT {self._remark}, count(*) FROM items WHERE {self._remark} IS NOT NULL GROUP BY 1"
        return Counter(dict(self.query(text)))

    def remarkable(self) -> Iterator[tuple[str, Figures]]:
        """Yield done images with their figures: all that are unsuitable, empty, uncertain or cut, and a few more."""
        unlike = f"{self._suitable} < {SUITABLE_FROM} OR confidence < {CERTAIN_FROM}"
        which = f"status = 'done' AND ({unlike} OR lesion_area = 0 OR bbox_x0 = 0 OR bbox_y0 = 0)"
        for _, path, *values in self._paged(f"{FIGURE_COLUMNS}, confidence, {self._suitable}", which):
            height, width, area, *box, confidence, suitable = values
            yield path, Figures(height, width, area, _box(*box), confidence, suitable)

    def roots(self) -> list[str]:
        """Return the sources that hold many images, as paths begin; none of ledgers that do not keep them."""
        return [root for (root,) in self.query("SELECT root FROM sources")] if self.has("sources") else []

    def places(self) -> Iterator[tuple[str, str, str]]:
        """Yield path, mask name (existing or not) and status of all images, in the order they were found."""
        return ((path, mask, status) for _, path, mask, status in self._paged("path, mask, status"))

    def done_entries(self) -> Iterator[DoneEntry]:
        """Yield the images that are done, with the figures of their masks."""
        return map(done_entry_of, self._paged(f"{DONE_COLUMNS}, {self._sha256}", "status = 'done'"))

    def done_entries_of(self, rows: Sequence[int]) -> Iterator[DoneEntry]:
        """Yield the images of these row numbers, in their order; those that are not done are left out."""
        for start in range(0, len(rows), PAGE // 2):
            page = tuple(rows[start : start + PAGE // 2])
            marks = ", ".join("?" * len(page))
            text = f"SELECT id, {DONE_COLUMNS}, {self._sha256} FROM items WHERE status = 'done' AND id IN ({marks})"
            found = {row[0]: done_entry_of(row) for row in self.query(text, page)}
            yield from (found[number] for number in page if number in found)

    def states(self, rows: Sequence[int]) -> dict[int, tuple[int, int, str | None]]:
        """Return size, modification time and version of the images of these row numbers, as they were read."""
        found: dict[int, tuple[int, int, str | None]] = {}
        for start in range(0, len(rows), PAGE // 2):
            page = tuple(rows[start : start + PAGE // 2])
            marks = ", ".join("?" * len(page))
            text = f"SELECT id, bytes, mtime_ns, {self._version} FROM items WHERE id IN ({marks})"
            found |= {number: (size, mtime_ns, version) for number, size, mtime_ns, version in self.query(text, page)}
        return found

    def done_entry(self, mask: str) -> DoneEntry | None:
        """Return the image of this mask; None if it is not done."""
        text = f"SELECT id, {DONE_COLUMNS}, {self._sha256} FROM items WHERE mask_key = CAST(? AS TEXT)"
        row = next(self.query(f"{text} AND status = 'done'", (encode(clash_key(mask)),)), None)
        return None if row is None else done_entry_of(row)

    def rows(self, *, by_mask: bool = False) -> Iterator[dict[str, Any]]:
        """Yield all images, in the order they were found or ``by_mask``, with all columns of
        :mod:`batch.ledger.schema`, ``model_sha256``, and ``confidence_by``, the definition of ``confidence``. ``mask``
        is None if none is on record; ``mask_name`` is its name all the same.
        """
        models = {run.key: run.model_sha256 for run in self.runs()}
        definitions = {run.id: run.confidence_by for run in self._runs("")}
        columns = f"*, {self._mask} AS mask_on_record, {self._epoch} AS finished_in"
        whole = "SELECT {} FROM items ORDER BY mask_key"
        for row in self.query(whole.format(columns), named=True) if by_mask else self._paged(columns, named=True):
            values = dict(row)
            by = definitions.get(run_of(values["finished_in"]), FORMER_CONFIDENCE)
            yield {
                **values,
                "mask": values["mask_on_record"],
                "mask_name": values["mask"],
                "model_sha256": models.get(values["key"]),
                CONFIDENCE_BY: None if values["confidence"] is None else by,
            }

    def confidences(self) -> Counter[str]:
        """Return the definitions of ``confidence``, with the number of images done under each."""
        definitions = {run.id: run.confidence_by for run in self._runs("")}
        if len(set(definitions.values())) == 1:
            return Counter({next(iter(definitions.values())): self.counts()["done"]})
        found: Counter[str] = Counter()
        text = f"SELECT {self._epoch}, count(*) FROM items WHERE status = 'done' GROUP BY 1"
        for epoch, count in self.query(text):
            found[definitions.get(run_of(epoch), FORMER_CONFIDENCE)] += count
        return found

    def has_mask(self, name: str) -> bool:
        """Return whether this is the name of an image's mask, on record or still to be made."""
        text = f"SELECT 1 FROM items WHERE mask_key = CAST(? AS TEXT) AND (status <> 'failed' OR {self._mask} NOT NULL)"
        return next(self.query(text, (encode(clash_key(name)),)), None) is not None

    @property
    def is_pseudonymous(self) -> bool:
        """Return whether masks are named by pseudonyms, so that nothing made from them may name an image."""
        return self._meta(NAME_TEMPLATE) == PSEUDONYMS

    def mask_of(self, path: str) -> str | None:
        """Return the mask name of an image, existing or not; None if the image is not in the ledger."""
        row = next(self.query("SELECT mask FROM items WHERE path = CAST(? AS TEXT)", (encode(path),)), None)
        return None if row is None else str(row[0])

    def template(self) -> NameTemplate:
        """Return the template of mask names."""
        return NameTemplate(self._meta(NAME_TEMPLATE) or DEFAULT_NAME)

    def is_done(self, item: ImageRef, key: str) -> bool:
        """Return whether the image was done under ``key`` in its present state."""
        columns = f"status, key, bytes, mtime_ns, {self._version}"
        row = next(self.query(f"SELECT {columns} FROM items WHERE path = CAST(? AS TEXT)", (encode(item.path),)), None)
        return row is not None and row[:2] == ("done", key) and is_same_content(item, *row[2:])

    def last_run(self) -> RunRecord | None:
        """Return the run that began last; None if there was none."""
        return next(self._runs("ORDER BY id DESC LIMIT 1"), None)

    def runs(self) -> list[RunRecord]:
        """Return the last run of each key, by number."""
        return list(self._runs("WHERE id IN (SELECT max(id) FROM runs GROUP BY key) ORDER BY id"))

    def classes(self) -> dict[str | None, int]:
        """Return the number of classes of the model of each key."""
        return {run.key: len(run.class_names) for run in self.runs()}

    def has(self, table: str, column: str | None = None) -> bool:
        """Return whether the ledger's format has a table, or a column in it."""
        columns = [row[1] for row in self.query(f"PRAGMA table_info({table})")]
        return bool(columns) if column is None else column in columns

    @property
    def _mask(self) -> str:
        return f"CASE WHEN status = 'done' OR {self._sha256} IS NOT NULL THEN mask END"

    def _runs(self, which: str) -> Iterator[RunRecord]:
        names = [field.name for field in dataclasses.fields(RunRecord)]
        for row in self.query(f"SELECT {', '.join(names)} FROM runs {which}"):
            values = dict(zip(names, row, strict=True))
            yield RunRecord(**values | {name: json.loads(values[name] or "{}") for name in RUN_JSON})

    def _meta(self, key: str) -> str | None:
        row = next(self.query("SELECT value FROM meta WHERE key = ?", (key,)), None)
        return None if row is None else str(row[0])

    def _paged(self, columns: str, condition: str = "1", *, named: bool = False) -> Iterator[Any]:
        """Yield rows by their number, which is the first column."""
        text = f"SELECT id, {columns} FROM items WHERE id > ? AND {condition} ORDER BY id LIMIT {PAGE}"
        after, is_last = -1, False
        while not is_last:
            page = list(self.query(text, (after,), named=named))
            yield from page
            is_last = len(page) < PAGE
            after = page[-1][0] if page else after

    def query(self, sql: str, parameters: tuple[Any, ...] = (), *, named: bool = False) -> Iterator[Any]:
        """Yield the rows of a query; for this package. Ledgers of older formats lack columns and tables, see
        :meth:`has`.
        """
        with reading_errors(self._path), contextlib.closing(self._connection.cursor()) as cursor:
            cursor.row_factory = sqlite3.Row if named else None
            yield from cursor.execute(sql, parameters)


def done_entry_of(row: tuple[Any, ...]) -> DoneEntry:
    """Return the entry of a row: ``id``, :data:`DONE_COLUMNS`, ``sha256``."""
    number, path, mask, height, width, area, x0, y0, x1, y1, key, sha256 = row
    return DoneEntry(number, path, mask, height, width, area, _box(x0, y0, x1, y1), key, sha256)


def _box(x0: int | None, *others: int) -> tuple[int, int, int, int] | None:
    return None if x0 is None else (x0, *others)  # type: ignore[return-value]  # the other three

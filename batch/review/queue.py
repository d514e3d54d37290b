"""The images of an output in an order, filtered, a page at a time: arrays in memory over a ledger that may change.

A page is found by the place of an image in its order (the key, then the number of the row), never by counting rows, so
the first page costs as much as the last. The arrays take about 60 bytes per image.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from batch.figures import CERTAIN_FROM, CUT_FROM, SUITABLE_FROM
from batch.ledger.reader import LedgerReader
from batch.review.decisions import Verdict

Rows = NDArray[np.int32]
"""Indices into the arrays."""


class Order(enum.StrEnum):
    """How images are sorted: least certain first, largest or smallest lesion share first, most borders of the
    photograph touched first, or by path.
    """

    DOUBT = "doubt"
    LARGEST = "largest"
    SMALLEST = "smallest"
    BORDER = "border"
    FOLDER = "folder"


class Reason(enum.StrEnum):
    """Why a mask is worth a look, see :class:`batch.figures.Figures`."""

    UNCERTAIN = "uncertain"
    EMPTY = "empty"
    UNSUITABLE = "unsuitable"
    CUT = "cut"


class Status(enum.StrEnum):
    """Whether an image has a mask. The values are the ledger's."""

    DONE = "done"
    FAILED = "failed"


BITS = {reason: 1 << place for place, reason in enumerate(Reason)}
STATUSES = {status: place for place, status in enumerate(Status)}
TOUCHED = "(bbox_x0 = 0) + (bbox_y0 = 0) + (bbox_x1 = width) + (bbox_y1 = height)"
FIELDS = np.dtype(
    [("id", "i8"), ("status", "i1"), ("doubt", "f8"), ("share", "f8"), ("touched", "i1"), ("reasons", "u1")]
)
KEPT_MATCHES = 8
"""Combinations of order and filters whose images are remembered."""


@dataclass(frozen=True)
class Filters:
    """Which images: those of a status, a verdict, a reason; None: any."""

    status: Status | None = None
    verdict: Verdict | None = None
    reason: Reason | None = None


@dataclass(frozen=True)
class Place:
    """Where a page begins: with the image ``row`` (the number of its row in the ledger), ``after`` or ``before`` it.
    None: with the first image.
    """

    row: int | None = None
    side: str = "at"


@dataclass(frozen=True)
class Page:
    """``rows``: numbers of rows in the ledger. ``first``: how many images come before. ``total``: all that match."""

    rows: list[int]
    first: int
    total: int


def why(reasons: int) -> list[Reason]:
    """Return the reasons in bits."""
    return [reason for reason, bit in BITS.items() if reasons & bit]


def reasons_sql(ledger: LedgerReader) -> str:
    """Return SQL for the reasons of an image as :data:`BITS`."""
    suitable = "suitable" if ledger.has("items", "suitable") else "NULL"
    conditions = {
        Reason.UNCERTAIN: f"lesion_area > 0 AND confidence < {CERTAIN_FROM}",
        Reason.EMPTY: "lesion_area = 0",
        Reason.UNSUITABLE: f"{suitable} < {SUITABLE_FROM}",
        Reason.CUT: f"{TOUCHED} >= {CUT_FROM}",
    }
    parts = (f"{bit} * coalesce({conditions[reason]}, 0)" for reason, bit in BITS.items())
    return f"CASE WHEN status = 'done' THEN {' + '.join(parts)} ELSE 0 END"


class Queue:
    """The images of a ledger as it was when it was read: done and failed ones. Calls must not overlap."""

    def __init__(self, ledger: LedgerReader) -> None:
        with ledger.snapshot():
            read = _read(ledger)
            order = "mask" if ledger.is_pseudonymous else "path"
            by_path = np.fromiter((row for (row,) in ledger.query(f"SELECT id FROM items ORDER BY {order}")), np.int64)
        self._ids = np.ascontiguousarray(read["id"])
        self._status = np.ascontiguousarray(read["status"])
        self._reasons = np.ascontiguousarray(read["reasons"])
        self._verdicts = np.zeros(len(read), np.int8)
        self._version = 0
        self._orders = _orders(read, self._of(by_path))
        self._ranks = {order: _ranks(rows) for order, rows in self._orders.items()}
        self._matches: dict[tuple[Order, Filters, int], Rows] = {}

    @property
    def done(self) -> int:
        """Return how many images have masks."""
        return int(np.count_nonzero(self._status == STATUSES[Status.DONE]))

    @property
    def failed(self) -> int:
        """Return how many images have none."""
        return len(self._ids) - self.done

    @property
    def reviewed(self) -> int:
        """Return how many masks have a verdict."""
        return int(np.count_nonzero(self._verdicts))

    def judge(self, row: int, verdict: Verdict) -> None:
        """Set the verdict of the image in a row of the ledger; nothing if it is not here."""
        index = self._index(row)
        if index is not None and self._verdicts[index] != verdict:
            self._verdicts[index] = verdict
            self._version += 1

    def page(self, order: Order, filters: Filters, place: Place, size: int) -> Page:
        """Return a page of at most ``size`` images."""
        found = self._matching(order, filters)  # ranks of images, ascending
        start = self._start(order, found, place, size)
        end = min(start + size, len(found))
        if place.side == "before":
            end = self._first_from(order, found, place.row, "left")
        rows = self._ids[self._orders[order][found[start:end]]]
        return Page(rows.tolist(), start, len(found))

    def _start(self, order: Order, found: Rows, place: Place, size: int) -> int:
        if place.side == "before":
            return max(0, self._first_from(order, found, place.row, "left") - size)
        return self._first_from(order, found, place.row, "right" if place.side == "after" else "left")

    def _first_from(self, order: Order, found: Rows, row: int | None, side: Any) -> int:
        """Return the place among the matching images of the first one from a row (``right``: behind it)."""
        index = None if row is None else self._index(row)
        return 0 if index is None else int(np.searchsorted(found, self._ranks[order][index], side))

    def _matching(self, order: Order, filters: Filters) -> Rows:
        """Return the ranks in an order of the images that pass the filters."""
        key = (order, filters, self._version if filters.verdict is not None else 0)
        if key not in self._matches:
            while len(self._matches) >= KEPT_MATCHES:
                del self._matches[next(iter(self._matches))]
            self._matches[key] = np.flatnonzero(self._passes(filters)[self._orders[order]]).astype(np.int32)
        return self._matches[key]

    def _passes(self, filters: Filters) -> NDArray[np.bool_]:
        passing = np.ones(len(self._ids), bool)
        if filters.status is not None:
            passing &= self._status == STATUSES[filters.status]
        if filters.verdict is not None:
            passing &= (self._verdicts == filters.verdict) & (self._status == STATUSES[Status.DONE])
        if filters.reason is not None:
            passing &= (self._reasons & BITS[filters.reason]) != 0
        return passing

    def _index(self, row: int) -> int | None:
        index = int(np.searchsorted(self._ids, row))
        return index if index < len(self._ids) and self._ids[index] == row else None

    def _of(self, rows: NDArray[np.int64]) -> Rows:
        """Return the indices of rows of the ledger; those that are not here are left out."""
        places = np.minimum(np.searchsorted(self._ids, rows), max(0, len(self._ids) - 1))
        return places[self._ids[places] == rows].astype(np.int32) if len(self._ids) else np.zeros(0, np.int32)


def _read(ledger: LedgerReader) -> NDArray[Any]:
    """Return :data:`FIELDS` of all images that are done or failed, by row. Failed ones come last in each order."""
    text = (
        "SELECT id, status = 'failed', CASE WHEN status = 'done' THEN coalesce(confidence, 1) ELSE 2 END, "
        "CASE WHEN status = 'done' THEN coalesce(lesion_fraction, 0) ELSE -1 END, "
        f"CASE WHEN status = 'done' THEN coalesce({TOUCHED}, 0) ELSE -1 END, {reasons_sql(ledger)} "
        "FROM items WHERE status IN ('done', 'failed') ORDER BY id"
    )
    return np.fromiter(ledger.query(text), FIELDS)


def _ranks(rows: Rows) -> Rows:
    """Return the place of each image in an order."""
    ranks = np.empty(len(rows), np.int32)
    ranks[rows] = np.arange(len(rows), dtype=np.int32)
    return ranks


def _orders(read: NDArray[Any], by_path: Rows) -> dict[Order, Rows]:
    is_failed = read["share"] < 0
    keys: dict[Order, NDArray[Any]] = {
        Order.DOUBT: read["doubt"],
        Order.LARGEST: -read["share"],
        Order.SMALLEST: np.where(is_failed, 2, read["share"]),
        Order.BORDER: -read["touched"].astype(np.int16),
    }
    sorted_by = {order: np.argsort(key, kind="stable").astype(np.int32) for order, key in keys.items()}
    return {**sorted_by, Order.FOLDER: by_path}

"""Orders and pages of the images of a ledger, against sorting and slicing them plainly."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from batch.figures import Figures
from batch.ledger.reader import LedgerReader
from batch.ledger.schema import ledger_path, open_for_writing
from batch.review.decisions import Verdict
from batch.review.queue import Filters, Order, Place, Queue, Reason, Status

COLUMNS = (
    "id", "path", "source", "mask", "mask_key", "status", "bytes", "mtime_ns", "height", "width", "lesion_area",
    "lesion_fraction", "bbox_x0", "bbox_y0", "bbox_x1", "bbox_y1", "confidence", "run", "suitable",
)  # fmt: skip
SIZE = 100


def rows_of(count: int) -> list[dict[str, Any]]:
    """Return rows of a ledger: many equal values, some failed and pending, gaps between the numbers of rows."""
    rng = random.Random(count)
    rows = []
    for number in range(count):
        status = rng.choice(["done"] * 8 + ["failed", "pending"])
        area = rng.choice([0, 1000, 2500, 9000])
        box = [0, rng.choice([0, 10]), rng.choice([90, SIZE]), SIZE] if area else [None] * 4
        figures = [SIZE, SIZE, area, area / SIZE**2, *box, rng.choice([0.5, 0.79, 0.8, 0.99])]
        made = figures if status == "done" else [None] * 9
        name = f"{rng.randrange(10)}/{number}"
        suitable = rng.choice([None, 0.4, 0.5, 0.9])
        values = [3 * number + 1, name, "s", name, name, status, 1, 1, *made, 1, suitable]
        rows.append(dict(zip(COLUMNS, values, strict=True)))
    return rows


def ledger_with(folder: Path, rows: list[dict[str, Any]]) -> Path:
    with closing(open_for_writing(ledger_path(folder))) as connection, connection:
        marks = ", ".join("?" * len(COLUMNS))
        text = f"INSERT INTO items ({', '.join(COLUMNS)}) VALUES ({marks})"
        connection.executemany(text, [tuple(row.values()) for row in rows])
    return folder


def figures_of(row: dict[str, Any]) -> Figures:
    box = None if row["bbox_x0"] is None else tuple(row[f"bbox_{end}"] for end in ("x0", "y0", "x1", "y1"))
    return Figures(SIZE, SIZE, row["lesion_area"], box, row["confidence"], row["suitable"])


def has(row: dict[str, Any], reason: Reason) -> bool:
    if row["status"] != "done":
        return False
    figures = figures_of(row)
    return {
        Reason.UNCERTAIN: figures.is_uncertain,
        Reason.EMPTY: figures.is_empty,
        Reason.UNSUITABLE: figures.is_unsuitable,
        Reason.CUT: figures.is_cut,
    }[reason]


def touched(row: dict[str, Any]) -> int:
    return sum(row[f"bbox_{end}"] == edge for end, edge in (("x0", 0), ("y0", 0), ("x1", SIZE), ("y1", SIZE)))


def expected(rows: list[dict[str, Any]], order: Order) -> list[int]:
    """Return the rows in an order, sorted plainly; failed ones last."""
    keys: dict[Order, Callable[[dict[str, Any]], float]] = {
        Order.DOUBT: lambda row: row["confidence"],
        Order.LARGEST: lambda row: -row["lesion_fraction"],
        Order.SMALLEST: lambda row: row["lesion_fraction"],
        Order.BORDER: lambda row: -touched(row),
    }
    shown = [row for row in rows if row["status"] != "pending"]
    if order is Order.FOLDER:
        return [row["id"] for row in sorted(shown, key=lambda row: row["path"])]
    done = sorted((row for row in shown if row["status"] == "done"), key=lambda row: (keys[order](row), row["id"]))
    return [row["id"] for row in done] + [row["id"] for row in shown if row["status"] == "failed"]


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    return rows_of(400)


@pytest.fixture
def queue(tmp_path: Path, rows: list[dict[str, Any]]) -> Queue:
    with LedgerReader(ledger_with(tmp_path, rows)) as ledger:
        return Queue(ledger)


def forwards(queue: Queue, order: Order, filters: Filters, size: int) -> list[int]:
    found: list[int] = []
    place = Place()
    while page := queue.page(order, filters, place, size).rows:
        assert queue.page(order, filters, place, size).first == len(found)
        found += page
        place = Place(page[-1], "after")
    return found


@pytest.mark.parametrize("order", list(Order))
def test_pages_give_all_images_once_in_both_directions(queue: Queue, rows: list[dict[str, Any]], order: Order) -> None:
    right = expected(rows, order)
    assert forwards(queue, order, Filters(), 7) == right
    last = queue.page(order, Filters(), Place(right[-1]), 7)
    assert (last.rows, last.first, last.total) == (right[-1:], len(right) - 1, len(right))
    backwards: list[int] = []
    place = Place(right[-1], "before")
    while page := queue.page(order, Filters(), place, 7).rows:
        backwards = page + backwards
        place = Place(page[0], "before")
    assert backwards == right[:-1]


@pytest.mark.parametrize("status", [None, *Status])
@pytest.mark.parametrize("reason", [None, *Reason])
def test_filters(queue: Queue, rows: list[dict[str, Any]], status: Status | None, reason: Reason | None) -> None:
    by_id = {row["id"]: row for row in rows}
    right = [
        row
        for row in expected(rows, Order.DOUBT)
        if status in (None, by_id[row]["status"]) and (reason is None or has(by_id[row], reason))
    ]
    assert forwards(queue, Order.DOUBT, Filters(status, None, reason), 50) == right


def test_verdicts(queue: Queue, rows: list[dict[str, Any]]) -> None:
    done = [row["id"] for row in rows if row["status"] == "done"]
    unseen = Filters(verdict=Verdict.NONE)
    assert sorted(forwards(queue, Order.DOUBT, unseen, 60)) == done
    first, second, third = forwards(queue, Order.DOUBT, unseen, 60)[:3]
    queue.judge(first, Verdict.ACCEPTED)
    queue.judge(second, Verdict.REJECTED)
    queue.judge(10**9, Verdict.REJECTED)  # an image that is not here
    assert queue.reviewed == 2
    assert queue.page(Order.DOUBT, unseen, Place(first), 1).rows == [third]  # the place is known, though it is gone
    assert forwards(queue, Order.DOUBT, Filters(verdict=Verdict.REJECTED), 60) == [second]
    queue.judge(second, Verdict.NONE)
    assert queue.page(Order.DOUBT, unseen, Place(first), 1).rows == [second]
    assert queue.reviewed == 1


def test_counts(queue: Queue, rows: list[dict[str, Any]]) -> None:
    statuses = [row["status"] for row in rows]
    assert (queue.done, queue.failed) == (statuses.count("done"), statuses.count("failed"))


@pytest.mark.parametrize("count", [0, 1])
def test_very_few_images(tmp_path: Path, count: int) -> None:
    row = {**rows_of(1)[0], "status": "failed"}
    with LedgerReader(ledger_with(tmp_path, [row][:count])) as ledger:
        queue = Queue(ledger)
    for order in Order:
        assert queue.page(order, Filters(), Place(5, "after"), 9).rows == [1][:count]
        assert queue.page(order, Filters(status=Status.DONE), Place(), 9).rows == []


def test_a_ledger_of_the_first_format(tmp_path: Path, repo_root: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "ledger.sqlite")) as connection:
        connection.executescript((repo_root / "tests" / "data" / "ledger-format-1.sql").read_text())
    with LedgerReader(tmp_path) as ledger:
        queue = Queue(ledger)
        done, failed = ledger.counts()["done"], ledger.counts()["failed"]
    assert (queue.done, queue.failed) == (done, failed)
    assert done
    assert forwards(queue, Order.DOUBT, Filters(reason=Reason.UNSUITABLE), 9) == []

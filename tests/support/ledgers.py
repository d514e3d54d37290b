"""Ledgers with many rows, made without running anything."""

from __future__ import annotations

import sqlite3
import zlib
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from batch.figures import Figures
from batch.ledger.schema import ledger_path
from tests.support.archive import run_all, save

BEGIN = 1_790_000_000
"""When the run of these rows began, in seconds since 1970."""


class Row(NamedTuple):
    """An image that is done."""

    path: str
    figures: Figures
    second: int


def fill(folder: Path, count: int, *, failures: dict[str, int] | None = None) -> list[Row]:
    """Make an output in ``folder / "out"`` whose ledger has one real image and ``count`` more rows, which are returned,
    and failures: numbers by reason.
    """
    save(folder / "in" / "real.png")
    run_all(folder / "in", folder / "out")
    rng = np.random.default_rng(3)
    rows = [Row(f"{folder}/in/{number:07}.png", _figures(rng), int(rng.integers(0, 600))) for number in range(count)]
    with closing(sqlite3.connect(ledger_path(folder / "out"))) as ledger, ledger:
        ledger.execute("UPDATE runs SET started_at = ?", (_moment(0),))
        ledger.execute("UPDATE items SET finished_at = ?", (_moment(0),))
        key = ledger.execute("SELECT key FROM runs").fetchone()[0]
        ledger.executemany(INSERT, (_values(row, key) for row in rows))
        for reason, number in (failures or {}).items():
            ledger.executemany(INSERT_FAILED, (_failed(folder, reason, each) for each in range(number)))
    return rows


INSERT = (
    "INSERT INTO items (path, source, mask, mask_key, status, bytes, mtime_ns, height, width, lesion_area, "
    "lesion_fraction, bbox_x0, bbox_y0, bbox_x1, bbox_y1, confidence, suitable, key, run, finished_at) "
    "VALUES (?, 'in', ?, ?, 'done', 1, 1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1, ?)"
)
INSERT_FAILED = (
    "INSERT INTO items (path, source, mask, mask_key, status, bytes, mtime_ns, error, run, finished_at) "
    "VALUES (?, 'in', ?, ?, 'failed', 1, 1, ?, 1, ?)"
)


def _figures(rng: np.random.Generator) -> Figures:
    height, width = (int(side) for side in rng.integers(100, 4000, 2))
    if rng.random() < 0.1:
        return Figures(height, width, 0, None, float(rng.random()), float(rng.random()))
    x0, y0 = (int(side) if rng.random() < 0.7 else 0 for side in rng.integers(1, 50, 2))
    x1, y1 = (whole if rng.random() < 0.3 else whole - 10 for whole in (width, height))
    area = int((x1 - x0) * (y1 - y0) * rng.random()) + 1
    return Figures(height, width, area, (x0, y0, x1, y1), float(rng.random()), float(rng.random()))


def _values(row: Row, key: str) -> tuple[Any, ...]:
    figures, mask = row.figures, f"{Path(row.path).stem}.png"
    box = figures.bbox or (None, None, None, None)
    return (
        row.path, mask, mask, figures.height, figures.width, figures.lesion_area, figures.lesion_fraction, *box,
        figures.confidence, figures.suitable, key, _moment(row.second),
    )  # fmt: skip


def _failed(folder: Path, reason: str, number: int) -> tuple[Any, ...]:
    name = f"{zlib.crc32(reason.encode()):x}-{number:06}"
    return (f"{folder}/in/{name}.jpg", f"{name}.png", f"{name}.png", reason, _moment(number % 600))


def _moment(second: int) -> str:
    return datetime.fromtimestamp(BEGIN + second, UTC).isoformat()

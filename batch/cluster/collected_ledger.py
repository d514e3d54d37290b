"""Fill a ledger with images that were done elsewhere, by the workers of a cluster."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from batch.errors import OutputError, printable
from batch.ledger.records import RunRecord
from batch.ledger.schema import encode, sqlite_errors
from batch.ledger.writer import Ledger
from batch.naming import NameTemplate, clash_key
from batch.sources.image_ref import Origin

COLUMNS = (
    "path", "source", "mask", "mask_key", "status", "error", "bytes", "mtime_ns", "version", "height", "width",
    "lesion_area", "lesion_fraction", "bbox_x0", "bbox_y0", "bbox_x1", "bbox_y1", "confidence", "suitable", "seconds",
    "attempts", "remark", "sha256", "key", "run", "finished_at", "epoch",
)  # fmt: skip
TEXTS = frozenset({"path", "source", "mask", "mask_key", "error"})
TOGETHER = 500
PUT = (
    f"INSERT INTO items ({', '.join(COLUMNS)}) VALUES "
    f"({', '.join('CAST(? AS TEXT)' if name in TEXTS else '?' for name in COLUMNS)}) "
    f"ON CONFLICT (path) DO UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in COLUMNS if name != 'path')}"
)
ADD_SOURCE = "INSERT OR IGNORE INTO sources (root, label) VALUES (CAST(? AS TEXT), CAST(? AS TEXT))"


class FilledLedger(Ledger):
    """A ledger that takes whole rows. Use it as :class:`Ledger`, of which it is a run."""

    def __init__(
        self, folder: Path, template: NameTemplate, record: RunRecord, masks: str | None, origins: Iterable[Origin]
    ) -> None:
        super().__init__(folder, template, record, lambda _: set(), masks)
        with sqlite_errors(self._path):
            named = [(encode(origin.root), encode(origin.label)) for origin in origins if origin.root]
            self._connection.executemany(ADD_SOURCE, named)

    def __enter__(self) -> Self:
        return self

    def put(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Put down rows, by the names of the columns; a row of the same path is replaced.

        Raises :class:`OutputError` if another image of this ledger has the name of a mask.
        """
        fixed = {"key": self._key, "run": self._run, "epoch": self._checkpoints.epoch}
        with sqlite_errors(self._path):
            try:
                self._connection.executemany(PUT, [self._values({**row, **fixed}) for row in rows])
            except sqlite3.IntegrityError as error:
                raise OutputError(
                    f"The ledger {printable(str(self._path))} has other images with masks of the same names; "
                    "expected a new output, or one that this job was collected into. Choose another one."
                ) from error
        self.keep_up()

    def made(self, masks: Sequence[str]) -> dict[str, str]:
        """Return those of the masks that were written here, with their SHA-256."""
        found: dict[str, str] = {}
        with sqlite_errors(self._path):
            for start in range(0, len(masks), TOGETHER):
                names = [encode(mask) for mask in masks[start : start + TOGETHER]]
                marks = ", ".join(["CAST(? AS TEXT)"] * len(names))
                found.update(
                    self._connection.execute(
                        f"SELECT mask, sha256 FROM items WHERE mask IN ({marks}) AND status = 'done'", names
                    )
                )
        return found

    @staticmethod
    def _values(row: Mapping[str, Any]) -> list[Any]:
        full = {**row, "mask_key": clash_key(row["mask"])}
        values = (full[name] for name in COLUMNS)
        return [
            encode(value) if name in TEXTS and value is not None else value
            for name, value in zip(COLUMNS, values, strict=True)
        ]

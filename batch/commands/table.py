"""``seg-batch table``: the ledger as a table, one row per image, in the order they were found."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from batch.ledger.records import CONFIDENCE_BY
from batch.outputs.reading import ledger_of
from batch.reporting.table_file import NUMBER, SHARE, TEXT, Row, Table

LEDGER_TABLE = Table(
    {
        "path": TEXT, "source": TEXT, "mask": TEXT, "status": TEXT, "error": TEXT, "bytes": NUMBER, "changed_at": TEXT,
        "height": NUMBER, "width": NUMBER, "lesion_area": NUMBER, "lesion_fraction": SHARE, "bbox_x0": NUMBER,
        "bbox_y0": NUMBER, "bbox_x1": NUMBER, "bbox_y1": NUMBER, "confidence": SHARE, "seconds": SHARE,
        "finished_at": TEXT, "key": TEXT, "model_sha256": TEXT, "sha256": TEXT, "remark": TEXT,
        "suitable": SHARE, CONFIDENCE_BY: TEXT,
    }
)  # fmt: skip
COLUMNS = tuple(LEDGER_TABLE.columns)
"""As in the ledger (see :mod:`batch.ledger.schema`); ``changed_at``: modification time of the image, UTC, ISO 8601;
``model_sha256``: of the model's file; ``sha256``: of the mask's; ``remark``: on an image that is done; ``suitable``:
empty if the model has no such score; ``confidence_by``: the definition of ``confidence``. ``mask`` is empty if none is
on record."""


def write_table(out: Path | str, path: Path) -> int:
    """Write the table of an output to ``path`` and return how many rows it has.

    Raises :class:`ConfigError` for a suffix other than .csv, .jsonl and .parquet, :class:`OutputError` if there is no
    ledger or the file cannot be written.
    """
    require_table(path)
    with ledger_of(out) as ledger, ledger.snapshot():
        return LEDGER_TABLE.write(map(_row, ledger.rows()), path)


def require_table(path: Path) -> None:
    """Raise, before the work, the errors that :func:`write_table` would raise for ``path``."""
    LEDGER_TABLE.require_writable(path)


def _row(entry: Row) -> Row:
    changed = datetime.fromtimestamp(entry["mtime_ns"] / 1e9, UTC).isoformat(timespec="seconds")
    return entry | {"changed_at": changed if entry["mtime_ns"] else None}

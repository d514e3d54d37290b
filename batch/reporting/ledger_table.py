"""The table of a ledger: its columns, and a row of it from a row of the ledger."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from batch.ledger.reader import LedgerReader
from batch.ledger.records import CONFIDENCE_BY
from batch.pseudonyms import pseudonym_of
from batch.reporting.reasons import nameless_reason
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


HIDDEN = ("source", "bytes", "changed_at", "finished_at", "remark")
"""Columns of a table that stay empty: size and time tell a photograph, the time of a mask tells the order of names, and
a remark may hold texts of the file."""


def table_rows(ledger: LedgerReader, *, with_names: bool = False) -> Iterator[Row]:
    """Yield the rows of the table of a ledger, in the order in which images were found.

    If masks are named by pseudonyms, nothing tells an image and the order is that of the masks, unless ``with_names``.
    """
    if with_names or not ledger.is_pseudonymous:
        return map(table_row, ledger.rows())
    return (_nameless(table_row(entry)) for entry in ledger.rows(by_mask=True))


def table_row(entry: Row) -> Row:
    """Return the row of the table for a row of :meth:`batch.ledger.reader.LedgerReader.rows`."""
    changed = datetime.fromtimestamp(entry["mtime_ns"] / 1e9, UTC).isoformat(timespec="seconds")
    return entry | {"changed_at": changed if entry["mtime_ns"] else None}


def _nameless(row: Row) -> Row:
    """Return a row of a table without what tells its image.

    ``mask_name``: that of its mask, existing or not.
    """
    reason = None if row["error"] is None else nameless_reason(row["error"], row["path"])
    return row | dict.fromkeys(HIDDEN) | {"path": pseudonym_of(row["mask_name"]), "error": reason}

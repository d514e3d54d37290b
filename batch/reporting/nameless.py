"""What is said of the images of an output whose masks are named by pseudonyms: nothing that names an image."""

from __future__ import annotations

import re

from batch.pseudonyms import pseudonym_of
from batch.reporting.reasons import short_reason, taken_over
from batch.reporting.table_file import Row

OTHER_REASON = "another reason, see seg-batch status"
SHORTEST = 2
"""Parts of a path with fewer characters name nobody."""
HIDDEN = ("source", "bytes", "changed_at", "finished_at", "remark")
"""Columns of a table that stay empty: size and time tell a photograph, the time of a mask tells the order of names, and
a remark may hold texts of the file."""


def nameless_reason(reason: str, path: str) -> str:
    """Return why an image failed, in few words, without any part of its path."""
    taken = taken_over(reason)
    parts = [part.casefold() for part in re.split(r"[\W_]+", path) if len(part) >= SHORTEST]
    if taken is None or any(part in text.casefold() for part in parts for text in taken):
        return OTHER_REASON
    return short_reason(reason)


def nameless_row(row: Row) -> Row:
    """Return a row of a table (see :data:`batch.reporting.ledger_table.COLUMNS`) without what tells its image.

    ``mask_name``: that of its mask, existing or not.
    """
    reason = None if row["error"] is None else nameless_reason(row["error"], row["path"])
    return row | dict.fromkeys(HIDDEN) | {"path": pseudonym_of(row["mask_name"]), "error": reason}

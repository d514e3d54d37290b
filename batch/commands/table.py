"""``seg-batch table``: the ledger as a table, one row per image, in the order they were found."""

from __future__ import annotations

from pathlib import Path

from batch.outputs.reading import ledger_of
from batch.reporting.ledger_table import LEDGER_TABLE, table_rows


def write_table(out: Path | str, path: Path, *, with_names: bool = False) -> int:
    """Write the table of an output to ``path`` and return how many rows it has.

    ``with_names``: of images, also if masks are named by pseudonyms.

    Raises :class:`ConfigError` for a suffix other than .csv, .jsonl and .parquet, :class:`OutputError` if there is no
    ledger or the file cannot be written.
    """
    require_table(path)
    with ledger_of(out) as ledger, ledger.snapshot():
        if with_names and ledger.is_pseudonymous:
            from batch.formats.names_table import require_private

            require_private(path)
        return LEDGER_TABLE.write(table_rows(ledger, with_names=with_names), path)


def require_table(path: Path) -> None:
    """Raise, before the work, the errors that :func:`write_table` would raise for ``path``."""
    LEDGER_TABLE.require_writable(path)

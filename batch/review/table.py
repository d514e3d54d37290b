"""The verdicts as a table: one row per image that somebody decided on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from batch.ledger.reader import LedgerReader
from batch.outputs.spec import Output
from batch.pseudonyms import pseudonym_of
from batch.reporting.table_file import TEXT, Row, Table
from batch.review.decisions import Decisions, Standing, Verdict
from batch.review.reviewed import decided

DECISION_TABLE = Table(
    {
        "path": TEXT,
        "mask": TEXT,
        "verdict": TEXT,
        "note": TEXT,
        "reviewer": TEXT,
        "decided_at": TEXT,
    },
    "a table of decisions",
)
"""``verdict``: accepted or rejected; empty if it was undone, or the mask was made again since."""


def write_decisions(output: Output, path: Path) -> int:
    """Write the verdicts on an output's masks to ``path`` and return the number of images.

    Raises as :meth:`batch.reporting.table_file.Table.write`, and :class:`OutputError` if there is no ledger.
    """
    with LedgerReader(output.state) as ledger:
        return DECISION_TABLE.write(_rows(output, ledger), path)


def _rows(output: Output, ledger: LedgerReader) -> Iterator[Row]:
    decisions = Decisions.present(output.state)
    if decisions is None:
        return
    with decisions:
        found = decided(decisions, ledger)
        if not ledger.is_pseudonymous:
            yield from (_row(path, mask, standing, standing.decided_at) for _, path, mask, standing in found)
            return
        standings = sorted(((mask, standing) for _, _, mask, standing in found), key=lambda one: one[0])
    yield from (_row(pseudonym_of(mask), mask, standing, "") for mask, standing in standings)  # times tell an order


def _row(path: str, mask: str, standing: Standing, decided_at: str) -> Row:
    return {
        "path": path,
        "mask": mask,
        "verdict": "" if standing.verdict is Verdict.NONE else standing.verdict.name.lower(),
        "note": standing.note,
        "reviewer": standing.reviewer,
        "decided_at": decided_at,
    }

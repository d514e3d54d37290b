"""The verdicts as a table: one row per image that somebody decided on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from batch.ledger.reader import LedgerReader
from batch.outputs.spec import Output
from batch.pseudonyms import pseudonym_of
from batch.reporting.table_file import TEXT, Row, Table
from batch.review.decisions import Decisions, Verdict
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
    is_nameless = ledger.is_pseudonymous
    with decisions:
        for _, path, mask, standing in decided(decisions, ledger):
            yield {
                "path": pseudonym_of(mask) if is_nameless else path,
                "mask": mask,
                "verdict": "" if standing.verdict is Verdict.NONE else standing.verdict.name.lower(),
                "note": standing.note,
                "reviewer": standing.reviewer,
                "decided_at": standing.decided_at,
            }

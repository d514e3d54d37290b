"""What is said of what a listing of storage leaves out, and where there is none."""

from __future__ import annotations

from batch.errors import SourceError, printable
from batch.sources.image_ref import SourceReport, suffix_of
from batch.sources.left_out import reason_to_leave_out
from batch.storage import NOT_THERE, Storage

UNLISTED_IN_A_ROW = 3
"""So many folders in a row that cannot be listed: storage is gone, and each further one would take its time."""


def nothing_at(storage: Storage) -> SourceError:
    """Return the error for a URL where there is nothing."""
    return SourceError(f"Nothing is at {printable(storage.url)}; {NOT_THERE}")


def cannot_list(url: str, why: str) -> str:
    """Return the line of the report for a folder that is left out."""
    return f"{printable(url)}: {why}. What is below it has no row"


def require_listed(unlisted: int, storage: Storage) -> None:
    """Raise :class:`SourceError` where storage does not list any more."""
    if unlisted >= UNLISTED_IN_A_ROW:
        raise SourceError(
            f"{printable(storage.url)}: {unlisted} folders in a row cannot be listed, so the rest was not asked for; "
            "expected storage that answers. Run again when it does."
        )


def pass_over(name: str, url: str, report: SourceReport) -> None:
    """Count a file that is no photograph, or is none that is read."""
    if (why := reason_to_leave_out(name)) is not None:
        report.leave_out(why, url)
    else:
        report.others[suffix_of(name)] += 1

"""Messages about what a listing of storage leaves out, and about missing listings."""

from __future__ import annotations

from batch.errors import SourceError, printable
from batch.sources.image_ref import SourceReport, suffix_of
from batch.sources.left_out import reason_to_leave_out
from batch.storage import NOT_THERE, Storage

UNLISTED_IN_A_ROW = 3
"""After this many folders in a row that cannot be listed, storage counts as gone: each further one would take time."""


def nothing_at(storage: Storage) -> SourceError:
    """Return the error for a URL where nothing exists."""
    return SourceError(f"There is nothing at {printable(storage.url)}; {NOT_THERE}")


def cannot_list(url: str, why: str) -> str:
    """Return the line of the report for a folder that is skipped."""
    return f"{printable(url)}: {why}. Images below it were skipped"


def nameless(url: str) -> str:
    """Return the line of the report for a folder below ``url`` whose name is empty, as in ``a//b.jpg``."""
    why = "it has an empty name, or was listed before; expected a name between all slashes"
    return cannot_list(url + "/", why)


def require_listed(unlisted: int, storage: Storage) -> None:
    """Raise :class:`SourceError` if storage no longer lists folders."""
    if unlisted >= UNLISTED_IN_A_ROW:
        raise SourceError(
            f"{printable(storage.url)}: {unlisted} folders in a row cannot be listed, so the rest was skipped. Run "
            "again when the storage answers."
        )


def pass_over(name: str, url: str, report: SourceReport) -> None:
    """Count a file that is not a photograph, or is one in an unsupported format."""
    if (why := reason_to_leave_out(name)) is not None:
        report.leave_out(why, url)
    else:
        report.others[suffix_of(name)] += 1

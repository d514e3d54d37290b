"""Pages as files: one that this tool wrote may be replaced or removed, any other file of that name is kept."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

from batch.errors import OutputError, cannot_write, printable
from batch.outputs.spec import Output
from batch.reporting.result_file import require_replaceable
from seglab import __version__
from seglab.files import remove_abandoned, write_bytes
from seglab.pages.page import HEAD, Page, html_of, maker_of

NAME = "report.html"
SUFFIXES = (".html", ".htm")
RUN, SCORE, COMPARISON = "seg-batch run report", "seg-batch score report", "seg-batch compare report"
"""Kinds of pages, as their ``maker`` begins; a page replaces only one of its own kind."""


def maker(kind: str) -> str:
    """Return the ``maker`` of a page of this kind."""
    return f"{kind} (seglab {__version__})"


def report_path(output: Output) -> Path:
    """Return where the page of an output is: beside its ledger."""
    return output.state / NAME


def require_page(path: Path, kind: str) -> None:
    """Raise :class:`ConfigError` for another suffix than .html, and :class:`OutputError` for a file that exists and is
    not a page of this kind.
    """
    require_replaceable(path, SUFFIXES, f"a {kind.removeprefix('seg-batch ')}", _is_of(kind))


def write_page(path: Path, page: Page, kind: str) -> None:
    """Write a page atomically. Raises as :func:`require_page`, and :class:`OutputError` if it cannot be written."""
    data = html_of(page)
    require_page(path, kind)
    try:
        remove_abandoned(path)
        write_bytes(path, data)
    except OSError as error:
        raise cannot_write(str(path), error) from error


def remove_report(output: Output) -> bool:
    """Remove the page of an output, and what a killed run left of one; return whether there was one. A file that this
    tool did not write is kept. Raises :class:`OutputError` if it cannot be removed.
    """
    path = report_path(output)
    remove_abandoned(path)
    try:
        if not path.is_file() or not _is_of(RUN)(_head(path), path):
            return False
        path.unlink()
    except OSError as error:
        raise OutputError(
            f"{printable(str(path))} shows images of this output and cannot be removed: {error.strerror or error}. "
            "Expected permission to remove it. Remove it yourself."
        ) from error
    return True


def is_written(output: Output) -> bool:
    """Return whether the output has a page of this tool."""
    path = report_path(output)
    with contextlib.suppress(OSError):
        return path.is_file() and _is_of(RUN)(_head(path), path)
    return False


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(HEAD)


def _is_of(kind: str) -> Callable[[bytes, Path], bool]:
    return lambda begin, _path: (maker_of(begin) or "").startswith(kind)

"""Open a ledger for reading, and look at a folder that may have none: where its masks are, what its last run was."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from batch.errors import OutputError, printable
from batch.ledger.schema import FORMAT_VERSION, MASKS, decode, ledger_path, require_utf8
from batch.output_mark import APPLICATION_ID, LEDGER_NAME
from batch.sqlite_readonly import connect_readonly, peek


def open_to_read(path: Path, *, in_place: bool = False) -> sqlite3.Connection:
    """Open a ledger for reading. ``in_place``: make no copy if nobody writes to it; nobody should until it is closed.

    Raises :class:`batch.errors.OutputError` if there is none, or not one of ours.
    """
    require_utf8()
    with reading_errors(path):
        if not path.is_file():
            raise OutputError(
                f"There is no ledger in {printable(str(path.parent))} (no {LEDGER_NAME}); expected the output of a "
                "run. Check the path, or run `seg-batch run` first."
            )
        connection = peek(path) if in_place else connect_readonly(path)
        try:
            connection.text_factory = decode
            _require_ours(connection, path)
        except BaseException:
            connection.close()
            raise
        return connection


def _is_empty(connection: sqlite3.Connection) -> bool:
    """Return whether the first run was killed before it created the tables."""
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    return not tables and not connection.execute("PRAGMA application_id").fetchone()[0]


def _require_ours(connection: sqlite3.Connection, path: Path) -> None:
    application, version = (
        connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")
    )
    if _is_empty(connection):
        raise OutputError(
            f"The ledger {printable(str(path))} is empty: the first run was killed before it recorded an image. "
            "Run again with this output to start over."
        )
    if application != APPLICATION_ID:
        raise OutputError(
            f"{printable(str(path))} is a database of another program; expected a ledger of seg-batch. Check the path."
        )
    if version > FORMAT_VERSION:
        raise OutputError(
            f"The ledger {printable(str(path))} has format {version}; this release knows up to {FORMAT_VERSION}. "
            "Install the newer release that wrote it."
        )


@contextlib.contextmanager
def reading_errors(path: Path) -> Iterator[None]:
    """Map errors of SQLite and the operating system to :class:`OutputError`."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) else None
        raise OutputError(
            f"The ledger {printable(str(path))} cannot be read: {reason or error}. "
            "Expected a complete ledger of seg-batch that this user may read. Correct its permissions, or restore it "
            "from a copy. Without one, run the images again into another output."
        ) from error


def masks_of(folder: Path) -> str | None:
    """Return where the ledger in a folder says its masks are; None if there is no ledger, or they are beside it.

    Raises :class:`batch.errors.OutputError` for a file that is not a seg-batch ledger.
    """
    path = ledger_path(folder)
    if not path.is_file():
        return None
    with reading_errors(path), contextlib.closing(peek(path)) as connection:
        connection.text_factory = decode
        if _is_empty(connection):
            return None
        _require_ours(connection, path)
        row = connection.execute("SELECT value FROM meta WHERE key = ?", (MASKS,)).fetchone()
        return None if row is None else str(row[0])


class LastRun(NamedTuple):
    """The last run into a folder: ``mask_bits`` per pixel (None: not recorded), its model's SHA-256 and its key."""

    mask_bits: int | None
    model_sha256: str
    key: str


def last_run(folder: Path) -> LastRun | None:
    """Return the last run into a folder; None if it has no ledger of seg-batch with a run.

    Raises :class:`batch.errors.OutputError` if the ledger cannot be read.
    """
    path = ledger_path(folder)
    if not path.is_file():
        return None
    with reading_errors(path), contextlib.closing(peek(path)) as connection:
        if connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
            return None  # opening it for writing will raise the error
        row = connection.execute("SELECT settings, model_sha256, key FROM runs ORDER BY id DESC LIMIT 1").fetchone()
        if row is None:
            return None
        bits = json.loads(row[0]).get("mask_bits")
        return LastRun(None if bits is None else int(bits), row[1], row[2])

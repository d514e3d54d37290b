"""The ledger's tables, and opening a file that may be a ledger, newer than this release, foreign, or no database."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path

from batch.errors import OutputError, printable
from batch.ledger.lock import make_for_all, why_not
from batch.mounts import is_far
from batch.output_mark import APPLICATION_ID, LEDGER_NAME

FORMAT_VERSION = 5
"""2: sources, SHA-256 of masks, versions of images, checkpoints. 3: remarks. 4: attempts. 5: suitable."""
BUSY_SECONDS = 30.0
MASKS, SYNCED, BOOT, OWNER = "masks", "synced", "boot", "owner"
"""Keys in ``meta``: where the masks are, if not beside the ledger; the last epoch whose masks are synced to disk; the
boot ID of the last run; what marks in folders of this output say.
"""

TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE runs (
    id INTEGER PRIMARY KEY,
    started_at TEXT NOT NULL,   -- UTC, ISO 8601
    finished_at TEXT,           -- NULL: still running, or killed
    key TEXT NOT NULL,          -- settings and model that masks depend on
    model TEXT NOT NULL,
    model_sha256 TEXT NOT NULL,
    device TEXT NOT NULL,
    provider TEXT NOT NULL,
    precision TEXT NOT NULL,
    settings TEXT NOT NULL,     -- JSON
    tools TEXT NOT NULL,        -- JSON: name -> version
    summary TEXT                -- JSON
);
CREATE TABLE sources (          -- that hold many images; files named one by one have none
    id INTEGER PRIMARY KEY,
    root TEXT NOT NULL UNIQUE,  -- folder, archive or URL, absolute: paths of items start with it
    label TEXT NOT NULL         -- folder of its masks below the output; empty: at the top
);
CREATE TABLE items (
    id INTEGER PRIMARY KEY,
    path TEXT NOT NULL UNIQUE,      -- absolute; bytes that are not UTF-8 are kept as they are
    source TEXT NOT NULL,           -- as it was named
    mask TEXT NOT NULL,             -- below the output folder, with /
    mask_key TEXT NOT NULL UNIQUE,  -- the same without case, composed: two masks are told apart on every disk
    status TEXT NOT NULL CHECK (status IN ('pending', 'done', 'failed')),
    bytes INTEGER NOT NULL,         -- of the image file, as it was read
    mtime_ns INTEGER NOT NULL,
    height INTEGER,                 -- pixels, upright
    width INTEGER,
    lesion_area INTEGER,            -- pixels
    lesion_fraction REAL,           -- of the image's area
    bbox_x0 INTEGER,                -- lesion columns x0 <= x < x1, rows y0 <= y < y1; NULL: empty mask
    bbox_y0 INTEGER,
    bbox_x1 INTEGER,
    bbox_y1 INTEGER,
    confidence REAL,                -- of the mask, 0-1, as the settings of the run define it (confidence_by)
    seconds REAL,                   -- of work on this image, all stages together
    error TEXT,
    key TEXT,                       -- as in runs, of the run that finished the item
    run INTEGER NOT NULL,           -- the last run that took the item on; 0: pending, and not begun by any
    finished_at TEXT,
    sha256 TEXT,                    -- of the mask's file; NULL: no mask, or written before format 2
    version TEXT,                   -- kind:value that tells one content from another, beside bytes and mtime_ns
    epoch INTEGER,                  -- number of the stretch between checkpoints in which it was finished
    remark TEXT,                    -- what a user should know of an image that was read; NULL: nothing
    attempts INTEGER NOT NULL DEFAULT 0, -- how often a process or a run ended on it since it was done or changed
    suitable REAL                   -- 0-1, below 0.5 it does not look like the model's images; NULL: not known
);
-- A query finds it only if it says status <> 'done' in these words.
CREATE INDEX unfinished ON items (status, path) WHERE status <> 'done';
"""


MIGRATIONS = {
    1: """
CREATE TABLE sources (id INTEGER PRIMARY KEY, root TEXT NOT NULL UNIQUE, label TEXT NOT NULL);
ALTER TABLE items ADD COLUMN sha256 TEXT;
ALTER TABLE items ADD COLUMN version TEXT;
ALTER TABLE items ADD COLUMN epoch INTEGER;
UPDATE meta SET value = '2' WHERE key = 'format_version';
PRAGMA user_version = 2;
""",
    2: """
ALTER TABLE items ADD COLUMN remark TEXT;
UPDATE meta SET value = '3' WHERE key = 'format_version';
PRAGMA user_version = 3;
""",
    3: """
ALTER TABLE items ADD COLUMN attempts INTEGER NOT NULL DEFAULT 0;
UPDATE meta SET value = '4' WHERE key = 'format_version';
PRAGMA user_version = 4;
""",
    4: """
ALTER TABLE items ADD COLUMN suitable REAL;
UPDATE meta SET value = '5' WHERE key = 'format_version';
PRAGMA user_version = 5;
""",
}
"""SQL from each format to the next. Sources of rows of format 1 are added when runs name them."""


def ledger_path(out: Path) -> Path:
    """Return the path of the ledger of an output folder."""
    return out / LEDGER_NAME


def open_for_writing(path: Path) -> sqlite3.Connection:
    """Open or create a ledger: in WAL mode, or with a journal on a network file system. Raises :class:`OutputError`."""
    require_utf8()
    _require_own_file(path)
    with sqlite_errors(path):
        connection = sqlite3.connect(path, timeout=BUSY_SECONDS, check_same_thread=False)
        try:
            _require_ours(connection, path, may_be_empty=True)
            connection.text_factory = decode
            # With NORMAL, a commit reaches the operating system but not the disk: a kill loses nothing, a power cut at
            # most the last seconds, and the file stays valid. WAL needs shared memory, so not on network file systems.
            journal = "DELETE" if is_far(str(path)) else "WAL"
            connection.executescript(f"PRAGMA journal_mode = {journal}; PRAGMA synchronous = NORMAL;")
            if _version(connection) == 0:
                _create(connection)
            for version in range(_version(connection), FORMAT_VERSION):
                connection.executescript(f"BEGIN IMMEDIATE; {MIGRATIONS[version]} COMMIT;")
        except BaseException:
            connection.close()
            raise
        return connection


@contextlib.contextmanager
def sqlite_errors(path: Path) -> Iterator[None]:
    """Map SQLite's errors to :class:`OutputError`."""
    try:
        yield
    except sqlite3.Error as error:
        raise OutputError(f"The ledger {printable(str(path))} cannot be used: {_cause(path, str(error))}") from error


def _cause(path: Path, said: str) -> str:
    """Return SQLite's message as a reason, with what was expected and what to do."""
    if "locked" in said:
        return (
            "another program has locked it (a database browser, a backup?); expected that only seg-batch writes to it. "
            "Close that program, then run again to continue."
        )
    if ("readonly" in said or "unable to open" in said) and not os.access(path, os.W_OK):
        return f"{why_not(path, PermissionError(13, 'Permission denied'))}. Get permission, or choose another output."
    if "not a database" in said or "malformed" in said:
        return (
            f"{said}; expected a ledger of seg-batch. Choose another output folder, or restore the ledger from a copy."
        )
    return (
        f"{said}. Expected a ledger on a local disk with free space and write permission. Free space or choose another "
        "output folder, then run again to continue."
    )


def require_utf8() -> None:
    """Raise :class:`OutputError` if file names are not UTF-8 here: a ledger would not recognise its images again."""
    encoding = sys.getfilesystemencoding()
    if encoding.replace("-", "").lower() != "utf8":
        raise OutputError(
            f"Python decodes file names as {encoding} here; expected UTF-8, so that they mean the same in every run. "
            "Set PYTHONUTF8=1, or a locale like C.UTF-8, and run again."
        )


def _require_own_file(path: Path) -> None:
    """Create the ledger's file if it does not exist. Raises :class:`OutputError` if it is not a regular file."""
    if path.is_symlink():
        raise OutputError(
            f"The ledger {printable(str(path))} is a link to {printable(os.readlink(path))}; expected a regular file. "
            "Name the folder where the ledger really is, or choose another output."
        )
    if path.exists() and not path.is_file():
        raise OutputError(f"The ledger {printable(str(path))} is not a regular file. Choose another output folder.")
    try:
        make_for_all(path)
    except OSError as error:
        raise OutputError(
            f"The ledger {printable(str(path))} cannot be written: {why_not(path, error)}. Get write permission, or "
            "choose another output."
        ) from error


def encode(text: str) -> bytes:
    """Return the bytes that ``CAST(? AS TEXT)`` stores for a text, also for file names that are not UTF-8."""
    return text.encode("utf-8", "surrogateescape")


def decode(data: bytes) -> str:
    """Reverse :func:`encode`."""
    return data.decode("utf-8", "surrogateescape")


def _require_ours(connection: sqlite3.Connection, path: Path, *, may_be_empty: bool) -> None:
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if application != APPLICATION_ID and not (may_be_empty and application == 0 and tables == 0):
        raise OutputError(
            f"{path} is a database of another program; expected a ledger of seg-batch, or none. "
            "Choose another output folder."
        )
    if _version(connection) > FORMAT_VERSION:
        raise OutputError(
            f"The ledger {path} has format {_version(connection)}; this release knows up to {FORMAT_VERSION}. "
            "Install the newer release that wrote it, or choose another output folder."
        )


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _create(connection: sqlite3.Connection) -> None:
    """Create all tables in one transaction, so that a kill leaves an empty file, which is not a ledger yet."""
    connection.executescript(
        f"BEGIN; {TABLES} INSERT INTO meta VALUES ('format_version', '{FORMAT_VERSION}');"
        f" PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {FORMAT_VERSION}; COMMIT;"
    )

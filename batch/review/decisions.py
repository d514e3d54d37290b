"""What reviewers decided, in ``review.sqlite`` beside the ledger. Rows are only added, so nobody's decision is lost."""

from __future__ import annotations

import contextlib
import enum
import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, islice
from pathlib import Path
from typing import Any, Self

from batch.errors import OutputError, printable
from batch.ledger.records import now
from batch.ledger.schema import decode, encode
from batch.mounts import is_far

REVIEW_NAME = "review.sqlite"
APPLICATION_ID = 0x5E61AB02
FORMAT_VERSION = 1
BUSY_SECONDS = 30.0
MOST_PATHS = 500
"""Paths per query."""
COLUMNS = "id, path, sha256, action, note, reviewer, decided_at"
TABLES = """
CREATE TABLE IF NOT EXISTS decisions (
    id INTEGER PRIMARY KEY AUTOINCREMENT, -- never used again, so that a reader knows what is new
    path TEXT NOT NULL,                   -- of the image, as in the ledger
    sha256 TEXT,                          -- of the file of the mask that was seen
    action TEXT NOT NULL CHECK (action IN ('accept', 'reject', 'undo', 'note')),
    note TEXT NOT NULL,
    reviewer TEXT NOT NULL,
    decided_at TEXT NOT NULL              -- UTC, ISO 8601
);
CREATE INDEX IF NOT EXISTS by_path ON decisions (path, id);
CREATE TABLE IF NOT EXISTS forgotten (id INTEGER PRIMARY KEY AUTOINCREMENT); -- a row each time images were removed
"""


class Verdict(enum.IntEnum):
    """What holds for a mask now."""

    NONE = 0
    ACCEPTED = 1
    REJECTED = 2


class Action(enum.StrEnum):
    """What a reviewer did. ``UNDO`` takes back the reviewer's last verdict on the image; ``NOTE`` changes the note."""

    ACCEPT = "accept"
    REJECT = "reject"
    UNDO = "undo"
    NOTE = "note"


VERDICTS = {Action.ACCEPT: Verdict.ACCEPTED, Action.REJECT: Verdict.REJECTED}


@dataclass(frozen=True, slots=True)
class Decision:
    """One row: ``path`` of the image, ``sha256`` of the mask's file that was seen, who did what, and when (UTC)."""

    id: int
    path: str
    sha256: str | None
    action: Action
    note: str
    reviewer: str
    decided_at: str


@dataclass(frozen=True, slots=True)
class Standing:
    """What holds for an image: its verdict, its note, and who gave the verdict, and when."""

    verdict: Verdict = Verdict.NONE
    note: str = ""
    reviewer: str = ""
    decided_at: str = ""


def standing_of(decisions: Sequence[Decision], sha256: str | None) -> Standing:
    """Return what the decisions on one image, in their order, mean for its present mask with this ``sha256``.

    Decisions on another mask do not count. None: the ledger does not know the mask's SHA-256, so all count.
    """
    note = next((one.note for one in reversed(_on(decisions, sha256)) if one.action is Action.NOTE), "")
    verdicts = verdicts_of(decisions, sha256)
    if not verdicts:
        return Standing(note=note)
    last = verdicts[-1]
    return Standing(VERDICTS[last.action], note, last.reviewer, last.decided_at)


def verdicts_of(decisions: Sequence[Decision], sha256: str | None) -> list[Decision]:
    """Return the verdicts on an image's present mask that nobody took back; the last one holds."""
    left: list[Decision] = []
    for decision in _on(decisions, sha256):
        if decision.action in VERDICTS:
            left.append(decision)
        elif decision.action is Action.UNDO:
            own = [index for index, verdict in enumerate(left) if verdict.reviewer == decision.reviewer]
            if own:
                del left[own[-1]]
    return left


def _on(decisions: Sequence[Decision], sha256: str | None) -> list[Decision]:
    return [one for one in decisions if sha256 is None or one.sha256 == sha256]


class Decisions:
    """The decisions on one output, for any thread, and beside other programs that add some. ``state``: the folder of
    its ledger. Raises :class:`OutputError` if the file cannot be used.
    """

    def __init__(self, state: Path) -> None:
        self.path = state / REVIEW_NAME
        self._lock = threading.Lock()
        with self._errors():
            self._connection = sqlite3.connect(
                self.path, timeout=BUSY_SECONDS, check_same_thread=False, isolation_level=None
            )
            try:
                self._prepare()
            except BaseException:
                self._connection.close()
                raise

    @classmethod
    def present(cls, state: Path) -> Decisions | None:
        """Return the decisions on an output; None if it has no file of decisions."""
        return cls(state) if os.path.lexists(state / REVIEW_NAME) else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    def add(
        self, path: str, sha256: str | None, action: Action, reviewer: str, note: str = "", after: int | None = None
    ) -> bool:
        """Add a decision; when this returns, it is on the disk. ``after``: the number of the image's last decision that
        is known, 0 for none; nothing is added, and False returned, if there is a later one.
        """
        values = (encode(path), sha256, action, encode(note), encode(reviewer), now(), after, encode(path), after)
        text = (
            "INSERT INTO decisions (path, sha256, action, note, reviewer, decided_at) "
            "SELECT CAST(? AS TEXT), ?, ?, CAST(? AS TEXT), CAST(? AS TEXT), ? WHERE ? IS NULL OR "
            "(SELECT coalesce(max(id), 0) FROM decisions WHERE path = CAST(? AS TEXT)) = ? RETURNING id"
        )
        return bool(self._all(text, values))

    def of(self, paths: Sequence[str]) -> dict[str, list[Decision]]:
        """Return the decisions on images, by path, in their order; nothing for images without any."""
        found: dict[str, list[Decision]] = {}
        for some in _some_at_a_time(paths):
            marks = ", ".join(["CAST(? AS TEXT)"] * len(some))
            text = f"SELECT {COLUMNS} FROM decisions WHERE path IN ({marks}) ORDER BY path, id"
            rows = map(_decision, self._all(text, tuple(map(encode, some))))
            found |= {path: list(same) for path, same in groupby(rows, lambda decision: decision.path)}
        return found

    def last(self) -> int:
        """Return the number of the last decision; 0 if there is none."""
        return int(self._all("SELECT coalesce(max(id), 0) FROM decisions")[0][0])

    def changed_since(self, number: int) -> Iterator[list[str]]:
        """Yield the images with decisions after this number, by path, some at a time."""
        after = b""
        text = (
            "SELECT DISTINCT path FROM decisions WHERE id > ? AND path > CAST(? AS TEXT) "
            f"ORDER BY path LIMIT {MOST_PATHS}"
        )
        while rows := self._all(text, (number, after)):
            paths = [path for (path,) in rows]
            yield paths
            after = encode(paths[-1])

    def forget(self, paths: Iterable[str], *, purge: bool = False) -> int:
        """Delete the decisions on images and return their number. ``purge``: overwrite them."""
        removed = 0
        for some in _some_at_a_time(paths):
            marks = ", ".join(["CAST(? AS TEXT)"] * len(some))
            self._all(f"PRAGMA secure_delete = {'ON' if purge else 'OFF'}")
            removed += len(
                self._all(f"DELETE FROM decisions WHERE path IN ({marks}) RETURNING id", tuple(map(encode, some)))
            )
        return removed

    def note_forgotten(self) -> None:
        """Tell programs that have the output open to read its ledger again before their next answer."""
        self._all("INSERT INTO forgotten DEFAULT VALUES")

    @property
    def times_forgotten(self) -> int:
        """Return how often images were removed from the output."""
        return int(self._all("SELECT coalesce(max(id), 0) FROM forgotten")[0][0])

    def _all(self, text: str, values: tuple[object, ...] = ()) -> list[Any]:
        with self._errors(), self._lock:
            return self._connection.execute(text, values).fetchall()

    def _prepare(self) -> None:
        self._require_ours()
        self._connection.text_factory = decode
        journal = "DELETE" if is_far(str(self.path)) else "WAL"  # WAL needs memory that programs share
        self._connection.executescript(f"PRAGMA journal_mode = {journal}; PRAGMA synchronous = FULL;")
        self._connection.executescript(
            f"BEGIN IMMEDIATE; {TABLES} PRAGMA application_id = {APPLICATION_ID}; "
            f"PRAGMA user_version = {FORMAT_VERSION}; COMMIT;"
        )

    def _require_ours(self) -> None:
        application, version, tables = (
            self._connection.execute(text).fetchone()[0]
            for text in ("PRAGMA application_id", "PRAGMA user_version", "SELECT count(*) FROM sqlite_master")
        )
        if application != APPLICATION_ID and (application or tables):
            raise OutputError(
                f"{printable(str(self.path))} is a database of another program; expected decisions of `seg-batch "
                "review`, or no such file. Move it away, then run again."
            )
        if version > FORMAT_VERSION:
            raise OutputError(
                f"{printable(str(self.path))} has format {version}; this release knows up to {FORMAT_VERSION}. "
                "Install the newer release that wrote it."
            )

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        """Map SQLite's errors to :class:`OutputError`."""
        try:
            yield
        except sqlite3.Error as error:
            raise OutputError(
                f"{printable(str(self.path))} cannot be used: {error}. Expected a database of decisions, or none, in a "
                "folder with write permission and free space. Correct that, then run again."
            ) from error


def _some_at_a_time(paths: Iterable[str]) -> Iterator[tuple[str, ...]]:
    remaining = iter(paths)
    while some := tuple(islice(remaining, MOST_PATHS)):
        yield some


def _decision(row: tuple[Any, ...]) -> Decision:
    decision = Decision(*row)
    return replace(decision, action=Action(decision.action))

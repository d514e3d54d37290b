"""The ledger: what happened to every image. One thread writes it, in transactions that several images share.

A mask's name is claimed, and the claim committed, before the mask can exist; a row is ``done`` only after its mask has
been moved into place. So whatever is killed when, the next run finds the same names, and does again what is not done.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from batch.errors import OutputError
from batch.figures import Figures
from batch.ledger.claims import Claims, Present
from batch.ledger.records import Claim, Claimed, RunRecord, now
from batch.ledger.schema import MASKS, encode, ledger_path, open_for_writing, sqlite_errors
from batch.naming import NameTemplate
from batch.sources.image_ref import ImageRef, Origin

LOCK_NAME = ".seg-batch.lock"
COMMIT_SECONDS = 0.5
"""Results wait for their transaction at most about this long; a kill costs that much work."""
NOTED_TOGETHER = 64
"""Ends of items that go to the database together, for a statement each would cost more than the work."""
NAME_TEMPLATE = "name_template"

FINISH_ITEM = """
UPDATE items SET status = ?, bytes = ?, mtime_ns = ?, version = ?, sha256 = ?, height = ?, width = ?,
    lesion_area = ?, lesion_fraction = ?, bbox_x0 = ?, bbox_y0 = ?, bbox_x1 = ?, bbox_y1 = ?, confidence = ?,
    seconds = ?, error = CAST(? AS TEXT), key = ?, finished_at = ?
WHERE id = ?
"""
REOPEN_ITEM = "UPDATE items SET status = 'pending' WHERE mask = CAST(? AS TEXT)"
NO_BBOX = (None, None, None, None)


@dataclass(frozen=True, slots=True)
class Finish:
    """What the ledger is told about an item's end: ``error`` or ``figures``; the file's state as it was read.

    ``sha256``: of the mask's file.
    """

    row: int
    bytes: int
    mtime_ns: int
    seconds: float
    figures: Figures | None = None
    error: str | None = None
    version: str = ""
    sha256: str = ""


@contextlib.contextmanager
def locked(out: Path) -> Iterator[None]:
    """Make the output folder and hold it for this process. Raises :class:`OutputError` if another run has it."""
    from filelock import FileLock, Timeout

    try:
        out.mkdir(parents=True, exist_ok=True)
        lock = FileLock(out / LOCK_NAME, timeout=0)
        lock.acquire()
    except Timeout as error:
        raise OutputError(
            f"Another run is writing to {out}; expected an output folder that is not in use. Wait for its end "
            f"(`seg-batch status {out}` shows how far it is), or choose another folder."
        ) from error
    except OSError as error:
        raise OutputError(
            f"The output folder {out} cannot be written: {error.strerror or error}. Expected a folder with write "
            "permission and free space. Choose another one."
        ) from error
    try:
        yield
    finally:
        lock.release()


def reopen(out: Path, masks: Iterable[str]) -> None:
    """Let the next run do images again, named by their masks. To be called while the output folder is held."""
    path = ledger_path(out)
    with sqlite_errors(path), contextlib.closing(open_for_writing(path)) as connection, connection:
        connection.executemany(REOPEN_ITEM, ((encode(mask),) for mask in masks))


class Ledger:
    """The ledger in a folder, open for one run. Use it in one thread, and close it.

    ``present``: see :data:`batch.ledger.claims.Present`. ``masks``: where they go, unless in the folder itself.
    ``origins``: the sources of the run.
    """

    def __init__(
        self,
        folder: Path,
        template: NameTemplate,
        record: RunRecord,
        present: Present,
        masks: str | None = None,
        origins: Iterable[Origin] = (),
    ) -> None:
        self._folder = folder
        self._path = ledger_path(folder)
        self._masks = masks
        self._template = template
        self._key = record.key
        self._connection = open_for_writing(self._path)
        self._last_commit = time.monotonic()
        self._noted: list[Finish] = []
        try:
            with sqlite_errors(self._path):
                self._require_template()
                self._require_masks()
                self._run = self._begin(record)
                self._claims = Claims(self._connection, template, present, record.key, self._run, origins)
        except BaseException:
            self._connection.close()
            raise

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def unfinished(self) -> list[str]:
        """Return the mask names of items that a run took on and did not finish."""
        with sqlite_errors(self._path):
            rows = self._connection.execute("SELECT mask FROM items WHERE status = 'pending' AND status <> 'done'")
            return [mask for (mask,) in rows]

    def claim(self, items: Sequence[ImageRef]) -> list[Claimed]:
        """Find or make a row and a mask name for each item, in order, and commit: nothing may be written before."""
        with sqlite_errors(self._path):
            claimed = self._claims.claim(items)
            if any(entry.claim is Claim.TODO for entry in claimed):
                self.commit()
            return claimed

    def finish(self, finish: Finish) -> None:
        """Note an item's end; it is on record with the next commit, which is at most half a second away."""
        self._noted.append(finish)
        if len(self._noted) >= NOTED_TOGETHER:
            self._put_down()
        if time.monotonic() - self._last_commit > COMMIT_SECONDS:
            self.commit()

    def commit(self) -> None:
        """Put what was noted on record."""
        self._put_down()
        with sqlite_errors(self._path):
            self._connection.commit()
        self._last_commit = time.monotonic()

    def _put_down(self) -> None:
        at = now()
        with sqlite_errors(self._path):
            self._connection.executemany(FINISH_ITEM, [self._finished(finish, at) for finish in self._noted])
        self._noted.clear()

    def _finished(self, finish: Finish, at: str) -> tuple[Any, ...]:
        found = finish.figures
        measured: tuple[Any, ...] = (None, None, None, None, *NO_BBOX, None)
        if found is not None:
            sizes = (found.height, found.width, found.lesion_area, found.lesion_fraction)
            measured = (*sizes, *(found.bbox or NO_BBOX), found.confidence)
        status = "done" if found is not None else "failed"
        error = None if finish.error is None else encode(finish.error)
        state = (finish.bytes, finish.mtime_ns, finish.version or None, finish.sha256 or None)
        return (status, *state, *measured, finish.seconds, error, self._key, at, finish.row)

    def end_run(self, summary: dict[str, Any]) -> None:
        """Note the run's end, with its counts and rate."""
        with sqlite_errors(self._path):
            self._connection.execute(
                "UPDATE runs SET finished_at = ?, summary = ? WHERE id = ?", (now(), json.dumps(summary), self._run)
            )
            self.commit()

    def close(self) -> None:
        """Close the file. What was noted since the last commit is lost."""
        self._connection.close()

    def _require_template(self) -> None:
        row = self._connection.execute("SELECT value FROM meta WHERE key = ?", (NAME_TEMPLATE,)).fetchone()
        if row is None:
            self._connection.execute("INSERT INTO meta VALUES (?, ?)", (NAME_TEMPLATE, self._template.text))
        elif row[0] != self._template.text:
            raise OutputError(
                f"The masks of {self._folder} are called {row[0]!r}, and this run asks for {self._template.text!r}; "
                "expected one template in one folder. Use --name as before, or another output folder."
            )

    def _require_masks(self) -> None:
        known = self._connection.execute("SELECT count(*) FROM runs").fetchone()[0]
        row = self._connection.execute("SELECT value FROM meta WHERE key = ?", (MASKS,)).fetchone()
        before = None if row is None else row[0]
        if known and before != self._masks:
            raise OutputError(
                f"The masks of the ledger in {self._folder} go to {before or 'its own folder'}, and this run names "
                f"{self._masks or 'that folder'}; expected one place for one ledger. Name it as before, or another "
                "folder for the ledger (--ledger)."
            )
        if not known and self._masks is not None:
            self._connection.execute("INSERT INTO meta VALUES (?, CAST(? AS TEXT))", (MASKS, encode(self._masks)))

    def _begin(self, record: RunRecord) -> int:
        values = (
            now(),
            record.key,
            encode(record.model),
            record.model_sha256,
            record.device,
            record.provider,
            record.precision,
            json.dumps(record.settings),
            json.dumps(record.tools),
        )
        cursor = self._connection.execute(
            "INSERT INTO runs (started_at, key, model, model_sha256, device, provider, precision, settings, tools) "
            "VALUES (?, ?, CAST(? AS TEXT), ?, ?, ?, ?, ?, ?)",
            values,
        )
        self._connection.commit()
        if cursor.lastrowid is None:
            raise sqlite3.DatabaseError("the run got no number")
        return cursor.lastrowid

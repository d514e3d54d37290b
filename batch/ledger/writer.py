"""Write the ledger, the record of every image's outcome. One thread writes it, in transactions of several images.

A mask's name is claimed, and the claim committed, before the mask can exist. A row is ``done`` only after its mask has
been moved into place. So after a kill at any moment, the next run finds the same names and redoes what is not done.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from batch.errors import OutputError, printable
from batch.figures import Finish
from batch.ledger.checkpoints import Checkpoints, this_boot
from batch.ledger.claims import NOT_BEGUN, Claims, Present
from batch.ledger.meta import Meta
from batch.ledger.records import Claim, Claimed, RunRecord, now
from batch.ledger.schema import encode, ledger_path, open_for_writing, sqlite_errors
from batch.naming import Naming
from batch.sources.image_ref import ImageRef, Origin

COMMIT_SECONDS = 0.5
"""Results wait about this long for their transaction; a kill costs at most that much work."""
NOTED_TOGETHER = 64
"""Outcomes that go to the database together: one statement each would cost more than the work."""
FINISH_ITEM = """
UPDATE items SET status = ?, bytes = ?, mtime_ns = ?, version = ?, sha256 = ?, epoch = ?, height = ?, width = ?,
    lesion_area = ?, lesion_fraction = ?, bbox_x0 = ?, bbox_y0 = ?, bbox_x1 = ?, bbox_y1 = ?, confidence = ?,
    suitable = ?, seconds = ?, error = CAST(? AS TEXT), remark = ?, attempts = ?, key = ?, finished_at = ?
WHERE id = ?
"""
FINISH_UNREAD = """
UPDATE items SET status = 'failed', error = CAST(? AS TEXT), seconds = ?, attempts = ?,
    finished_at = CASE WHEN sha256 IS NULL THEN ? ELSE finished_at END
WHERE id = ?
"""
"""Keeps what is known of an earlier state of the image, as its mask is kept."""
BLAME_ITEM = "UPDATE items SET attempts = attempts + 1 WHERE id = ? AND status = 'pending'"
SET_BACK_ITEM = f"UPDATE items SET run = {NOT_BEGUN} WHERE id = ? AND status = 'pending'"
REOPEN_ITEM = "UPDATE items SET status = 'pending' WHERE mask = CAST(? AS TEXT)"
NO_BBOX = (None, None, None, None)


@dataclass(frozen=True, slots=True)
class Doubtful:
    """A mask that may not have reached the disk, with its SHA-256, and when it was finished (UTC, ISO 8601)."""

    mask: str
    sha256: str
    finished_at: str


def reopen(out: Path, masks: Iterable[str]) -> None:
    """Let the next run redo the images of these masks. Call it while the output folder is locked."""
    path = ledger_path(out)
    with sqlite_errors(path), contextlib.closing(open_for_writing(path)) as connection, connection:
        connection.executemany(REOPEN_ITEM, ((encode(mask),) for mask in masks))


class Ledger:
    """The ledger in a folder, open for one run. Use it in one thread, and close it.

    ``present``: see :data:`batch.ledger.claims.Present`. ``masks``: where masks go, if not in the folder itself.
    ``origins``: the sources of the run. ``sync``: see :class:`batch.ledger.checkpoints.Checkpoints`.

    ``owner``: what the marks of its folders say. ``doubts``: whether masks of earlier runs may be lost;
    ``has_restarted``: whether by a restart of the system.
    """

    def __init__(
        self,
        folder: Path,
        naming: Naming,
        record: RunRecord,
        present: Present,
        masks: str | None = None,
        origins: Iterable[Origin] = (),
        sync: Callable[[], None] = lambda: None,
    ) -> None:
        self._path = ledger_path(folder)
        self._key = record.key
        self._connection = open_for_writing(self._path)
        self._file = self._identity()
        self._last_commit = time.monotonic()
        self._noted: list[Finish] = []
        try:
            with sqlite_errors(self._path):
                self._meta = Meta(self._connection, folder)
                self._meta.require_naming(naming)
                self._meta.require_masks(masks)
                self.owner = self._meta.owner
                self.has_restarted = self._meta.has_restarted(this_boot())
                self.doubts = self.has_restarted or self._meta.was_killed()
                self._run = self._begin(record)
                self._checkpoints = Checkpoints(self._run, sync)
                self._claims = Claims(self._connection, naming, present, record.key, self._run, origins)
        except BaseException:
            self._connection.close()
            raise

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def unfinished(self) -> list[str]:
        """Return the mask names of images that a run began and did not finish."""
        with sqlite_errors(self._path):
            # SQLite uses the partial index (schema.py) only for its own condition, status <> 'done'.
            rows = self._connection.execute("SELECT mask FROM items WHERE status = 'pending' AND status <> 'done'")
            return [mask for (mask,) in rows]

    @property
    def is_new(self) -> bool:
        """Return whether this is the first run of the ledger."""
        return self._run == 1

    def doubtful(self) -> list[Doubtful]:
        """Return the masks that were written after the last checkpoint of earlier runs."""
        with sqlite_errors(self._path):
            rows = self._connection.execute(
                "SELECT mask, sha256, finished_at FROM items WHERE epoch > ? AND sha256 IS NOT NULL",
                (self._meta.synced,),
            )
            return [Doubtful(*row) for row in rows]

    def reopen(self, masks: Iterable[str]) -> None:
        """Let this run redo the images of these masks."""
        with sqlite_errors(self._path):
            self._connection.executemany(REOPEN_ITEM, ((encode(mask),) for mask in masks))
            self.commit()

    def used(self, setting: str) -> set[Any]:
        """Return the values that a setting had in the runs before this one."""
        with sqlite_errors(self._path):
            return self._meta.used(setting, self._run)

    def known_below(self, root: str) -> int:
        """Return how many images below a source's root are done."""
        text = "SELECT count(*) FROM items WHERE path >= CAST(? AS TEXT) AND path < CAST(? AS TEXT) AND status = 'done'"
        with sqlite_errors(self._path):
            bounds = (encode(root + "/"), encode(root + "0"))
            return int(self._connection.execute(text, bounds).fetchone()[0])

    def labels(self) -> dict[str, str]:
        """Return the folder of masks of each source that holds many images, by its root."""
        with sqlite_errors(self._path):
            return dict(self._connection.execute("SELECT root, label FROM sources"))

    def claim(self, items: Sequence[ImageRef]) -> list[Claimed]:
        """Find or make a row and a mask name for each item, in order, and commit, so that masks may be written."""
        with sqlite_errors(self._path):
            claimed = self._claims.claim(items)
            if any(entry.claim is Claim.TODO for entry in claimed):
                self.commit()
            return claimed

    def blame(self, rows: Iterable[int]) -> None:
        """Count an attempt for images during which a process or a whole run ended, and commit."""
        with sqlite_errors(self._path):
            self._connection.executemany(BLAME_ITEM, ((row,) for row in rows))
            self.commit()

    def set_back(self, rows: Iterable[int]) -> None:
        """Note that this run did not begin these images, so that no file of their names is taken for its own."""
        with sqlite_errors(self._path):
            self._connection.executemany(SET_BACK_ITEM, ((row,) for row in rows))

    def finish(self, finish: Finish) -> None:
        """Note an image's outcome; it is committed within half a second if :meth:`keep_up` is called."""
        self._noted.append(finish)
        if len(self._noted) >= NOTED_TOGETHER:
            self._put_down()

    def keep_up(self) -> None:
        """Commit if it is due. Call it repeatedly, also while nothing is finished."""
        if time.monotonic() - self._last_commit > COMMIT_SECONDS:
            self.commit()

    def commit(self) -> None:
        """Commit what was noted. Raises :class:`OutputError` if the ledger's file was removed or replaced."""
        self._put_down()
        with sqlite_errors(self._path):
            self._connection.commit()
            if (synced := self._checkpoints.turn()) is not None:
                self._meta.synced = synced
        self._last_commit = time.monotonic()
        self._require_in_place()

    def _put_down(self) -> None:
        at = now()
        with sqlite_errors(self._path):
            unread = [finish for finish in self._noted if not finish.was_read]
            read = [finish for finish in self._noted if finish.was_read]
            self._connection.executemany(FINISH_ITEM, [self._finished(finish, at) for finish in read])
            self._connection.executemany(
                FINISH_UNREAD,
                [(encode(finish.error or ""), finish.seconds, finish.attempts, at, finish.row) for finish in unread],
            )
        self._noted.clear()

    def _require_in_place(self) -> None:
        if self._identity() != self._file:
            raise OutputError(
                f"The ledger {printable(str(self._path))} was removed, moved or replaced while the run wrote to it. "
                "Every image that it records as done has its mask. Put the output back and run again, or start with a "
                "new output."
            )

    def _identity(self) -> tuple[int, int] | None:
        try:
            state = os.stat(self._path)
        except OSError:
            return None
        return state.st_dev, state.st_ino

    def _finished(self, finish: Finish, at: str) -> tuple[Any, ...]:
        found = finish.figures
        measured: tuple[Any, ...] = (None, None, None, None, *NO_BBOX, None, None)
        if found is not None:
            sizes = (found.height, found.width, found.lesion_area, found.lesion_fraction)
            measured = (*sizes, *(found.bbox or NO_BBOX), found.confidence, found.suitable)
        status = "done" if found is not None else "failed"
        error = None if finish.error is None else encode(finish.error)
        made = (finish.sha256, self._checkpoints.epoch) if found is not None and finish.sha256 else (None, None)
        state = (finish.bytes, finish.mtime_ns, finish.version or None, *made)
        remark = finish.remark if found is not None and finish.remark else None
        done = (finish.seconds, error, remark, finish.attempts)
        return (status, *state, *measured, *done, self._key, at, finish.row)

    def end_run(self, summary: dict[str, Any]) -> None:
        """Record the end of the run, with its counts and rate."""
        with sqlite_errors(self._path):
            self._connection.execute(
                "UPDATE runs SET finished_at = ?, summary = ? WHERE id = ?", (now(), json.dumps(summary), self._run)
            )
            self.commit()

    def close(self) -> None:
        """Close the file. Outcomes noted since the last commit are lost."""
        self._connection.close()

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

"""Take in images: they are found by the walk, claimed in the ledger, and become tasks or, without work, results."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from batch.executors.blame import ATTEMPTS, given_up
from batch.ledger.records import Claim, Claimed, Result, Status
from batch.ledger.writer import Ledger
from batch.outputs.base import Store
from batch.running.pictures import Pictures
from batch.running.read_ahead import ReadAhead
from batch.running.report import RunReport
from batch.running.timing import Stages
from batch.settings import RunSettings
from batch.steps.task import Task

CHUNK = 32
"""The most images claimed in one transaction."""
LATER_COPIES = (
    "repeated names in a compressed tar or a stream, of which only the first counts; decompress the tar and name it"
)


class Intake:
    """The tasks of one run. For one thread.

    ``error``: why the walk ended early; images found before are still done. ``relays``: whether masks are written by
    the run and not by workers.
    """

    def __init__(
        self,
        settings: RunSettings,
        walk: ReadAhead,
        ledger: Ledger,
        store: Store,
        pictures: Pictures,
        report: RunReport,
        stages: Stages,
        *,
        relays: bool,
    ) -> None:
        self._under_way: dict[int, Task] = {}
        self._results: list[Result] = []
        self.error: Exception | None = None
        self._walk, self._ledger, self._stages = walk, ledger, stages
        self._store, self._pictures, self._report, self._relays = store, pictures, report, relays
        self._limit, self._accepted = settings.limit, 0

    def groups(self) -> Iterator[list[Task] | None]:
        """Yield lists of tasks, empty if images need no work; None if none are found now. See
        :class:`batch.executors.base.Executor`.
        """
        while not self._report.interrupted:
            most = CHUNK if self._limit is None else min(CHUNK, self._limit - self._accepted)
            try:
                images = self._walk.take(most) if most else None
            except Exception as error:
                self.error = error
                return
            if images is None:
                return
            if not images:
                yield None
                continue
            with self._stages.ledger():
                claimed = self._ledger.claim(images)
            yield [task for entry in claimed if (task := self._task(entry)) is not None]

    @property
    def unsettled(self) -> list[Task]:
        """Return the tasks that were handed out and have no outcome yet."""
        return list(self._under_way.values())

    def take_results(self) -> list[Result]:
        """Return the results of images that need no work, and forget them."""
        results, self._results = self._results, []
        self._stages.add(os.getpid(), "", [self._walk.span()])
        return results

    def settled(self, row: int) -> Task:
        """Return the task of a finished row, and forget it."""
        task = self._under_way.pop(row)
        self._walk.release(task.image.held)
        return task

    def _task(self, entry: Claimed) -> Task | None:
        """Return the task for an image; None if its result is already known."""
        task = self._to_do(entry)
        if task is None:
            self._walk.release(entry.item.content.held)
        else:
            self._under_way[task.row] = task
        return task

    def _to_do(self, entry: Claimed) -> Task | None:
        if entry.claim is Claim.REPEATED:
            self._note_repeated(entry)
            return None
        task = Task(
            entry.row, entry.item.path, entry.mask, entry.item.content, entry.is_fresh, entry.made, entry.attempts,
            is_torn=entry.is_torn,
        )  # fmt: skip
        if entry.claim is Claim.TODO:
            self._accepted += 1
            if entry.attempts >= ATTEMPTS:
                self._give_up(entry)
                return None
            return task
        if self._pictures.lacks_overlay(entry.mask):
            return self._redrawn(entry, task)
        self._add(entry, Status.SKIPPED)
        return None

    def _redrawn(self, entry: Claimed, task: Task) -> Task | None:
        """Return a task that draws the overlay again, with the mask if only this process can read it (an archive)."""
        try:
            drawn = self._store.read(entry.mask) if self._relays else None
        except OSError as error:
            self._add(
                entry, Status.FAILED, f"Its mask cannot be read: {error.strerror or error}. Run `seg-batch verify`."
            )
            return None
        return task._replace(redraw=True, drawn=drawn)

    def _note_repeated(self, entry: Claimed) -> None:
        self._report.repeated += 1
        if entry.item.content.held:  # its first copy is already in work, and cannot be replaced
            self._report.sources.leave_out(LATER_COPIES, entry.item.path)

    def _give_up(self, entry: Claimed) -> None:
        finish = given_up(entry.row)
        if not entry.is_fresh:
            with contextlib.suppress(OSError):  # the killed runs may have left any state
                self._pictures.remove(entry.mask, entry.made)
        self._ledger.finish(finish)
        self._add(entry, Status.FAILED, finish.error)

    def _add(self, entry: Claimed, status: Status, error: str | None = None) -> None:
        self._report.add(status)
        self._results.append(Result(entry.item.path, self._store.where(entry.mask), status, error=error))

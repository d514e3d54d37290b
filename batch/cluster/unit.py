"""Do one unit: read its part of the manifest, make its masks, and commit them by writing its part of the ledger."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from batch.cluster.attempts import Begun, Care, marked
from batch.cluster.files.job import IN_TARS, OpenJob
from batch.cluster.files.manifest import Entry, read_part
from batch.cluster.files.names import MASKS, Attempt, UnitName
from batch.cluster.files.parts import NOWHERE, Row, Summary, encode_rows, read_summary, reasons_of, row_of
from batch.cluster.files.place import Place, local_folder
from batch.cluster.files.tars import MaskTar
from batch.errors import ProcessError
from batch.executors.base import Executor
from batch.executors.in_process import InProcess
from batch.executors.placement import Share
from batch.executors.workers import Workers
from batch.figures import Finish
from batch.ledger.records import now
from batch.outputs.base import FolderStore, MaskFiles
from batch.outputs.remote import RemoteStore
from batch.settings import RunSettings
from batch.steps.task import Outcome, Task
from batch.steps.work import reason_of
from seglab.words import counted

if TYPE_CHECKING:
    from export.runtime.model import Model

CHUNK = 32
"""Images that are handed to the executor together."""
GIVEN_UP = (
    "Two worker processes ended while this was their only image. Check the file, or give the workers more memory; "
    "`--retry` tries it again."
)
ATTEMPTS_OF_IMAGE = 2


@dataclass(frozen=True)
class UnitResult:
    """What came of a unit; small, for the engine. ``was_done``: by an earlier attempt. ``error``: why it is not done.

    ``reasons``: of failed images, with their number. ``seconds``: of work.
    """

    unit: str
    images: int = 0
    done: int = 0
    failed: int = 0
    seconds: float = 0.0
    was_done: bool = False
    error: str | None = None
    reasons: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, summary: Summary, *, was_done: bool = False) -> UnitResult:
        """Return the result of a unit that is done."""
        counts = (summary.images, summary.done, summary.failed)
        return cls(summary.unit, *counts, summary.seconds, was_done, reasons=summary.reasons)


class Watch:
    """What is told how a unit proceeds; this one does nothing."""

    def beat(self) -> None:
        """Take note that images were finished."""

    def rest(self) -> None:
        """Take note that no image is worked on."""

    def check(self) -> None:
        """Raise :class:`ProcessError` if the unit is to end before it is done."""


def do_unit(
    unit: UnitName,
    settings: RunSettings,
    model: Model,
    job: OpenJob,
    watch: Watch | None = None,
    threads: int | None = None,
) -> UnitResult:
    """Do a unit in this process, unless it is done already; of several attempts, the first that commits counts.

    ``settings``: of :meth:`batch.cluster.files.job.Job.settings`. ``model``: open, of the job's file. ``threads``: of
    the CPU; None: all cores. An error after which other units may still be done is in the result; then nothing of this
    attempt counts.
    """
    try:
        summary = read_summary(job.place, unit)
        if summary is not None:
            return UnitResult.of(summary, was_done=True)
        entries = read_part(job.place, unit, job.job.key, job.job.plan)
        with marked(job.place, Attempt.new(unit)) as begun:
            return _Attempted(begun, settings, model, job, watch or Watch(), threads).do(entries)
    except Exception as error:  # an engine would take any error for one of the whole job
        return UnitResult(str(unit), error=reason_of(error))


class _Attempted:
    """One attempt at a unit."""

    def __init__(
        self, begun: Begun, settings: RunSettings, model: Model, job: OpenJob, watch: Watch, threads: int | None
    ) -> None:
        self._begun, self._attempt, self._care = begun, begun.attempt, begun.care
        self._settings, self._model, self._watch, self._threads = settings, model, watch, threads
        self._job, self._place = job.job, job.place
        self._store = None if self._job.masks == IN_TARS else _mask_files(self._place)
        self._notes: list[str] = []

    def do(self, entries: Sequence[Entry]) -> UnitResult:
        began_at, begun = now(), time.perf_counter()
        with MaskTar(self._attempt) as tar:
            rows = self._rows(entries, tar)
            self._watch.rest()
            tar.upload(self._place)
            summary = self._summary(rows, began_at, time.perf_counter() - begun)
            return self._commit(rows, summary)

    def _rows(self, entries: Sequence[Entry], tar: MaskTar) -> list[Row]:
        """Make the masks, and return a row for each image."""
        rows: list[Row | None] = [None] * len(entries)
        given_up = {number for number in self._begun.given_up if 1 <= number <= len(entries)}
        for number in given_up:
            finish = Finish(number, error=GIVEN_UP, was_read=False, attempts=ATTEMPTS_OF_IMAGE)
            rows[number - 1] = row_of(entries[number - 1], finish)
        tasks = [
            Task(number, entry.path, entry.mask, entry.content, attempts=0)
            for number, entry in enumerate(entries, 1)
            if number not in given_up
        ]
        for outcome in self._outcomes(tasks):
            entry, finish, stored = entries[outcome.row - 1], outcome.finish or Finish(outcome.row), NOWHERE
            if finish.error is None and outcome.mask is not None:
                stored = tar.add(entry.mask, outcome.mask)
            rows[outcome.row - 1] = row_of(entry, finish, stored)
        complete = [row for row in rows if row is not None]
        if len(complete) < len(entries):
            raise ProcessError(
                f"{counted(len(entries) - len(complete), 'image')} without a result. Run again to do the unit."
            )
        return complete

    def _outcomes(self, tasks: Sequence[Task]) -> Iterator[Outcome]:
        if not tasks:
            return
        with contextlib.closing(self._executor()) as executor:
            executor.open()
            self._beat()
            line = _Line(tasks, self._begun)
            for turn in executor.run(line.groups()):
                self._watch.check()
                if turn.outcomes:
                    self._beat()
                line.settled(len(turn.outcomes))
                yield from turn.outcomes
            self._notes += executor.notes

    def _beat(self) -> None:
        if self._care is Care.TOGETHER:  # else the executor watches its processes
            self._watch.beat()

    def _executor(self) -> Executor:
        if self._care is Care.TOGETHER:
            return InProcess(self._settings, self._model, self._store, self._threads)
        share = Share(self._model.device.name, threads=self._threads)
        return Workers(replace(self._settings, device=share.device), [share], self._store)

    def _summary(self, rows: Sequence[Row], began_at: str, seconds: float) -> Summary:
        done = sum(row.is_done for row in rows)
        device = self._model.device
        return Summary(
            str(self._attempt.unit), self._attempt.id, len(rows), done, len(rows) - done, round(seconds, 3), began_at,
            now(), device.name, self._job.model.precision, socket.gethostname(), reasons_of(rows), self._notes,
        )  # fmt: skip

    def _commit(self, rows: Sequence[Row], summary: Summary) -> UnitResult:
        """Write the part of the ledger, if there is none. A lost answer makes an own part look like another's."""
        unit = self._attempt.unit
        if self._place.create(unit.ledger, encode_rows(rows, summary)):
            return UnitResult.of(summary)
        found = read_summary(self._place, unit)
        if found is None:
            raise ProcessError(f"{unit} was reset by `verify --redo` while it was finished. Run again to do it.")
        if found.attempt == self._attempt.id:
            return UnitResult.of(summary)
        self._place.remove(self._attempt.tar)
        return UnitResult.of(found, was_done=True)


class _Line:
    """The tasks of a unit on their way to an executor; in :attr:`Care.ONE_BY_ONE` each waits for the one before."""

    def __init__(self, tasks: Sequence[Task], begun: Begun) -> None:
        self._tasks, self._begun, self._out = tasks, begun, 0

    def groups(self) -> Iterator[Sequence[Task] | None]:
        """Yield groups; None while none may be begun."""
        if self._begun.care is not Care.ONE_BY_ONE:
            yield from (self._tasks[start : start + CHUNK] for start in range(0, len(self._tasks), CHUNK))
            return
        for task in self._tasks:
            while self._out:
                yield None
            self._begun.note(task.row)
            self._out = 1
            yield [task]

    def settled(self, count: int) -> None:
        """Take note of finished images."""
        self._out = max(0, self._out - count)


def _mask_files(place: Place) -> MaskFiles:
    folder = local_folder(place)
    if folder is not None:
        (folder / MASKS).mkdir(exist_ok=True)
        return FolderStore(folder / MASKS)
    return RemoteStore(f"{place.name}/{MASKS}")

"""One run over an archive: connects the walk, the ledger and the executor, all in the caller's thread."""

from __future__ import annotations

import contextlib
import time
import weakref
from collections.abc import Generator, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from batch.errors import OutputError, ProcessError, cannot_write
from batch.executors.base import Turn
from batch.executors.choice import executor_for
from batch.failure_limit import FailureLimit
from batch.figures import Finish
from batch.ledger.opening import last_run
from batch.ledger.records import Result, Status
from batch.ledger.schema import ledger_path, require_utf8
from batch.ledger.writer import Ledger
from batch.mounts import is_far
from batch.outputs.base import why_not_written
from batch.outputs.probabilities import ProbFiles
from batch.outputs.spec import Output
from batch.running.intake import Intake
from batch.running.label_maps import fit_to_classes
from batch.running.pictures import Pictures
from batch.running.places import require_apart, require_free, take_possession
from batch.running.read_ahead import ReadAhead
from batch.running.recovery import reopen_lost, require_something_there
from batch.running.report import RunReport
from batch.running.setup import (
    as_last_run,
    describe,
    describe_in_short,
    device_of_masks,
    naming_of,
    notes_on_masks,
    record_of,
    sources_of,
)
from batch.running.timing import Stages
from batch.running.trace import tracing
from batch.settings import RunSettings
from batch.sources.checksum import with_checksums
from batch.sources.image_ref import ImageRef
from batch.steps.begun import BEGUN_NAME, left_by_a_killed_run
from batch.steps.task import Outcome, Task
from batch.storage import is_url
from batch.tools import tool_versions
from batch.urls import public_url
from seglab.files import has_content
from seglab.words import counted, noun

if TYPE_CHECKING:
    from batch.executors.base import Executor, Opened
    from export.runtime.model import Model

FEW = 32
"""Up to this many images are done before a second process has started."""
FEW_SECONDS = 0.05
"""How long it is worth waiting to know whether there are more."""


class Runner:
    """A run, to be iterated once; ``report`` has the counts at any time, ``sources`` can count the images.

    With an open ``model`` the work is done in this process, else in other processes, so that no image can end the run.

    Raises :class:`batch.errors.SourceError` at once for a source that does not exist. While iterating:
    :class:`batch.errors.OutputError`, :class:`export.errors.ContractError`, :class:`export.errors.DeviceError`. A
    failed image raises nothing: it is a :class:`Result`. Leaving the loop early ends the run in good order.
    """

    def __init__(self, settings: RunSettings, model: Model | None = None) -> None:
        self.report = RunReport()
        self._begun = False
        require_utf8()
        self.output = Output.of(settings.out, settings.ledger)
        require_apart(settings, self.output)
        self.settings = replace(settings, out=self.output.name, ledger=self.output.state)
        self._store = self.output.store()
        probs = ProbFiles(settings.probs, settings.probs_format) if settings.probs else None
        self._pictures = Pictures(self._store, settings.overlays, probs)
        self.sources = sources_of(settings, self.output)
        self._origins = self.sources.origins
        self.report.sources = self.sources.report
        self._model = model
        self._walk: ReadAhead | None = None
        self._working: Executor | None = None
        self._stages, self._started = Stages(), time.time()
        limit = settings.max_failures
        self._most_failures = FailureLimit.of(limit) if limit is not None else None

    def stop(self) -> bool:
        """Ask the run to end in good order, soon; may be called from anywhere, a signal handler included.

        Images in progress are finished, written and yielded; the rest stays pending. Returns False if no work has begun
        yet.
        """
        if self._working is None:
            return False
        self.report.interrupted = True
        self._working.stop()
        return True

    @property
    def begun(self) -> int:
        """Return how many images are being worked on; they are finished after a stop."""
        return 0 if self._working is None else self._working.begun

    @property
    def all_found(self) -> int | None:
        """Return how many images the sources hold; None until the walk over them has ended."""
        return None if self._walk is None else self._walk.all_found

    @property
    def is_stuck(self) -> bool:
        """Return whether a source still blocks its reader though the run is over."""
        return self._walk is not None and self._walk.is_stuck

    def __iter__(self) -> Generator[Result]:
        """Do the run; yield a result for each image as it is finished, including those that were done before.

        Any thread may take the results, one at a time. Leaving the loop early ends the run, at the latest when the
        program ends.
        """
        if self._begun:
            raise RuntimeError("A Runner can be iterated only once; create another one to continue.")
        self._begun = True
        results = self._results()
        weakref.finalize(results, _close, weakref.ref(results))
        return results

    def _results(self) -> Generator[Result]:
        with self.output.hold(self.settings.overlays, self.settings.probs):
            if not has_content(ledger_path(self.output.state)):
                self._store.require_fresh()
                require_free(self.settings, self.output)
            asked = self.settings
            last = last_run(self.output.state)
            self.settings = as_last_run(asked, last, is_open=self._model is not None)
            suspects = left_by_a_killed_run(self.output.state / BEGUN_NAME)
            self._walk = walk = ReadAhead(self._images())
            with contextlib.closing(walk), contextlib.closing(self._executor(walk)) as executor:
                tools = tool_versions()  # while workers open the model
                opened = executor.open()
                self.settings = fit_to_classes(self.settings, asked, opened)
                self._describe(opened)
                self.report.notes += notes_on_masks(self.settings, asked, opened, last)
                with self._ledger(opened, tools) as ledger, tracing(self.settings.profile) as trace:
                    self._stages.trace = trace
                    take_possession(self.settings, self.output, ledger)
                    ledger.blame(suspects)
                    if self._model is not None:  # no worker keeps the file
                        (self.output.state / BEGUN_NAME).unlink(missing_ok=True)
                    self._recover(ledger)
                    yield from self._run(walk, ledger, executor)

    def _images(self) -> Iterator[ImageRef]:
        images = iter(self.sources)
        return with_checksums(images) if self.settings.checksum else images

    def _executor(self, walk: ReadAhead) -> Executor:
        store = None if self.output.is_archive else self._store
        return executor_for(
            self.settings,
            self._model,
            store,
            are_few=lambda: walk.are_few(FEW, FEW_SECONDS),
            state=self.output.state,
        )

    def _ledger(self, opened: Opened, tools: dict[str, str]) -> Ledger:
        record = record_of(self.settings, opened, tools)
        places = (self._pictures.present, self.output.masks, self._origins, self._store.sync)
        return Ledger(self.output.state, naming_of(self.settings, self.output.state), record, *places)

    def _describe(self, opened: Opened) -> None:
        self.report.device, self.report.device_in_short = describe(opened), describe_in_short(opened)
        if device_of_masks(self.settings, opened) != opened.device:
            self.report.device += "; exact masks on cpu, since this device cannot resize with antialiasing"
            self.report.device_in_short += "; exact masks on the CPU"
        self.report.masks, self.report.ledger = public_url(self.output.name), str(self.output.state)

    def _recover(self, ledger: Ledger) -> None:
        """Clean up what earlier runs left."""
        if is_far(str(self.output.state)):
            self.report.notes.append("the ledger is on a network file system; a local disk is faster")
        with _storing(self.output.name):
            self._pictures.prepare(ledger.unfinished())
        if not is_url(self.output.name) and (lost := reopen_lost(ledger, self._store)):
            self.report.notes.append(
                f"{counted(lost, 'mask')} of an earlier run {noun(lost, 'was', 'were')} lost or damaged, and made again"
            )

    def _run(self, walk: ReadAhead, ledger: Ledger, executor: Executor) -> Iterator[Result]:
        relays = self.output.is_archive
        places = (self._store, self._pictures, self.report, self._stages)
        intake = Intake(self.settings, walk, ledger, *places, relays=relays)
        turns = executor.run(intake.groups())
        self._working = executor
        self.report.begin_clock()
        try:
            for turn in turns:
                yield from self._settled(turn, intake, ledger)
            yield from self._settled(Turn(), intake, ledger)
            if intake.error is not None:
                raise intake.error
            if intake.unsettled and not self.report.interrupted:
                raise ProcessError(
                    f"{counted(len(intake.unsettled), 'image')} without a result. Run again to do the rest."
                )
        except BaseException as error:
            self.report.interrupted = True
            executor.stop()
            with contextlib.suppress(OutputError):  # the ledger or the store may be what stopped the run
                if not isinstance(error, KeyboardInterrupt):
                    for turn in turns:
                        self._settle(turn, intake, ledger)
                self._wind_up(ledger, executor, intake)
            raise
        self._wind_up(ledger, executor, intake)
        require_something_there(ledger, self._origins, self.report.sources.without_images)

    def _wind_up(self, ledger: Ledger, executor: Executor, intake: Intake) -> None:
        if executor.is_idle and not is_url(self.output.name):
            ledger.set_back(task.row for task in intake.unsettled if self._is_untouched(task))
        with _storing(self.output.name):
            self._store.close()
        self.report.notes += executor.notes
        self.report.end_clock(self._stages)
        ledger.end_run(self.report.to_json())

    def _is_untouched(self, task: Task) -> bool:
        """Return whether a task's files are as the run found them, or not there: what comes there is not the run's."""
        is_guarded = task.is_fresh or task.made
        return bool(is_guarded) and self._pictures.are_untouched(task.mask, self._started)

    def _settled(self, turn: Turn, intake: Intake, ledger: Ledger) -> Iterator[Result]:
        """Settle outcomes first and yield them then: the caller may stop iterating at any result."""
        yield from self._settle(turn, intake, ledger)
        if self._most_failures is not None:
            self._most_failures.require(self.report.done, self.report.failed)

    def _settle(self, turn: Turn, intake: Intake, ledger: Ledger) -> list[Result]:
        results = intake.take_results()
        with self._stages.ledger(len(turn.outcomes)):
            if turn.blamed:
                ledger.blame(turn.blamed)
            for outcome in turn.outcomes:
                task = intake.settled(outcome.row)
                self._stages.add(turn.process, task.path, outcome.spans)
                results.append(self._result(task, self._finish(task, outcome, ledger)))
            ledger.keep_up()
        return results

    def _finish(self, task: Task, outcome: Outcome, ledger: Ledger) -> Finish:
        finish = outcome.finish or Finish(task.row)
        if outcome.mask is not None and finish.error is None:
            finish = self._stored(task, outcome.mask, finish)
        if task.redraw:  # the row is unchanged: its mask exists
            return finish
        is_torn = task.is_torn or outcome.is_torn
        if finish.error is not None and (is_torn or (finish.was_read and not task.is_fresh)):
            with _storing(self.output.name):  # made from an earlier state of the image, or by a process that died
                self._pictures.remove(task.mask, "" if is_torn else task.made)
        ledger.finish(finish)
        return finish

    def _stored(self, task: Task, mask: bytes, finish: Finish) -> Finish:
        """Write a mask that a worker sent back."""
        try:
            self._store.write(task.mask, mask)
        except OSError as error:
            reason = why_not_written(task.mask, self._store.where(task.mask), error)
            return finish._replace(figures=None, sha256="", error=reason)
        return finish

    def _result(self, task: Task, finish: Finish) -> Result:
        place = (task.path, self._store.where(task.mask))
        if finish.error is not None:
            self.report.add(Status.FAILED)
            return Result(*place, Status.FAILED, seconds=finish.seconds, error=finish.error)
        if task.redraw:
            self.report.add(Status.SKIPPED)
            return Result(*place, Status.SKIPPED, seconds=finish.seconds)
        self.report.add(Status.DONE)
        self.report.note_remark(finish.remark)
        self.report.note_figures(finish.figures)
        return Result(*place, Status.DONE, finish.figures, finish.seconds, remark=finish.remark or None)


def _close(results: weakref.ref[Generator[Result]]) -> None:
    """End a run whose results are no longer taken, while the program can still do so."""
    if (generator := results()) is not None:
        with contextlib.suppress(ValueError):  # it is running in another thread
            generator.close()


def run(settings: RunSettings) -> Generator[Result]:
    """Segment an archive; yield a :class:`Result` for each image as it is finished.

    >>> for result in run(RunSettings(("images",), Path("masks"))):  # doctest: +SKIP
    ...     print(result.path, result.status)

    Raises as :class:`Runner`.
    """
    return iter(Runner(settings))


@contextlib.contextmanager
def _storing(name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise cannot_write(name, error) from error

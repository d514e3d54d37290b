"""One run over an archive: walk, claim, hand to the pipeline, keep the ledger. All of that in the caller's thread."""

from __future__ import annotations

import contextlib
import itertools
import time
import weakref
from collections.abc import Generator, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from batch.errors import OutputError, cannot_write
from batch.executors.timing import Clock
from batch.executors.trace import Trace, tracing
from batch.failure_limit import FailureLimit
from batch.ledger.records import Claim, Claimed, Result, Status
from batch.ledger.schema import ledger_path, require_utf8
from batch.ledger.writer import Finish, Ledger
from batch.mounts import is_far
from batch.naming import NameTemplate
from batch.outputs.probabilities import ProbFiles
from batch.outputs.spec import Output
from batch.running.pictures import Pictures
from batch.running.places import require_apart, take_possession
from batch.running.recovery import reopen_lost, require_something_there
from batch.running.report import RunReport
from batch.running.setup import describe, device_of_masks, record_of, sources_of, with_mask_bits
from batch.running.tools import tool_versions
from batch.settings import DEFAULT_MASK_BITS, RunSettings
from batch.sources.checksum import with_checksums
from batch.sources.image_ref import ImageRef
from batch.steps.task import Task
from batch.storage import is_url
from batch.urls import public_url
from seglab.files import has_content

if TYPE_CHECKING:
    from batch.executors.base import Bound, Engine, Pipe
    from export.runtime.model import Model

MOST_HELD_BYTES = 256 * 2**20
"""Where images come out of a stream, no more are taken out of it while those under way hold so much."""
LATER_COPIES = (
    "later copies of names in a compressed tar or a stream, of which the first counts; decompress the tar and name it"
)
FEW = 32
"""So many images are done before a second process has come up."""


class Runner:
    """A run, to be iterated once; ``report`` has the counts at any time, ``sources`` can count what there is to do.

    Raises at once :class:`batch.errors.SourceError` for a source that is not there. While iterating:
    :class:`batch.errors.OutputError`, :class:`export.errors.ContractError`, :class:`export.errors.DeviceError`. An
    image that fails raises nothing: it is a :class:`Result`. Leaving the loop early ends the run in good order.
    """

    def __init__(self, settings: RunSettings, model: Model | None = None) -> None:
        self.report = RunReport()
        self._begun = False
        require_utf8()
        self.output = Output.of(settings.out, settings.ledger)
        require_apart(settings, self.output)
        self.settings = replace(settings, out=self.output.name, ledger=self.output.state)
        self._store = self.output.store()
        self._probs = ProbFiles(settings.probs, settings.probs_format) if settings.probs else None
        self._pictures = Pictures(self._store, settings.overlays, self._probs)
        self.sources = sources_of(settings, self.output)
        self._origins = self.sources.origins
        self.report.sources = self.sources.report
        self._model = model
        self._pipeline: Pipe | None = None
        self._accepted = 0
        self._holding: dict[int, int] = {}
        self._walking, self._booking = Clock("walk"), Clock("ledger")
        limit = settings.max_failures
        self._most_failures = FailureLimit.of(limit) if limit is not None else None

    def stop(self) -> bool:
        """Ask the run to end in good order, soon; may be called from anywhere, a signal handler included.

        What the model has seen is still written and yielded; the rest stays pending. Returns False where there is
        nothing to end yet.
        """
        if self._pipeline is None:
            return False
        self.report.interrupted = True
        self._pipeline.wake()
        return True

    def __iter__(self) -> Generator[Result]:
        """Do the run; yield a result for each image, those that are done already included, as they come.

        Any thread may take the results, one at a time. A loop that is left early ends the run, at the latest with the
        program.
        """
        if self._begun:
            raise RuntimeError("A Runner is iterated once; make another one with the same settings to go on.")
        self._begun = True
        results = self._results()
        weakref.finalize(results, _close, weakref.ref(results))
        return results

    def _results(self) -> Generator[Result]:
        state, store = self.output.state, self._store
        with self.output.hold():
            if not has_content(ledger_path(state)):
                store.require_fresh()
            self._settle_mask_bits()
            engine, items = self._engine()
            with contextlib.closing(engine):
                tools = tool_versions()  # while other processes open the model
                opened = engine.opened
                self.report.device = describe(opened)
                if device_of_masks(self.settings, opened) != opened.device:
                    self.report.device += "; exact masks on cpu, since this device cannot resize with antialiasing"
                self.report.masks, self.report.ledger = public_url(self.output.name), str(state)
                template, masks = NameTemplate(self.settings.name), self.output.masks
                record = record_of(self.settings, opened, tools)
                with (
                    Ledger(state, template, record, self._pictures.present, masks, self._origins, store.sync) as ledger,
                    tracing(self.settings.profile) as trace,
                ):
                    take_possession(self.settings, self.output, ledger)
                    if is_far(str(state)):
                        self.report.notes.append("the ledger lies on a network file system: a local disk is faster")
                    with _storing(self.output.name):
                        self._pictures.prepare(ledger.unfinished())
                    if not is_url(self.output.name) and (lost := reopen_lost(ledger, store)):
                        self.report.notes.append(f"{lost} masks of an earlier run were lost or damaged, and made again")
                    yield from self._run(engine, items, ledger, trace)

    def _settle_mask_bits(self) -> None:
        asked = self.settings.mask_bits
        self.settings = with_mask_bits(self.settings, self.output.state)
        if asked is None and self.settings.bits != DEFAULT_MASK_BITS:
            self.report.notes.append(
                f"masks have {self.settings.bits} bit a pixel, as those of the last run into this output; "
                f"--mask-bits {DEFAULT_MASK_BITS} makes all of them again"
            )

    def _run(self, engine: Engine, items: Iterator[ImageRef], ledger: Ledger, trace: Trace | None) -> Iterator[Result]:
        pipeline, bound = engine.start(self._store, self._probs, trace)
        self._pipeline = pipeline
        self._walking.trace = self._booking.trace = trace
        self.report.begin_clock()
        try:
            with pipeline:
                yield from self._turn(items, pipeline, ledger, bound)
            yield from self._wind_up(pipeline, ledger)
        except BaseException:
            self.report.interrupted = True
            with contextlib.suppress(OutputError):  # the ledger or the store may be what stopped the run
                list(self._wind_up(pipeline, ledger))
            raise
        require_something_there(ledger, self._origins, self.report.sources.without_images)

    def _wind_up(self, pipeline: Pipe, ledger: Ledger) -> Iterator[Result]:
        """Settle what was under way when the run was stopped, and end it."""
        while pipeline.has_results:
            for task in pipeline.results(wait=False):
                if task.fatal is None:
                    yield self._finish(task, ledger)
        with _storing(self.output.name):
            self._store.close()
        self.report.notes += pipeline.notes
        self.report.end_clock([self._walking, *pipeline.clocks, self._booking])
        ledger.end_run(self.report.to_json())

    def _turn(self, items: Iterator[ImageRef], pipeline: Pipe, ledger: Ledger, bound: Bound) -> Iterator[Result]:
        at_end = False
        while (not at_end or pipeline.in_flight) and not self.report.interrupted:
            is_full = pipeline.in_flight + bound.chunk > bound.in_flight or self._held >= MOST_HELD_BYTES
            has_room = not at_end and not is_full
            if has_room:
                start = time.perf_counter()
                chunk = self._next_chunk(items, bound.chunk)
                self._walking.worked(start, len(chunk))
                start = time.perf_counter()
                claimed = ledger.claim(chunk)
                self._booking.worked(start, 0)
                yield from self._hand_in(claimed, pipeline)
                at_end = not chunk
                if at_end:
                    pipeline.end_of_input()
            for task in pipeline.results(wait=not has_room):
                start = time.perf_counter()
                result = self._finish(task, ledger)
                self._booking.worked(start)
                yield result
            if self._most_failures is not None:
                self._most_failures.require(self.report.done, self.report.failed)

    def _next_chunk(self, items: Iterator[ImageRef], most: int) -> list[ImageRef]:
        if self.settings.limit is not None:
            most = min(most, self.settings.limit - self._accepted)
        return _take(items, most)

    def _hand_in(self, claimed: list[Claimed], pipeline: Pipe) -> Iterator[Result]:
        for entry in claimed:
            if entry.claim is Claim.REPEATED:
                self.report.repeated += 1
                if entry.item.content.held:  # its first copy is under way, and cannot be called back
                    self.report.sources.leave_out(LATER_COPIES, entry.item.path)
            elif entry.claim is Claim.TODO:
                self._accepted += 1
                if entry.item.content.held:
                    self._holding[entry.row] = entry.item.content.held
                pipeline.submit(_task(entry))
            elif self._pictures.lacks_overlay(entry.mask):
                pipeline.submit(_task(entry, redraw=True))
            else:
                yield self._result(entry.item.path, entry.mask, Status.SKIPPED)

    @property
    def _held(self) -> int:
        return sum(self._holding.values())

    def _finish(self, task: Task, ledger: Ledger) -> Result:
        if task.fatal is not None:
            raise task.fatal
        self._holding.pop(task.row, None)
        if task.redraw:  # the row stays as it is: its mask is there
            status = Status.SKIPPED if task.error is None else Status.FAILED
            return self._result(task.path, task.mask, status, seconds=task.seconds, error=task.error)
        figures = task.figures if task.error is None else None
        if task.error is not None and task.was_read and not task.is_fresh:
            with _storing(self.output.name):  # of an earlier state of the image
                self._pictures.remove(task.mask, task.made)
        state = (task.row, task.bytes, task.mtime_ns, task.seconds)
        said = (task.version, task.sha256, task.was_read, task.remark)
        ledger.finish(Finish(*state, figures, task.error, *said))
        if task.error is not None:
            return self._result(task.path, task.mask, Status.FAILED, seconds=task.seconds, error=task.error)
        self.report.note_remark(task.remark)
        done = {"figures": figures, "seconds": task.seconds, "remark": task.remark or None}
        return self._result(task.path, task.mask, Status.DONE, **done)

    def _result(self, path: str, mask: str, status: Status, **details: Any) -> Result:
        self.report.add(status)
        return Result(path, self._store.where(mask), status, **details)

    def _engine(self) -> tuple[Engine, Iterator[ImageRef]]:
        """Return the engine, and all items; some are looked at before, for a few are not worth several processes."""
        from batch.executors.open import HereEngine, open_engine

        items = iter(self.sources)
        if self.settings.checksum:
            items = with_checksums(items)
        if self._model is not None:
            return HereEngine(self.settings, self._model), items
        first = [] if self.settings.exact else _take(items, FEW + 1)
        few = len(first) <= FEW and sum(item.content.held for item in first) < MOST_HELD_BYTES
        return open_engine(self.settings, few=few), itertools.chain(first, items)


def _close(results: weakref.ref[Generator[Result]]) -> None:
    """End a run whose results nobody takes any more, while the program can still do so."""
    if (generator := results()) is not None:
        with contextlib.suppress(ValueError):  # it is running, in another thread
            generator.close()


def run(settings: RunSettings) -> Generator[Result]:
    """Segment an archive; yield a :class:`Result` for each image as it is finished.

    >>> for result in run(RunSettings(("images",), Path("masks"))):  # doctest: +SKIP
    ...     print(result.path, result.status)

    Raises as :class:`Runner`.
    """
    return iter(Runner(settings))


def _take(items: Iterator[ImageRef], most: int) -> list[ImageRef]:
    """Return the next items, at most so many, and no more once they hold much."""
    taken: list[ImageRef] = []
    held = 0
    for item in itertools.islice(items, most):
        taken.append(item)
        held += item.content.held
        if held >= MOST_HELD_BYTES:
            break
    return taken


def _task(entry: Claimed, *, redraw: bool = False) -> Task:
    item = entry.item
    return Task(
        entry.row,
        item.path,
        entry.mask,
        item.bytes,
        item.mtime_ns,
        item.content,
        redraw,
        is_fresh=entry.is_fresh,
        made=entry.made,
    )


@contextlib.contextmanager
def _storing(name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise cannot_write(name, error) from error

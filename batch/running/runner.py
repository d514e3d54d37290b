"""One run over an archive: walk, claim, hand to the pipeline, keep the ledger. All of that in the caller's thread."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Collection, Generator, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from batch.errors import OutputError, cannot_write
from batch.executors.timing import Clock
from batch.executors.trace import Trace, tracing
from batch.failure_limit import FailureLimit
from batch.ledger.records import Claim, Claimed, Result, RunRecord, Status
from batch.ledger.schema import ledger_path
from batch.ledger.writer import Finish, Ledger, locked
from batch.naming import NameTemplate
from batch.outputs.leftovers import remove_leftovers
from batch.outputs.probabilities import ProbFiles
from batch.outputs.remote import require_apart
from batch.outputs.spec import Output
from batch.running.report import RunReport
from batch.running.tools import tool_versions
from batch.settings import RunSettings
from batch.sources.collect import Sources
from batch.sources.image_ref import ImageRef
from batch.steps.task import Task
from seglab.images.formats import IMAGE_SUFFIXES

if TYPE_CHECKING:
    from batch.executors.base import Bound, Engine, Opened, Pipe
    from export.runtime.device import Device
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
        self.output = Output.of(settings.out, settings.ledger)
        self.settings = replace(settings, out=self.output.name, ledger=self.output.state)
        self._store = self.output.store()
        self._probs = ProbFiles(settings.probs, settings.probs_format) if settings.probs else None
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
        """Do the run; yield a result for each image, those that are done already included, as they come."""
        state, store = self.output.state, self._store
        with locked(state):
            if not ledger_path(state).exists():
                store.require_fresh()
            engine, items = self._engine()
            with contextlib.closing(engine):
                tools = tool_versions()  # while other processes open the model
                opened = engine.opened
                self.report.device = describe(opened)
                if device_of_masks(self.settings, opened) != opened.device:
                    self.report.device += "; exact masks on cpu, since this device cannot resize with antialiasing"
                self.report.masks, self.report.ledger = self.output.name, str(state)
                template, masks = NameTemplate(self.settings.name), self.output.masks
                with (
                    Ledger(state, template, self._record(opened, tools), self._present, masks, self._origins) as ledger,
                    tracing(self.settings.profile) as trace,
                ):
                    self._clear_up(ledger.unfinished())
                    yield from self._run(engine, items, ledger, trace)

    def _present(self, masks: Collection[str]) -> set[str]:
        found = self._store.present(masks)
        return found if self._probs is None else self._probs.present(found)

    def _clear_up(self, unfinished: list[str]) -> None:
        """Put in order what a killed run left."""
        with _storing(self.output.name):
            self._store.prepare(unfinished)
        for folder in filter(None, (self.settings.overlays, self.settings.probs)):
            remove_leftovers(folder, unfinished)

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

    def _wind_up(self, pipeline: Pipe, ledger: Ledger) -> Iterator[Result]:
        """Settle what was under way when the run was stopped, and end it."""
        while pipeline.has_results:
            for task in pipeline.results(wait=False):
                if task.fatal is None:
                    yield self._finish(task, ledger)
        with _storing(self.output.name):
            self._store.close()
        self.report.notes = pipeline.notes
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
            elif self._lacks_overlay(entry.mask):
                pipeline.submit(_task(entry, redraw=True))
            else:
                yield self._result(entry.item.path, entry.mask, Status.SKIPPED)

    @property
    def _held(self) -> int:
        return sum(self._holding.values())

    def _lacks_overlay(self, mask: str) -> bool:
        if self.settings.overlays is None:
            return False
        from batch.outputs.overlays import overlay_path

        return not overlay_path(self.settings.overlays, mask).exists()

    def _finish(self, task: Task, ledger: Ledger) -> Result:
        if task.fatal is not None:
            raise task.fatal
        self._holding.pop(task.row, None)
        if task.redraw and task.error is None:
            return self._result(task.path, task.mask, Status.SKIPPED, seconds=task.seconds)
        figures = task.figures if task.error is None else None
        if task.error is not None:
            with _storing(self.output.name):
                self._store.remove(task.mask)  # of an earlier state of the image
        ledger.finish(
            Finish(task.row, task.bytes, task.mtime_ns, task.seconds, figures, task.error, task.version, task.sha256)
        )
        status = Status.DONE if task.error is None else Status.FAILED
        return self._result(task.path, task.mask, status, figures=figures, seconds=task.seconds, error=task.error)

    def _result(self, path: str, mask: str, status: Status, **details: Any) -> Result:
        self.report.add(status)
        return Result(path, self._store.where(mask), status, **details)

    def _engine(self) -> tuple[Engine, Iterator[ImageRef]]:
        """Return the engine, and all items; some are looked at before, for a few are not worth several processes."""
        from batch.executors.open import HereEngine, open_engine

        items = iter(self.sources)
        if self._model is not None:
            return HereEngine(self.settings, self._model), items
        first = [] if self.settings.exact else _take(items, FEW + 1)
        few = len(first) <= FEW and sum(item.content.held for item in first) < MOST_HELD_BYTES
        return open_engine(self.settings, few=few), itertools.chain(first, items)

    def _record(self, model: Opened, tools: dict[str, str]) -> RunRecord:
        device = device_of_masks(self.settings, model)
        return RunRecord(
            key=self.settings.key(model.sha256, device.precision),
            model=str(model.path),
            model_sha256=model.sha256,
            device=device.name,
            provider=device.provider,
            precision=device.precision,
            settings=self.settings.to_json(),
            tools=tools,
        )


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
    return Task(entry.row, item.path, entry.mask, item.bytes, item.mtime_ns, item.content, redraw)


def sources_of(settings: RunSettings, output: Output) -> Sources:
    """Return the images that the settings name, without what a run puts out. Raises :class:`SourceError`."""
    require_apart(settings.sources, output.name)
    folders = [output.folder, output.state, settings.overlays, settings.probs]
    return Sources(settings.sources, IMAGE_SUFFIXES, filter(None, folders), settings.files_from, settings.zip_encoding)


def device_of_masks(settings: RunSettings, model: Opened) -> Device:
    """Return the device that masks are made on."""
    return model.whole_device if settings.exact else model.device


def describe(model: Opened) -> str:
    """Return what a person should know of the device that runs a model."""
    device = model.device
    why_not = "; ".join(f"not {name}: {reason}" for name, reason in device.rejected.items())
    parts = (f"{device.name} ({device.engine}, {device.precision})", device.detail, why_not)
    return "; ".join(part for part in parts if part)


@contextlib.contextmanager
def _storing(name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise cannot_write(name, error) from error

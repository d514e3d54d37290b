"""The loop of a run: images go to worker processes in groups, outcomes come back, and no image can stop it.

A worker that ends or hangs costs only the image that caused it. If several images may be the cause, each is tried once
more, alone. An image on which a process ended twice has failed. See docs/reference/faults.md, "What happens when".
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from batch.errors import ProcessError
from batch.executors.base import Opened, Turn
from batch.executors.batches import batch_of
from batch.executors.blame import ATTEMPTS, crashed, hung
from batch.executors.crew import Crew
from batch.executors.line import Line
from batch.executors.messages import STOP, Bye, Failed, Hello, Parcel, Report
from batch.executors.placement import Share, is_gpu, may_be_gpu, share_out
from batch.executors.process import Worker
from batch.figures import Finish
from batch.naming import overlay_path
from batch.outputs.base import MaskFiles, was_there_before
from batch.outputs.probabilities import ProbFiles
from batch.settings import RunSettings
from batch.steps.task import Outcome, Task
from seglab.errors import SeglabError

TICK_SECONDS = 0.05
"""Longest wait of the loop: it must begin new work, see hangs and notice a stop."""
STARVED_SECONDS = 0.005
"""The same while workers are idle and the source has nothing."""
STOP_SECONDS = 20.0
"""How long workers may take to finish what they have begun when the run is stopped."""
MOST_DEATHS = 3
"""After this many workers in a row ended while working on nothing, no image is to blame."""
AGAIN_SECONDS = 10.0
"""Delay before restarting a worker that could not open its model while others could, perhaps for lack of memory."""
END: list[Task] = []


class Workers:
    """An executor (see :class:`batch.executors.base.Executor`) of one process per share.

    ``store``: where each process writes masks; None: masks are sent back for the caller to write. ``state``: the folder
    of the ledger, where images in progress are recorded; None: a temporary folder. ``bell``: for images that come one
    by one, a socket that becomes readable when there are new ones; an idle worker then begins at once, with an
    incomplete batch. Raises :class:`ProcessError` for errors that end the run.
    """

    def __init__(
        self,
        settings: RunSettings,
        shares: Sequence[Share],
        store: MaskFiles | None,
        *,
        state: Path | None = None,
        bell: socket.socket | None = None,
    ) -> None:
        self.notes: list[str] = []
        self._bell = bell
        self._settings, self._shares, self._store, self._state = settings, shares, store, state
        self._stop = threading.Event()
        self._failure: SeglabError | None = None
        self._opened: Opened | None = None
        self._deaths = 0
        self._postponed: dict[int, float] = {}
        self._turns: list[Turn] = []
        self._crew = Crew(settings, shares, store=store, state=state, bell=bell)

    @property
    def begun(self) -> int:
        """Return how many images are being worked on."""
        return self._crew.begun

    @property
    def is_idle(self) -> bool:
        """Return whether no worker holds an image."""
        return not self._under_way

    @property
    def _under_way(self) -> int:
        return sum(worker.load for worker in self._crew.workers)

    def open(self) -> Opened:
        """Wait until the first worker has opened the model; the others join when they are ready."""
        opened = self._first_opened()
        if not is_gpu(opened.device.name) and any(may_be_gpu(share.device) for share in self._shares):
            # There is a GPU, but it cannot be used: restart with one worker per core.
            self._crew.close()
            settings = replace(self._settings, device=opened.device.name)
            self._shares, self._opened = share_out(settings, few=False), None
            self._crew = Crew(settings, self._shares, store=self._store, state=self._state, bell=self._bell)
            opened = self._first_opened()
        return opened

    def run(self, groups: Iterator[Sequence[Task] | None]) -> Iterator[Turn]:
        """Yield the outcomes of the tasks."""
        batch = batch_of(self._settings, self._first_opened().batch)
        patience = None if self._bell is None else 0.0
        self._line = line = Line(batch, len(self._shares), exact=self._settings.exact, partial_seconds=patience)
        ended = starved = False
        while not self._stop.is_set() and not (ended and not line and not self._under_way):
            fetched = not ended and line.wants_more
            if fetched:
                tasks = next(groups, END)
                ended, starved = tasks is END, tasks is None
                line.add(tasks or ())
            self._start_postponed()
            self._end_hung()
            _send(line.hand_out(self._crew.workers, starved=starved, ended=ended))
            yield from self._listen(0.0 if fetched and not (ended or starved) else self._patience())
        yield from self._finish_begun()
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """Ask for an orderly end."""
        self._stop.set()

    def close(self) -> None:
        """End all workers at once."""
        self._crew.close()

    def _first_opened(self) -> Opened:
        while self._opened is None:
            if self._failure is not None:
                raise self._failure
            for _ in self._listen(TICK_SECONDS):
                pass
            self._end_hung()
        return self._opened

    def _patience(self) -> float:
        if self._bell is not None:
            return TICK_SECONDS
        is_idle = not self._under_way and any(worker.is_ready for worker in self._crew.workers)
        return STARVED_SECONDS if is_idle else TICK_SECONDS

    def _listen(self, seconds: float) -> Iterator[Turn]:
        """Wait up to ``seconds``, and yield what workers have finished."""
        for worker, message in self._crew.listen(seconds):
            if message is None:
                self._settle_lost(worker)
            else:
                self._hear(worker, message)
        turns, self._turns = self._turns, []
        yield from turns or [Turn()]

    def _hear(self, worker: Worker, message: object) -> None:
        if isinstance(message, Report):
            self._deaths = 0
            self.notes += [note for note in message.notes if note not in self.notes]
            taken = [(worker.held.pop(outcome.row), outcome) for outcome in message.outcomes]
            done = [outcome._replace(is_torn=task.is_torn) for task, outcome in taken if self._is_done(task, outcome)]
            self._turns.append(Turn(done, worker.pid))
        elif isinstance(message, Hello):
            self._greet(worker, message.opened)
        elif isinstance(message, Failed):
            self._fail(message.error)
        elif isinstance(message, Bye):
            worker.held.clear()

    def _is_done(self, task: Task, outcome: Outcome) -> bool:
        """Return whether the task has its outcome; one that must be worked on alone is put back into the line."""
        if outcome.finish is None:
            self._line.add_solo(task)
        return outcome.finish is not None

    def _greet(self, worker: Worker, opened: Opened) -> None:
        worker.is_ready = True
        self._opened = self._opened or opened
        if opened.device.precision != self._opened.device.precision:
            self._fail(ProcessError("The devices compute in different precisions; expected one. Name only one device."))

    def _fail(self, error: SeglabError) -> None:
        self._failure = self._failure or error
        self._stop.set()

    def _end_hung(self) -> None:
        for worker, rows in self._crew.overdue():
            self._crew.remove(worker, has_gone=False)
            self._count_death("it did not begin what it should", blamed=bool(rows))
            self._settle(worker, rows, lambda task: hung(task, self._settings.timeout))

    def _settle_lost(self, worker: Worker) -> None:
        how, begun = self._crew.remove(worker, has_gone=True)
        begun &= worker.held.keys()
        begun = begun or set(worker.held)  # it died between two steps: any image may be the cause
        if not worker.is_ready and any(other.is_ready for other in self._crew.workers):
            self._postponed[worker.index] = time.monotonic() + AGAIN_SECONDS
            return
        self._count_death(how, blamed=bool(begun))
        self._settle(worker, begun, lambda task: crashed(task, how))

    def _count_death(self, how: str, *, blamed: bool) -> None:
        self._deaths += not blamed
        if self._deaths >= MOST_DEATHS:
            self._fail(_ends_by_itself(how))

    def _start_postponed(self) -> None:
        for index, when in list(self._postponed.items()):
            if time.monotonic() >= when:
                del self._postponed[index]
                self._crew.start(index)

    def _settle(self, worker: Worker, to_blame: Collection[int], failed: Callable[[Task], Finish]) -> None:
        """Put the tasks of a dead worker back into the line or fail them, and start another worker."""
        if self._stop.is_set():  # the tasks stay pending
            worker.held.clear()
            return
        outcomes, blamed = [], []
        for task in reversed(worker.held.values()):
            again = self._again(task, worker)
            if task.row not in to_blame:
                self._line.put_back(again)
            elif task.attempts + 1 < ATTEMPTS:
                blamed.append(task.row)
                self._line.add_solo(again._replace(attempts=task.attempts + 1))
            else:
                outcomes.append(Outcome(task.row, failed(task), is_torn=again.is_torn))
        worker.held.clear()
        self._turns.append(Turn(outcomes, worker.pid, blamed))
        self._crew.start(worker.index)

    def _again(self, task: Task, worker: Worker) -> Task:
        """Return a task for a retry, marked if the dead worker may already have written its mask or pictures."""
        if any(was_there_before(place, worker.started) for place in self._places(task)):
            return task
        return task._replace(is_fresh=False, made="", is_torn=True)

    def _places(self, task: Task) -> Iterator[str]:
        """Yield the paths of files that must not be replaced."""
        if self._store is not None:
            yield self._store.where(task.mask)
        if task.is_fresh and self._settings.probs is not None:
            yield str(ProbFiles(self._settings.probs, self._settings.probs_format).where(task.mask))
        if task.is_fresh and self._settings.overlays is not None:
            yield str(overlay_path(self._settings.overlays, task.mask))

    def _finish_begun(self) -> Iterator[Turn]:
        """After a stop, let workers finish what they have begun, within a time limit."""
        deadline = time.monotonic() + STOP_SECONDS
        for worker in self._crew.workers:
            worker.send(STOP)
        while self._under_way and time.monotonic() < deadline:
            yield from self._listen(TICK_SECONDS)


def _send(parcels: dict[Worker, Parcel]) -> None:
    for worker, parcel in parcels.items():
        holds_bytes = any(task.image.held or task.drawn is not None for group in parcel for task in group)
        worker.send(parcel, holds_bytes=holds_bytes)


def _ends_by_itself(how: str) -> ProcessError:
    return ProcessError(
        f"Several worker processes in a row ended by themselves ({how}). There may be too little memory: run again to "
        "continue, with fewer --processes if it happens again."
    )

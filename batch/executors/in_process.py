"""Work in this process, for tests, notebooks and services that have a model open. A crash ends the program."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from batch.executors.base import Opened, Turn
from batch.executors.batches import batch_of
from batch.executors.opening import Layout, layout_for
from batch.outputs.base import MaskFiles
from batch.settings import RunSettings
from batch.steps.mask_maker import MaskMaker
from batch.steps.stream import Inline, stream
from batch.steps.task import Outcome, Task

if TYPE_CHECKING:
    from export.runtime.model import Model

STARVED_SECONDS = 0.005
"""How long a source without images is waited for before control returns to the caller."""
END: list[Task] = []
Take = Callable[[bool], Sequence[Task] | None]


class InProcess:
    """An executor (see :class:`batch.executors.base.Executor`) in this process.

    ``store``: None if masks are returned for the caller to write. ``threads``: of the CPU that it may use; None: all
    cores.
    """

    def __init__(
        self, settings: RunSettings, model: Model, store: MaskFiles | None, threads: int | None = None
    ) -> None:
        self.begun = 0
        self._settings, self._model, self._threads = settings, model, threads
        self._maker = MaskMaker(model, settings, store)
        self._batch = batch_of(settings, model.batch)
        self._stopped = threading.Event()
        self._line: deque[Task] = deque()
        self._ended = False

    @property
    def notes(self) -> list[str]:
        """Return the notes of the model."""
        return self._maker.notes

    @property
    def is_idle(self) -> bool:
        """Return whether no image waits or is worked on."""
        return not self.begun

    def open(self) -> Opened:
        """Return the description of the model."""
        return Opened.of(self._model)

    def stop(self) -> None:
        """Ask for an orderly end."""
        self._stopped.set()

    def close(self) -> None:
        """Do nothing: the model belongs to the caller."""

    def run(self, groups: Iterator[Sequence[Task] | None]) -> Iterator[Turn]:
        """Yield the outcomes of the tasks."""

        def take(may_wait: bool) -> Sequence[Task] | None:
            return self._take(groups, may_wait)

        with layout_for(self._settings, self._model.device.name, self._threads) as layout:
            waiting: dict[int, Task] = {}
            for outcomes in self._streamed(take, layout, waiting):
                self.begun -= len(outcomes)
                yield Turn(outcomes, os.getpid())
        self.begun = 0

    def _streamed(self, take: Take, layout: Layout, waiting: dict[int, Task]) -> Iterator[list[Outcome]]:
        """Yield outcomes; images that must be worked on alone are done between groups."""

        def noting(may_wait: bool) -> Sequence[Task] | None:
            group = take(may_wait)
            waiting.update({task.row: task for task in group or ()})
            return group

        for outcomes in stream(self._maker, noting, *layout, self._stopped.is_set):
            tasks = [(waiting.pop(outcome.row), outcome) for outcome in outcomes]
            yield [outcome for _, outcome in tasks if outcome.finish is not None]
            for task, outcome in tasks:
                if outcome.finish is None:
                    yield self._alone(task)

    def _alone(self, task: Task) -> list[Outcome]:
        groups = iter([[task._replace(solo=True)]])
        found = stream(self._maker, lambda _: next(groups, None), Inline(), Inline(), 0)
        return [outcome for outcomes in found for outcome in outcomes]

    def _take(self, groups: Iterator[Sequence[Task] | None], may_wait: bool) -> Sequence[Task] | None:
        """Return a batch; a smaller one if the source has nothing now, or has ended."""
        while len(self._line) < self._batch and not self._ended:
            tasks = next(groups, END)
            if tasks is END:
                self._ended = True
            elif tasks is None:
                if may_wait and not self._line:
                    time.sleep(STARVED_SECONDS)
                break
            elif not tasks:
                return []
            else:
                self.begun += len(tasks)
                self._line.extend(tasks)
        group = [self._line.popleft() for _ in range(min(self._batch, len(self._line)))]
        return group if group or not self._ended else None

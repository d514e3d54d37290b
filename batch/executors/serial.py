"""The stages one after the other in the calling thread, a batch at a time: for a process that has one core to itself.

There, threads could only take turns, and each turn costs more than what an image costs the engine otherwise.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from typing import Self

import cv2

from batch.executors.timing import Clock
from batch.executors.trace import Trace
from batch.steps.stages import Workshop
from batch.steps.task import Task


class SerialPipeline:
    """Takes tasks, gives them back done (see :class:`~batch.executors.base.Pipe`); works while results are taken."""

    def __init__(self, workshop: Workshop, trace: Trace | None = None) -> None:
        self.in_flight = 0
        self.wants = workshop.batch
        self._workshop = workshop
        self._decoding, self._inferring, self._writing = (Clock(name, trace) for name in ("decode", "infer", "write"))
        self._waiting: deque[Task] = deque()
        self._seen: deque[Task] = deque()
        self._ended = self._stopped = False
        self._idle_since = time.perf_counter()
        self._cv_threads = cv2.getNumThreads()

    def __enter__(self) -> Self:
        cv2.setNumThreads(1)
        self._idle_since = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped = True
        cv2.setNumThreads(self._cv_threads)

    @property
    def clocks(self) -> list[Clock]:
        """One of each stage."""
        return [self._decoding, self._inferring, self._writing]

    @property
    def notes(self) -> list[str]:
        """What the stages have to say beside their results."""
        return self._workshop.inference.notes

    @property
    def has_results(self) -> bool:
        """Has the model seen anything that was not taken yet?"""
        return bool(self._seen)

    def submit(self, task: Task) -> None:
        """Hand in a task; a redraw needs no model."""
        self.in_flight += 1
        (self._seen if task.redraw else self._waiting).append(task)

    def end_of_input(self) -> None:
        """Say that no task will follow, so that the last batch is run though it is not full."""
        self._ended = True

    def wake(self) -> None:
        """Do nothing: nobody waits here."""

    def results(self, *, wait: bool) -> Iterator[Task]:
        """Yield a batch, if it is full or if ``wait``; or what the model has seen of the last one."""
        enough = 1 if wait or self._ended else self.wants
        if not self._seen and len(self._waiting) >= enough and not self._stopped:
            self._segment([self._waiting.popleft() for _ in range(min(self.wants, len(self._waiting)))])
        while self._seen:
            task = self._seen.popleft()
            if task.error is None:
                start = time.perf_counter()
                self._workshop.sink(task)
                self._writing.worked(start, image=task.path)
            self.in_flight -= 1
            self._idle_since = time.perf_counter()
            yield task

    def _segment(self, tasks: list[Task]) -> None:
        """Decode tasks and show them to the model; what was seen, or failed, waits to be written."""
        self._decoding.waited(self._idle_since, len(self._waiting))
        for task in tasks:
            start = time.perf_counter()
            self._workshop.decoder(task)
            self._decoding.worked(start, image=task.path)
        good = [task for task in tasks if task.error is None]
        self._seen.extend(task for task in tasks if task.error is not None)
        if good:
            start = time.perf_counter()
            self._workshop.inference(good)
            self._inferring.worked(start, len(good), batch=len(good))
            self._seen.extend(good)

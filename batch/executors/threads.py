"""The stages side by side: decoding threads, one thread that runs the model, writing threads, and one bound on it all.

The queues have no limits of their own: what is in flight is counted where tasks are handed in and results taken out,
by one thread, so that nothing can overtake the bound and nothing can wait in a circle.
"""

from __future__ import annotations

import itertools
import queue
import threading
import time
from collections.abc import Callable, Iterator
from typing import Self

import cv2

from batch.executors.timing import Clock
from batch.executors.trace import Trace
from batch.steps.stages import Workshop
from batch.steps.task import Task

JOIN_SECONDS = 60.0

TaskQueue = queue.SimpleQueue[Task | None]


class Pipeline:
    """Takes tasks, gives them back finished, in any order: see :class:`~batch.executors.base.Pipe`. For one thread.

    ``decoders``, ``sinks``: threads that read and decode, and that write.
    """

    wants = 1

    def __init__(self, workshop: Workshop, decoders: int, sinks: int, trace: Trace | None = None) -> None:
        self.in_flight = 0
        self.clocks: list[Clock] = []
        self._finished = TaskQueue()
        self._sinks = sinks
        self._workshop = workshop
        self._trace = trace
        self._to_decode, self._to_infer, self._to_sink = (TaskQueue() for _ in range(3))
        self._stopped = False
        self._decoders = self._decoding = decoders
        self._lock = threading.Lock()
        self._cv_threads = cv2.getNumThreads()
        self._threads = {
            "decode": [self._thread("decode", self._decode) for _ in range(decoders)],
            "infer": [self._thread("infer", self._infer)],
            "write": [self._thread("write", self._write) for _ in range(sinks)],
        }

    def __enter__(self) -> Self:
        cv2.setNumThreads(1)  # the stages are the parallelism
        for thread in itertools.chain.from_iterable(self._threads.values()):
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        cv2.setNumThreads(self._cv_threads)

    def submit(self, task: Task) -> None:
        """Hand in a task; a redraw goes straight to the sinks."""
        self.in_flight += 1
        (self._to_sink if task.redraw else self._to_decode).put(task)

    def end_of_input(self) -> None:
        """Say that no task will follow, so that the last batch is run though it is not full."""
        for _ in range(self._decoders):
            self._to_decode.put(None)

    def results(self, *, wait: bool) -> Iterator[Task]:
        """Yield what is finished; if ``wait``, at least one, given that something is in flight and nobody wakes us."""
        wait = wait and self.in_flight > 0
        while True:
            try:
                task = self._finished.get(block=wait)
            except queue.Empty:
                return
            if task is None:
                return
            wait = False
            self.in_flight -= 1
            yield task

    @property
    def has_results(self) -> bool:
        """Is anything finished and not yet taken?"""
        return not self._finished.empty()

    def wake(self) -> None:
        """Let :meth:`results` return although nothing is finished. May be called anywhere, in signal handlers too."""
        self._finished.put(None)

    @property
    def notes(self) -> list[str]:
        """What the stages have to say beside their results."""
        return self._workshop.inference.notes

    def stop(self) -> None:
        """End the threads: what the model has seen is written, the rest dropped. Results can be taken after."""
        self._stopped = True
        deadline = time.monotonic() + JOIN_SECONDS
        for stage, waiting in (("decode", self._to_decode), ("infer", self._to_infer), ("write", self._to_sink)):
            for _ in self._threads[stage]:
                waiting.put(None)
            for thread in self._threads[stage]:
                thread.join(max(0.0, deadline - time.monotonic()))

    def _thread(self, stage: str, body: Callable[[Clock], None]) -> threading.Thread:
        clock = Clock(stage, self._trace)
        self.clocks.append(clock)
        return threading.Thread(target=self._guarded, args=(body, clock), name=f"batch-{stage}", daemon=True)

    def _guarded(self, body: Callable[[Clock], None], clock: Clock) -> None:
        try:
            body(clock)
        except BaseException as error:  # a thread must not die in silence: the run would wait for ever
            self._finished.put(Task(0, "", "", 0, 0, fatal=error))

    def _take(self, waiting: TaskQueue, clock: Clock, *, to_the_end: bool = False) -> Iterator[Task]:
        """Yield tasks until the end of input, or (if not ``to_the_end``) a stop."""
        while True:
            queued, start = waiting.qsize(), time.perf_counter()
            task = waiting.get()
            clock.waited(start, queued)
            if task is None or (self._stopped and not to_the_end):
                return
            yield task

    def _decode(self, clock: Clock) -> None:
        for task in self._take(self._to_decode, clock):
            start = time.perf_counter()
            self._workshop.decoder(task)
            clock.worked(start, image=task.path)
            (self._finished if task.error else self._to_infer).put(task)
        with self._lock:
            self._decoding -= 1
            if self._decoding == 0:
                self._to_infer.put(None)

    def _infer(self, clock: Clock) -> None:
        group: list[Task] = []
        for task in self._take(self._to_infer, clock):
            group.append(task)
            if len(group) == self._workshop.batch:
                self._infer_group(group, clock)
                group = []
        if group and not self._stopped:
            self._infer_group(group, clock)
        for _ in range(self._sinks):
            self._to_sink.put(None)

    def _infer_group(self, group: list[Task], clock: Clock) -> None:
        start = time.perf_counter()
        self._workshop.inference(group)
        clock.worked(start, len(group), batch=len(group))
        for task in group:
            (self._finished if task.error else self._to_sink).put(task)

    def _write(self, clock: Clock) -> None:
        for task in self._take(self._to_sink, clock, to_the_end=True):
            start = time.perf_counter()
            self._workshop.sink(task)
            clock.worked(start, image=task.path)
            self._finished.put(task)

"""What each thread of a stage does with its time: one clock a thread, added up for the table at the end of a run."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from batch.executors.trace import Trace


@dataclass
class Clock:
    """Of one thread: seconds ``busy``, seconds ``waiting`` for work, images done, and what it saw waiting each time."""

    stage: str
    trace: Trace | None = None
    busy: float = 0.0
    waiting: float = 0.0
    count: int = 0
    looks: int = 0
    seen: int = 0

    def worked(self, start: float, images: int = 1, **about: Any) -> None:
        """Count the time since ``start`` (of ``time.perf_counter``) as busy; ``about``: what the trace says of it."""
        end = time.perf_counter()
        self.busy += end - start
        self.count += images
        if self.trace is not None:
            self.trace.span(self.stage, start, end, **about)

    def waited(self, start: float, queued: int) -> None:
        """Count the time since ``start`` as waiting, at a queue that held so many."""
        self.waiting += time.perf_counter() - start
        self.looks += 1
        self.seen += queued
        if self.trace is not None:
            self.trace.count(f"before {self.stage}", queued)


@dataclass(frozen=True)
class StageTimes:
    """A stage's threads together. ``busy`` and ``waiting`` are shares of their time (the rest: being scheduled);
    ``milliseconds`` are per image; ``queue`` is the mean number of images that wait for the stage.
    """

    stage: str
    threads: int
    busy: float
    waiting: float
    milliseconds: float
    queue: float
    images: int

    @classmethod
    def of(cls, clocks: Sequence[Clock], seconds: float) -> StageTimes:
        """Add up the threads of one stage over a run of so many ``seconds``."""
        whole = max(seconds * len(clocks), 1e-9)
        busy, waiting = sum(clock.busy for clock in clocks), sum(clock.waiting for clock in clocks)
        count, looks = sum(clock.count for clock in clocks), sum(clock.looks for clock in clocks)
        return cls(
            stage=clocks[0].stage,
            threads=len(clocks),
            busy=min(1.0, busy / whole),
            waiting=min(1.0, waiting / whole),
            milliseconds=1000 * busy / max(1, count),
            queue=sum(clock.seen for clock in clocks) / max(1, looks),
            images=count,
        )


def stage_table(stages: Sequence[StageTimes]) -> list[str]:
    """Return a table for people, with the stage that the others wait for."""
    if not stages:
        return []
    header = f"{'stage':<8}{'threads':>8}{'busy':>7}{'waiting':>9}{'ms/image':>10}{'queue':>8}"
    rows = [
        f"{stage.stage:<8}{stage.threads:>8}{stage.busy:>7.0%}{stage.waiting:>9.0%}{stage.milliseconds:>10.2f}"
        f"{stage.queue:>8.1f}"
        for stage in stages
    ]
    slowest = max(stages, key=lambda stage: stage.busy)
    return [header, *rows, f"bottleneck: {slowest.stage} (busy {slowest.busy:.0%} of the time)"]

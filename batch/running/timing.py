"""How the stages of a run spend their time: spans, added up for the table at the end and written to a trace."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from batch.running.trace import Trace
from batch.steps.task import Span

HERE = ("walk", "ledger")
"""Stages in the run's own process: the first and the last."""
STAGES = (HERE[0], "decode", "infer", "write", HERE[1])


@dataclass(frozen=True)
class StageTimes:
    """A stage's threads together. ``busy``: share of their time; ``milliseconds``: of work per image."""

    stage: str
    threads: int
    busy: float
    milliseconds: float
    images: int


@dataclass
class _Sum:
    seconds: float = 0.0
    images: int = 0
    threads: set[int] = field(default_factory=set)


class Stages:
    """The stages of one run. For one thread."""

    def __init__(self) -> None:
        self.trace: Trace | None = None
        self._process, self._thread = os.getpid(), threading.get_native_id()
        self._sums = {stage: _Sum() for stage in STAGES}

    def add(self, process: int, path: str, spans: Iterable[Span]) -> None:
        """Add the spans of a ``process``, from the image at ``path``."""
        for span in spans:
            stage, thread, start, end, images = span
            if end <= start:
                continue
            found = self._sums[stage]
            found.seconds += end - start
            found.images += images
            found.threads.add(thread)
            if self.trace is not None:
                self.trace.span(process, path, span)

    @contextmanager
    def ledger(self, images: int = 0) -> Iterator[None]:
        """Count the time of the enclosed block as the ledger's."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.add(self._process, "", [(HERE[1], self._thread, start, time.perf_counter(), images)])

    def table(self, seconds: float) -> list[StageTimes]:
        """Return the times of the stages in a run of ``seconds``."""
        return [
            StageTimes(
                stage,
                len(found.threads),
                min(1.0, found.seconds / max(seconds * len(found.threads), 1e-9)),
                1000 * found.seconds / max(1, found.images),
                found.images,
            )
            for stage, found in self._sums.items()
            if found.threads
        ]


def stage_table(stages: Sequence[StageTimes]) -> list[str]:
    """Return a table for a person, with the stage that the others wait for."""
    if not stages:
        return []
    rows = [f"{stage.stage:<8}{stage.threads:>8}{stage.busy:>7.0%}{stage.milliseconds:>10.2f}" for stage in stages]
    slowest = max(stages, key=lambda stage: stage.busy)
    return [
        f"{'stage':<8}{'threads':>8}{'busy':>7}{'ms/image':>10}",
        *rows,
        f"bottleneck: {slowest.stage} (busy {slowest.busy:.0%} of the time)",
    ]

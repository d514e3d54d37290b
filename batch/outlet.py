"""What engines have in common: finished jobs, taken out by one thread, and the count of what is still under way."""

from __future__ import annotations

import queue
from collections.abc import Iterator

from batch.stages import Job

JobQueue = queue.SimpleQueue[Job | None]


class Outlet:
    """Finished jobs. ``in_flight``: handed in and not yet taken out."""

    def __init__(self) -> None:
        self.in_flight = 0
        self._finished = JobQueue()

    def results(self, *, wait: bool) -> Iterator[Job]:
        """Yield what is finished; if ``wait``, at least one, given that something is in flight and nobody wakes us."""
        wait = wait and self.in_flight > 0
        while True:
            try:
                job = self._finished.get(block=wait)
            except queue.Empty:
                return
            if job is None:
                return
            wait = False
            self.in_flight -= 1
            yield job

    @property
    def has_results(self) -> bool:
        """Is anything finished and not yet taken?"""
        return not self._finished.empty()

    def wake(self) -> None:
        """Let :meth:`results` return although nothing is finished. May be called anywhere, in signal handlers too."""
        self._finished.put(None)

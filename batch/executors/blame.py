"""Whose fault it is that a worker ended or hangs, and what is said of that image."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from batch.figures import Finish
from batch.steps.begun import Slot
from batch.steps.task import Task

ATTEMPTS = 2
"""What a process or a run ended on so often has failed."""
MOST_SEEN_SECONDS = 1.0
"""Between two looks no more counts: the whole machine may have slept meanwhile, or stood still."""
OPENING_SECONDS = 900.0
"""So long may a process take to open its model: some engines build it anew for the device."""
ONCE_MORE = 1
"""Attempts on record of an image that failed for that reason: the next run tries it once, alone."""
GIVEN_UP = (
    "Two runs were killed while it was worked on; expected an image that can be read in the memory that there is. "
    "Check the file, or give the run more memory. The next run tries it once more, alone."
)


class Hangs:
    """How long images have been worked on, as the run saw it. ``timeout``: seconds for one; a batch has so much for
    each of its images.
    """

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._seen: dict[int, dict[Slot, float]] = {}
        self._silent: dict[int, float] = {}

    def overdue(self, worker: int, slots: Iterable[Slot], seconds: float) -> set[int]:
        """Return the rows that a worker has worked on for too long, ``seconds`` after the last look."""
        before = self._seen.get(worker, {})
        seen = {slot: before.get(slot, 0.0) + min(seconds, MOST_SEEN_SECONDS) for slot in slots}
        self._seen[worker] = seen
        together = Counter(slot.since for slot in seen)
        return {slot.row for slot, long in seen.items() if long > self._timeout * together[slot.since]}

    def is_silent(self, process: int, seconds: float | None, *, is_ready: bool) -> bool:
        """Has a process not begun what it should for too long? ``seconds``: after the last look; None: it has."""
        if seconds is None:
            self._silent.pop(process, None)
            return False
        self._silent[process] = self._silent.get(process, 0.0) + min(seconds, MOST_SEEN_SECONDS)
        return self._silent[process] > (self._timeout if is_ready else max(self._timeout, OPENING_SECONDS))


def crashed(task: Task, how: str) -> Finish:
    """Return what the ledger is told of an image that a process ended on, again. ``how``: it ended."""
    return _failed(
        task,
        f"The process that read it ended twice ({how}), the second time alone; expected an image that can be read. "
        "Check the file, or save it anew; it may also need more memory than there is.",
    )


def hung(task: Task, timeout: float) -> Finish:
    """Return what the ledger is told of an image that took too long, again."""
    return _failed(
        task,
        f"It took longer than {timeout:g} s, twice; expected less. Check the file, or save it anew, or give more time "
        "with --timeout.",
    )


def given_up(row: int) -> Finish:
    """Return what the ledger is told of an image that whole runs were killed on."""
    return Finish(row, error=GIVEN_UP, was_read=False, attempts=ONCE_MORE)


def _failed(task: Task, reason: str) -> Finish:
    return Finish(task.row, error=reason, was_read=False, attempts=ONCE_MORE)

"""Decide which image made a worker end or hang, and what is recorded for it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from batch.figures import Finish
from batch.steps.begun import Slot
from batch.steps.task import Task

ATTEMPTS = 2
"""An image has failed after a process or a run ended on it this many times."""
MOST_SEEN_SECONDS = 1.0
"""Longer gaps between two checks count as this long: the machine may have been suspended."""
OPENING_SECONDS = 900.0
"""How long a process may take to open its model: some engines are built for the device."""
ONCE_MORE = 1
"""Recorded attempts of an image that failed this way: the next run tries it once, alone."""
GIVEN_UP = (
    "Two runs were killed while they worked on it. Check the file, or give the run more memory. The next run tries it "
    "once more, alone."
)


class Hangs:
    """How long images have been worked on, as the run measured it. ``timeout``: seconds for one image; a batch may take
    that long for each of its images.
    """

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._seen: dict[int, dict[Slot, float]] = {}
        self._silent: dict[int, float] = {}

    def overdue(self, worker: int, slots: Iterable[Slot], seconds: float) -> set[int]:
        """Return the rows that a worker has worked on for too long, ``seconds`` after the last check."""
        before = self._seen.get(worker, {})
        seen = {slot: before.get(slot, 0.0) + min(seconds, MOST_SEEN_SECONDS) for slot in slots}
        self._seen[worker] = seen
        together = Counter(slot.since for slot in seen)
        return {slot.row for slot, long in seen.items() if long > self._timeout * together[slot.since]}

    def is_silent(self, process: int, seconds: float | None, *, is_ready: bool) -> bool:
        """Return whether a process has not begun its work for too long. ``seconds``: since the last check; None: no."""
        if seconds is None:
            self._silent.pop(process, None)
            return False
        self._silent[process] = self._silent.get(process, 0.0) + min(seconds, MOST_SEEN_SECONDS)
        return self._silent[process] > (self._timeout if is_ready else max(self._timeout, OPENING_SECONDS))


def crashed(task: Task, how: str) -> Finish:
    """Return the failure of an image that a process ended on for the second time. ``how``: how it ended."""
    return _failed(
        task,
        f"The process that read it ended twice ({how}), the second time while working on it alone. Check the file or "
        "save it again. It may also need more memory than there is.",
    )


def hung(task: Task, timeout: float) -> Finish:
    """Return the failure of an image that took too long for the second time."""
    return _failed(
        task,
        f"It took longer than {timeout:g} s, twice. Check the file or save it again, or allow more time with "
        "--timeout.",
    )


def given_up(row: int) -> Finish:
    """Return the failure of an image on which two whole runs were killed."""
    return Finish(row, error=GIVEN_UP, was_read=False, attempts=ONCE_MORE)


def _failed(task: Task, reason: str) -> Finish:
    return Finish(task.row, error=reason, was_read=False, attempts=ONCE_MORE)

"""The queue of images for workers: most in groups, which are the model's batches, some alone."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Sequence

from batch.executors.batches import AHEAD
from batch.executors.messages import Parcel
from batch.executors.process import Worker
from batch.steps.task import Task

HELD_AT_LEAST = 16
"""Images that a worker may hold, so that small images do not cost a message each and no worker waits for one."""
EXACT_HELD = 4
"""The same in exact mode, where an image may take a hundred megabytes of pixels."""
PARTIAL_SECONDS = 0.1
"""How long an incomplete batch of a run waits for more images."""
MOST_SOLO = 64
"""While this many images wait to be worked on alone, no others are begun."""


class Line:
    """The waiting images. ``batch``: size of a group. ``workers``: how many there are. ``partial_seconds``: how long an
    incomplete batch waits for more images while a worker is idle; None: :data:`PARTIAL_SECONDS`.
    """

    def __init__(self, batch: int, workers: int, *, exact: bool, partial_seconds: float | None = None) -> None:
        self._batch, self._partial_seconds = batch, partial_seconds
        self._credit = EXACT_HELD if exact else max(HELD_AT_LEAST, (AHEAD + 2) * batch)
        self._enough = max(batch, workers * self._credit // 2)
        self._groups: deque[Task] = deque()
        self._solo: deque[Task] = deque()
        self._last: deque[Task] = deque()
        self._reserved: Worker | None = None
        self._waiting_since = 0.0

    def __len__(self) -> int:
        return len(self._groups) + len(self._solo) + len(self._last)

    @property
    def wants_more(self) -> bool:
        """Return whether more images should be fetched from the source."""
        return len(self._groups) < self._enough and len(self._solo) + len(self._last) < MOST_SOLO

    def add(self, tasks: Iterable[Task]) -> None:
        """Add new tasks. Those on which a whole run was killed come last, so that little is lost by another kill."""
        if not self._groups:
            self._waiting_since = time.monotonic()
        for task in tasks:
            (self._last if task.attempts else self._groups).append(task)

    def add_solo(self, task: Task) -> None:
        """Add a task that must be worked on alone."""
        self._solo.append(task._replace(solo=True))

    def put_back(self, task: Task) -> None:
        """Put back a task that a worker had not begun."""
        (self._solo if task.solo else self._groups).appendleft(task)

    def hand_out(self, workers: Sequence[Worker], *, starved: bool, ended: bool) -> dict[Worker, Parcel]:
        """Return what to send to each worker; it counts as held by it.

        ``starved``: the source has nothing now, so an idle worker soon gets less than a batch. ``ended``: the source
        has nothing more.
        """
        patience = PARTIAL_SECONDS if self._partial_seconds is None else self._partial_seconds
        starved = starved and time.monotonic() - self._waiting_since >= patience
        ready = [worker for worker in workers if worker.is_ready]
        if self._last and not self._groups and not any(worker.load for worker in workers):
            self.add_solo(self._last.popleft())
        parcels: dict[Worker, Parcel] = {}
        self._hand_out_solo(ready, parcels)
        free = [worker for worker in ready if worker is not self._reserved and not worker.has_solo]
        for number, worker in enumerate(sorted(free, key=_load)):
            share = -(-len(self._groups) // (len(free) - number))
            self._fill(worker, share, parcels, starved=starved, ended=ended)
        return parcels

    def _fill(self, worker: Worker, share: int, parcels: dict[Worker, Parcel], *, starved: bool, ended: bool) -> None:
        """Give a worker as many full groups as it may hold, up to its share; the last group may be incomplete."""
        room = max(self._credit - worker.load, 0 if worker.load else self._batch)
        while room >= self._batch and share > 0:
            is_whole = len(self._groups) >= self._batch or ended
            if not self._groups or not (is_whole or (starved and not worker.load)):
                return
            group = [self._groups.popleft() for _ in range(min(self._batch, len(self._groups)))]
            self._give(worker, group, parcels)
            room, share = room - len(group), share - len(group)

    def _hand_out_solo(self, ready: Sequence[Worker], parcels: dict[Worker, Parcel]) -> None:
        """Keep one worker free for an image that must be worked on alone, one at a time over the whole run."""
        if self._reserved not in ready:
            self._reserved = None
        if not self._solo or not ready or any(worker.has_solo for worker in ready):
            return
        if self._reserved is None:
            self._reserved = min(ready, key=_load)
        if not self._reserved.load:
            self._give(self._reserved, [self._solo.popleft()], parcels)
            self._reserved = None

    @staticmethod
    def _give(worker: Worker, group: list[Task], parcels: dict[Worker, Parcel]) -> None:
        worker.held.update({task.row: task for task in group})
        parcels.setdefault(worker, []).append(group)


def _load(worker: Worker) -> int:
    return worker.load

"""Several processes with a pipeline each, behind the face of one; the ledger, and an archive of masks, stay here.

Each process is spoken to over a socket pair: tasks go out, results come back. Where one ends by itself, the run ends
with an error, and what it had under way stays pending.
"""

from __future__ import annotations

import contextlib
import functools
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing import Pipe as socket_pair
from multiprocessing.connection import Connection
from multiprocessing.connection import wait as wait_for
from pathlib import Path
from typing import Self, cast

from batch.errors import ProcessError
from batch.executors.base import Bound, Opened, bound_for
from batch.executors.messages import HANDFUL, Bye, Failed, Hello, Order, Orders, Outcome
from batch.executors.placement import Share
from batch.executors.start import END_SECONDS, Process, end_processes
from batch.executors.timing import Clock
from batch.executors.trace import Trace
from batch.outputs.base import Store
from batch.outputs.probabilities import ProbFiles
from batch.outputs.spec import Output
from batch.settings import RunSettings
from batch.steps.task import NOTHING, Task, blame


@dataclass
class _Member:
    """One process, and what it has under way."""

    process: Process
    opened: Opened | None = None
    under_way: int = 0
    waiting: list[Order] = field(default_factory=list)
    bye: Bye | None = None


class CrewEngine:
    """Processes that open the model, each on its share. Raises :class:`ProcessError` for what they raise."""

    def __init__(self, settings: RunSettings, shares: Sequence[Share], processes: Sequence[Process]) -> None:
        self._settings = settings
        self._members = [_Member(process) for process in processes]
        relay = Output.of(settings.out, settings.ledger).is_archive
        for index, (share, process) in enumerate(zip(shares, processes, strict=True)):
            with contextlib.suppress(OSError):  # it is gone, which is noticed when it does not greet
                process.connection.send(Orders(settings, share, index, relay))

    def start(self, store: Store, probs: ProbFiles | None, trace: Trace | None) -> tuple[Crew, Bound]:
        """Return the crew. ``probs`` are written by the processes themselves."""
        settings = self._settings
        one = bound_for(self.opened.batch or 1, exact=settings.exact)
        crew = Crew(self._members, self.opened, settings, store, trace)
        return crew, Bound(len(self._members) * one.in_flight, one.chunk)

    def close(self) -> None:
        """End the processes, whatever they do."""
        end_processes([member.process for member in self._members])

    @functools.cached_property
    def opened(self) -> Opened:
        """What every process has opened, all with the same result; waits for them."""
        for member in self._members:
            message = member.process.receive()
            if isinstance(message, Failed):
                raise ProcessError(message.message, message.exit_code)
            if not isinstance(message, Hello):
                raise ProcessError(f"A process began with {type(message).__name__}; expected a greeting.")
            member.opened = message.opened
        first = self._members[0].opened
        for member in self._members:
            if first is None or member.opened is None or member.opened.device.precision != first.device.precision:
                raise ProcessError("The devices compute in different precisions; expected one. Name one of them only.")
        if first is None:
            raise ProcessError("There is no process; expected one at least.")
        return first


class Crew:
    """Takes tasks, gives them back finished, in any order: see :class:`~batch.executors.base.Pipe`. For one thread."""

    wants = 1

    def __init__(
        self,
        members: Sequence[_Member],
        opened: Opened,
        settings: RunSettings,
        store: Store,
        trace: Trace | None = None,
    ) -> None:
        self.in_flight = 0
        self._members, self._opened = members, opened
        self._settings, self._store, self._trace = settings, store, trace
        self._tasks: dict[int, Task] = {}
        self._finished: deque[Task] = deque()
        self._woken, self._waker = socket_pair(duplex=False)
        self._over = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._tell_all("stop")
        deadline = time.monotonic() + END_SECONDS
        for member in self._members:
            with contextlib.suppress(ProcessError):  # its work stays pending; that the run ends is known by now
                while member.bye is None and member.process.connection.poll(max(0.0, deadline - time.monotonic())):
                    self._hear(member)
        self._over = True
        self._woken.close()
        self._waker.close()
        if self._trace is not None and self._settings.profile is not None:
            for index in range(len(self._members)):
                self._trace.include(part_of(self._settings.profile, index))

    @property
    def clocks(self) -> list[Clock]:
        """Of all threads in all processes."""
        return [clock for member in self._members if member.bye for clock in member.bye.clocks]

    @property
    def notes(self) -> list[str]:
        """What the processes had to say."""
        return list(dict.fromkeys(note for member in self._members if member.bye for note in member.bye.notes))

    @property
    def has_results(self) -> bool:
        """Is anything finished and not yet taken?"""
        return bool(self._finished)

    def submit(self, task: Task) -> None:
        """Hand in a task, to the process that has least to do; a redraw is done here."""
        self.in_flight += 1
        if task.redraw:
            self._redraw(task)
            self._finished.append(task)
            return
        self._tasks[task.row] = task
        member = min(self._members, key=lambda member: member.under_way)
        member.under_way += 1
        member.waiting.append(_order(task))
        task.content = NOTHING  # it may be all of an image, which is the other process's now
        if len(member.waiting) >= HANDFUL:
            self._send(member)

    def end_of_input(self) -> None:
        """Say that no task will follow."""
        self._tell_all("end")

    def wake(self) -> None:
        """Let :meth:`results` return. May be called anywhere, in signal handlers too."""
        with contextlib.suppress(OSError):  # it is over
            self._waker.send(None)

    def results(self, *, wait: bool) -> Iterator[Task]:
        """Yield what is finished; see :class:`~batch.executors.base.Pipe`.

        Raises :class:`ProcessError` for what a process raises, or if it ends by itself.
        """
        if not self._over:
            for member in self._members:
                self._send(member)
            self._hear_all(None if wait and self.in_flight and not self._finished else 0.0)
        while self._finished:
            self.in_flight -= 1
            yield self._finished.popleft()

    @functools.cached_property
    def _redraw(self) -> Callable[[Task], None]:
        from batch.steps.stages import Sink

        threshold = self._opened.contract.threshold
        return Sink(self._store, threshold, self._settings.bits, self._settings.overlays)

    def _tell_all(self, word: str) -> None:
        for member in self._members:
            if word == "end":
                self._send(member)
            with contextlib.suppress(OSError):  # it is gone, which is noticed when it is listened to
                member.process.connection.send(word)

    def _send(self, member: _Member) -> None:
        if member.waiting:
            with contextlib.suppress(OSError):  # as above
                member.process.connection.send(member.waiting)
            member.waiting = []

    def _hear_all(self, seconds: float | None) -> None:
        """Take in what processes have to say; wait for it so long, or (None) until one does or somebody wakes us."""
        speakers = {member.process.connection: member for member in self._members if member.bye is None}
        for connection in wait_for([*speakers, self._woken], seconds):
            if connection is self._woken:
                self._woken.recv()
            else:
                self._hear(speakers[cast(Connection, connection)])

    def _hear(self, member: _Member) -> None:
        """Take in one message. Raises :class:`ProcessError`."""
        message = member.process.receive()
        if isinstance(message, Failed):
            raise ProcessError(message.message, message.exit_code)
        if isinstance(message, Bye):
            member.bye = message
        elif isinstance(message, list):
            for outcome in message:
                self._take_in(member, outcome)

    def _take_in(self, member: _Member, outcome: Outcome) -> None:
        task = self._tasks.pop(outcome.row)
        outcome.onto(task)
        if outcome.mask is not None and task.error is None:
            try:
                self._store.write(task.mask, outcome.mask)
            except OSError as error:
                blame(task, self._store, error)
        member.under_way -= 1
        self._finished.append(task)


def part_of(profile: Path, index: int) -> Path:
    """Return where a process writes its part of a trace."""
    return profile.with_name(f"{profile.name}.{index}")


def _order(task: Task) -> Order:
    return Order(task.row, task.path, task.mask, task.bytes, task.mtime_ns, task.content, task.is_fresh, task.made)

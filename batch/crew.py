"""Several processes with a pipeline each, behind the face of one; the ledger, and an archive of masks, stay here.

Each process is spoken to over a socket pair: jobs go out, results come back. Where one ends by itself, the run ends
with an error, and what it had under way stays pending.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing import Pipe as socket_pair
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Self

import batch
from batch.clocks import Clock
from batch.engine import Opened, Share
from batch.errors import ProcessError
from batch.member import Bye, Failed, Hello, Orders, Results
from batch.outlet import Outlet
from batch.outputs import Output
from batch.probs import ProbFiles
from batch.settings import RunSettings
from batch.stages import Job, Sink, blame
from batch.stores import Store
from batch.trace import Trace
from batch.workshop import Bound

HANDFUL = 8
"""Jobs that are sent together, so that small images do not cost a message each."""
END_SECONDS = 60.0


@dataclass
class _Member:
    """One process, this end of its connection, and what it has under way."""

    process: subprocess.Popen[bytes]
    connection: Connection
    opened: Opened | None = None
    under_way: int = 0
    waiting: list[Job] = field(default_factory=list)
    bye: Bye | None = None
    reader: threading.Thread | None = None


class CrewEngine:
    """Processes that have opened the model, each on its share. Raises :class:`ProcessError` for what they raise."""

    def __init__(self, settings: RunSettings, shares: Sequence[Share]) -> None:
        self._settings = settings
        self._members: list[_Member] = []
        relay = Output.of(settings.out, settings.ledger).is_archive
        try:
            for index, share in enumerate(shares):
                self._members.append(_start())
                self._members[-1].connection.send(Orders(settings, share, index, relay))
            self.opened = self._greeted()
        except BaseException:
            self.close()
            raise

    def start(self, store: Store, probs: ProbFiles | None, trace: Trace | None) -> tuple[Crew, Bound]:
        """Return the crew. ``probs`` are written by the processes themselves."""
        settings = self._settings
        sink = Sink(store, self.opened.contract.threshold, settings.mask_bits, settings.overlays)
        one = Bound.of(self.opened.batch or 1, exact=settings.exact)
        crew = Crew(self._members, sink, trace, settings.profile)
        return crew, Bound(len(self._members) * one.in_flight, one.chunk)

    def close(self) -> None:
        """End the processes, whatever they do."""
        for member in self._members:
            with contextlib.suppress(OSError):
                member.connection.close()
            if member.process.poll() is None:
                member.process.kill()
            member.process.wait()

    def _greeted(self) -> Opened:
        """Wait until every process has opened the model, all with the same result."""
        for member in self._members:
            message = _receive(member)
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


class Crew(Outlet):
    """Takes jobs, gives them back finished, in any order. To be used as a context manager, by one thread."""

    def __init__(self, members: Sequence[_Member], sink: Sink, trace: Trace | None, profile: Path | None) -> None:
        super().__init__()
        self._members, self._sink, self._trace, self._profile = members, sink, trace, profile
        self._jobs: dict[int, Job] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        for member in self._members:
            member.reader = threading.Thread(target=self._read, args=(member,), name="batch-results", daemon=True)
            member.reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._tell_all("stop")
        deadline = time.monotonic() + END_SECONDS
        for member in self._members:
            if member.reader is not None:
                member.reader.join(max(0.0, deadline - time.monotonic()))
        if self._trace is not None and self._profile is not None:
            for index in range(len(self._members)):
                self._trace.include(part_of(self._profile, index))

    @property
    def clocks(self) -> list[Clock]:
        """Of all threads in all processes."""
        return [clock for member in self._members if member.bye for clock in member.bye.clocks]

    @property
    def notes(self) -> list[str]:
        """What the processes had to say."""
        return list(dict.fromkeys(note for member in self._members if member.bye for note in member.bye.notes))

    def submit(self, job: Job) -> None:
        """Hand in a job, to the process that has least to do; a redraw is done here."""
        self.in_flight += 1
        if job.redraw:
            self._sink(job)
            self._finished.put(job)
            return
        self._jobs[job.row] = job
        member = min(self._members, key=lambda member: member.under_way)
        with self._lock:
            member.under_way += 1
        member.waiting.append(job)
        if len(member.waiting) >= HANDFUL:
            self._send(member)

    def end_of_input(self) -> None:
        """Say that no job will follow."""
        self._tell_all("end")

    def _tell_all(self, word: str) -> None:
        for member in self._members:
            if word == "end":
                self._send(member)
            with contextlib.suppress(OSError):  # its reader says that it is gone
                member.connection.send(word)

    def results(self, *, wait: bool) -> Iterator[Job]:
        """Yield what is finished; see :class:`batch.outlet.Outlet`."""
        for member in self._members:
            self._send(member)
        return super().results(wait=wait)

    def _send(self, member: _Member) -> None:
        if member.waiting:
            with contextlib.suppress(OSError):  # as above
                member.connection.send(member.waiting)
            member.waiting = []

    def _read(self, member: _Member) -> None:
        """Take in what a process has to say, in a thread of its own, until it says bye or is gone."""
        try:
            while not isinstance(message := _receive(member), Bye):
                if isinstance(message, Failed):
                    raise ProcessError(message.message, message.exit_code)
                if isinstance(message, Results):
                    self._take_in(member, message)
            member.bye = message
        except BaseException as error:  # a thread must not die in silence: the run would wait for ever
            self._finished.put(Job(0, "", "", 0, 0, fatal=error))

    def _take_in(self, member: _Member, results: Results) -> None:
        for outcome in results.outcomes:
            job = self._jobs.pop(outcome.row)
            outcome.onto(job)
            if outcome.mask is not None and job.error is None:
                try:
                    self._sink.store.write(job.mask, outcome.mask)
                except OSError as error:
                    blame(job, self._sink.store, error)
            with self._lock:
                member.under_way -= 1
            self._finished.put(job)


def part_of(profile: Path, index: int) -> Path:
    """Return where a process writes its part of a trace."""
    return profile.with_name(f"{profile.name}.{index}")


def _start() -> _Member:
    """Start a process: this interpreter, this package, and nothing that lies in the working folder."""
    ours, theirs = socket_pair()
    root = str(Path(batch.__file__).resolve().parent.parent)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))}
    command = [sys.executable, "-P", "-c", "from batch.member import main; main()", str(theirs.fileno())]
    process = subprocess.Popen(command, pass_fds=[theirs.fileno()], env=environment, stdin=subprocess.DEVNULL)
    theirs.close()
    return _Member(process, ours)


def _receive(member: _Member) -> object:
    try:
        return member.connection.recv()
    except (EOFError, OSError, pickle.UnpicklingError) as error:
        code = member.process.wait(END_SECONDS)
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        raise ProcessError(
            f"A process that segments images ended by itself ({how}); expected it to go on. It may have run out of "
            "memory, or an image may break its decoder. Run again to go on, with --processes 1 if it happens again."
        ) from error

"""A process of a crew: it opens the model on its share, and runs tasks through a pipeline of its own."""

from __future__ import annotations

import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Iterable
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from batch.executors.base import Opened, Pipe
from batch.executors.factory import open_for, set_up
from batch.executors.messages import HANDFUL, Bye, Failed, Hello, Orders, Outcome
from batch.executors.trace import tracing
from batch.outputs.base import MaskFiles
from batch.outputs.probabilities import ProbFiles
from batch.outputs.spec import Output
from batch.steps.task import Task
from seglab.errors import SeglabError

PARTIAL_BATCH_SECONDS = 0.05
"""So long is a batch that is not full worth waiting for."""
REPORT_SECONDS = 0.1
"""So long does what is finished wait for company."""


class Relayed:
    """A store that holds masks until they are sent."""

    def __init__(self) -> None:
        self._masks: dict[str, bytes] = {}

    def write(self, mask: str, data: bytes, *, is_fresh: bool = False, made: str = "") -> None:
        """Hold a mask."""
        self._masks[mask] = data

    def take(self, mask: str) -> bytes | None:
        """Give a mask out."""
        return self._masks.pop(mask, None)

    def read(self, mask: str) -> bytes:
        """Raise :class:`FileNotFoundError`: masks are read where they are written."""
        raise FileNotFoundError(2, "it is written by another process", mask)

    def where(self, mask: str) -> str:
        """Return the name."""
        return mask


class Reports:
    """Outcomes on their way back, several in a message. ``relay``: has the masks that go with them."""

    def __init__(self, connection: Connection, relay: Relayed | None) -> None:
        self._connection, self._relay = connection, relay
        self._outcomes: list[Outcome] = []
        self._sent = time.monotonic()

    @property
    def are_due(self) -> bool:
        """Are there many, or did they wait for long?"""
        return len(self._outcomes) >= HANDFUL or time.monotonic() - self._sent > REPORT_SECONDS

    def add(self, tasks: Iterable[Task]) -> None:
        """Take what became of tasks. Raises what must end the run."""
        for task in tasks:
            if task.fatal is not None:
                raise task.fatal
            mask = self._relay.take(task.mask) if self._relay is not None else None
            read = (task.row, task.bytes, task.mtime_ns)
            self._outcomes.append(
                Outcome(
                    *read,
                    task.figures,
                    task.seconds,
                    task.error,
                    mask,
                    task.version,
                    task.sha256,
                    task.was_read,
                    task.remark,
                )
            )

    def send(self) -> None:
        """Send what there is."""
        if self._outcomes:
            self._connection.send(self._outcomes)
            self._outcomes = []
        self._sent = time.monotonic()


def main() -> None:
    """Serve the connection whose number is the command line's one argument."""
    for number in (signal.SIGINT, signal.SIGTERM):  # the process that started this one decides
        signal.signal(number, signal.SIG_IGN)
    connection = Connection(int(sys.argv[1]))
    try:
        _serve(connection)
    except (BrokenPipeError, ConnectionResetError, EOFError):  # nobody is there any more
        os._exit(1)
    except SeglabError as error:
        connection.send(Failed(str(error), error.exit_code))


def _serve(connection: Connection) -> None:
    orders: Orders = connection.recv()
    settings, share = replace(orders.settings, device=orders.share.device), orders.share
    if share.cores:
        os.sched_setaffinity(0, share.cores)
    model = open_for(settings, threads=len(share.cores) or None)
    connection.send(Hello(Opened.of(model)))
    relay = Relayed() if orders.relay else None
    store: MaskFiles = relay or Output.of(settings.out, settings.ledger).store()
    probs = ProbFiles(settings.probs, settings.probs_format) if settings.probs else None
    with tracing(_part(settings.profile, orders.index)) as trace:
        pipeline, _ = set_up(settings, model, store, probs, trace, settings.ledger)
        _work(connection, pipeline, relay)
    for clock in pipeline.clocks:
        clock.trace = None
    connection.send(Bye(pipeline.clocks, pipeline.notes))


def _part(profile: Path | None, index: int) -> Path | None:
    from batch.executors.processes import part_of

    return None if profile is None else part_of(profile, index)


def _work(connection: Connection, pipeline: Pipe, relay: Relayed | None) -> None:
    """Turn until the end of input, or a stop; then give back what is finished."""
    inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(connection, inbox, pipeline), daemon=True).start()
    words: set[str] = set()
    reports = Reports(connection, relay)
    try:
        with pipeline:
            while "stop" not in words and not ("end" in words and pipeline.in_flight == 0):
                patience = _patience(pipeline, ended="end" in words)
                if patience != 0.0 or pipeline.wants == 1 or reports.are_due:  # results may be long in coming
                    reports.send()
                _take_orders(inbox, pipeline, words, patience)
                reports.add(pipeline.results(wait=pipeline.in_flight > 0))
        while pipeline.has_results:
            reports.add(pipeline.results(wait=False))
    finally:
        reports.send()


def _patience(pipeline: Pipe, *, ended: bool) -> float | None:
    """Return how many seconds orders are worth waiting for; None: there is nothing else to do."""
    if pipeline.in_flight == 0:
        return None
    return PARTIAL_BATCH_SECONDS if pipeline.in_flight < pipeline.wants and not ended else 0.0


def _listen(connection: Connection, inbox: queue.SimpleQueue[Any], pipeline: Pipe) -> None:
    while True:
        try:
            message = connection.recv()
        except (EOFError, OSError):  # the process that started this one is gone: so is the lock on the output
            os._exit(1)
        inbox.put(message)
        pipeline.wake()
        if message == "stop":
            return


def _take_orders(inbox: queue.SimpleQueue[Any], pipeline: Pipe, words: set[str], patience: float | None) -> None:
    """Take what has come, after so many seconds of patience for the first."""
    while True:
        try:
            message = inbox.get(block=patience != 0.0, timeout=patience or None)
        except queue.Empty:
            return
        patience = 0.0
        if isinstance(message, str):
            words.add(message)
            if message == "end":
                pipeline.end_of_input()
            return
        for order in message:
            pipeline.submit(Task(**order._asdict()))

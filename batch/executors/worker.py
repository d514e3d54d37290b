"""A worker: a process that opens the model on its share of the machine, and processes the groups it is sent."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from multiprocessing.connection import Connection

from batch.errors import OutputError, printable
from batch.executors.base import Opened
from batch.executors.child import connection_to_parent, end_with_parent
from batch.executors.messages import STOP, Bye, Failed, Hello, Orders, Report
from batch.executors.opening import layout_for, open_for
from batch.settings import RunSettings
from batch.steps.begun import Begun
from batch.steps.mask_maker import MaskMaker
from batch.steps.stream import stream
from batch.steps.task import Outcome, Task
from export.runtime.model import Model
from seglab.errors import SeglabError

HANDFUL = 8
"""Outcomes per message, so that small images do not cost a message each."""
REPORT_SECONDS = 0.1
"""How long finished outcomes wait for others."""


def main() -> None:
    """Serve the connection whose file descriptor is the only command-line argument."""
    connection = connection_to_parent()
    try:
        _serve(connection)
    except (BrokenPipeError, ConnectionResetError, EOFError):  # the run is gone
        os._exit(1)
    except SeglabError as error:
        connection.send(Failed(error))


def _serve(connection: Connection) -> None:
    orders: Orders = connection.recv()
    end_with_parent(orders.run, dies_with_thread=orders.dies_with_thread)
    settings, share = replace(orders.settings, device=orders.share.device), orders.share
    if share.cores:
        os.sched_setaffinity(0, share.cores)
    model = open_for(settings, threads=share.threads)
    connection.send(Hello(Opened.of(model)))
    _work(connection, orders, settings, model)
    connection.send(Bye())


def _work(connection: Connection, orders: Orders, settings: RunSettings, model: Model) -> None:
    """Process the groups that are sent, until told to stop."""
    maker = MaskMaker(model, settings, orders.store, _begun(orders))
    reports = _Reports(connection, maker.notes)
    inbox = _Inbox(connection, reports)
    try:
        with layout_for(settings, model.device.name, orders.share.threads) as layout:
            for outcomes in stream(maker, inbox.take, *layout, inbox.is_stopped):
                reports.add(outcomes)
    finally:
        reports.send()


def _begun(orders: Orders) -> Begun:
    """Open the file in which this process records what it begins. Raises :class:`OutputError` if it is gone."""
    try:
        return Begun(orders.begun, orders.index)
    except OSError as error:
        raise OutputError(
            f"{printable(str(orders.begun))} cannot be opened ({error.strerror}). The output must not be moved or "
            "removed while a run writes to it. Put it back and run again, or start with a new one."
        ) from error


class _Reports:
    """Outcomes to send back, several per message."""

    def __init__(self, connection: Connection, notes: list[str]) -> None:
        self._connection, self._notes, self._noted = connection, notes, 0
        self._outcomes: list[Outcome] = []
        self._sent = time.monotonic()

    def add(self, outcomes: list[Outcome]) -> None:
        """Add outcomes; send them if they are many or have waited long."""
        self._outcomes += outcomes
        if len(self._outcomes) >= HANDFUL or time.monotonic() - self._sent > REPORT_SECONDS:
            self.send()

    def send(self) -> None:
        """Send all waiting outcomes."""
        if self._outcomes:
            self._connection.send(Report(self._outcomes, self._notes[self._noted :]))
            self._outcomes, self._noted = [], len(self._notes)
        self._sent = time.monotonic()


class _Inbox:
    """Groups that were sent and not begun yet."""

    def __init__(self, connection: Connection, reports: _Reports) -> None:
        self._connection, self._reports = connection, reports
        self._groups: deque[Sequence[Task]] = deque()
        self._stopped = False

    def is_stopped(self) -> bool:
        """Return whether the run said to stop."""
        return self._stopped

    def take(self, may_wait: bool) -> Sequence[Task] | None:
        """Return the next group, an empty one if there is none; wait for one only if there is no other work."""
        if may_wait and not self._groups:
            self._reports.send()
            self._receive()
        while not self._stopped and self._connection.poll(0):
            self._receive()
        if self._stopped:
            return None
        return self._groups.popleft() if self._groups else []

    def _receive(self) -> None:
        message = self._connection.recv()
        if message == STOP:
            self._stopped = True
        else:
            self._groups.extend(message)

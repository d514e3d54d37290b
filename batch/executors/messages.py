"""What a run and the processes of its crew say to each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from batch.executors.base import Opened
from batch.executors.placement import Share
from batch.executors.timing import Clock
from batch.figures import Figures
from batch.settings import RunSettings
from batch.sources.bytes import ByteSource
from batch.steps.task import Task

HANDFUL = 16
"""Tasks that are sent together, either way, so that small images do not cost a message each."""


@dataclass(frozen=True)
class Orders:
    """What a process is to do. ``relay``: masks are sent back, not written."""

    settings: RunSettings
    share: Share
    index: int
    relay: bool


@dataclass(frozen=True)
class Hello:
    """The model is open."""

    opened: Opened


@dataclass(frozen=True)
class Failed:
    """The run must end."""

    message: str
    exit_code: int


class Order(NamedTuple):
    """A task as it is sent: see :class:`batch.steps.task.Task`."""

    row: int
    path: str
    mask: str
    bytes: int
    mtime_ns: int
    content: ByteSource
    is_fresh: bool
    made: str


class Outcome(NamedTuple):
    """What became of a task: see :class:`batch.steps.task.Task`.

    ``size``: of the image file in bytes. ``mask``: the mask's file, where it is sent back.
    """

    row: int
    size: int
    mtime_ns: int
    figures: Figures | None
    seconds: float
    error: str | None
    mask: bytes | None
    version: str
    sha256: str
    was_read: bool
    remark: str

    def onto(self, task: Task) -> None:
        """Note it in the task that is waiting for it."""
        task.bytes, task.mtime_ns, task.seconds = self.size, self.mtime_ns, self.seconds
        task.figures, task.error = self.figures, self.error
        task.version, task.sha256, task.was_read = self.version, self.sha256, self.was_read
        task.remark = self.remark


@dataclass(frozen=True)
class Bye:
    """All is done, or stopped."""

    clocks: list[Clock]
    notes: list[str]

"""The messages between a run and its workers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from batch.executors.base import Opened
from batch.executors.placement import Share
from batch.outputs.base import MaskFiles
from batch.settings import RunSettings
from batch.steps.task import Outcome, Task
from seglab.errors import SeglabError

STOP = "stop"
"""Finish what was begun, and drop the rest."""
Parcel = list[Sequence[Task]]
"""Groups of tasks; each group is a batch of the model."""


@dataclass(frozen=True)
class Orders:
    """A worker's instructions. ``store``: where it writes masks; None: they are sent back. ``begun``: the file in which
    it records what it works on, at its ``index``. ``run``: ID of the process that sends this. ``dies_with_thread``:
    whether the thread that starts the worker is sure to live as long as the run.
    """

    settings: RunSettings
    share: Share
    index: int
    store: MaskFiles | None
    begun: Path | None
    run: int
    dies_with_thread: bool


@dataclass(frozen=True)
class Hello:
    """The model is open."""

    opened: Opened


class Report(NamedTuple):
    """Finished outcomes, and notes for the user."""

    outcomes: list[Outcome]
    notes: list[str]


@dataclass(frozen=True)
class Failed:
    """An error that must end the run."""

    error: SeglabError


@dataclass(frozen=True)
class Bye:
    """The worker was told to stop, and has stopped."""

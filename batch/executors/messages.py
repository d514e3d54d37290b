"""What a run and its workers say to each other."""

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
"""Finish what was begun, drop the rest."""
Parcel = list[Sequence[Task]]
"""Groups: each is a batch of the model."""


@dataclass(frozen=True)
class Orders:
    """What a worker is to do. ``store``: to which it writes masks; None: they are sent back. ``begun``: the file in
    which it notes what it works on, at the place of its ``index``. ``run``: number of the process that sends this.
    ``dies_with_thread``: is it sure that the thread that starts it lives as long as the run?
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
    """What is done, and what there is to say beside it."""

    outcomes: list[Outcome]
    notes: list[str]


@dataclass(frozen=True)
class Failed:
    """The run must end, with this error."""

    error: SeglabError


@dataclass(frozen=True)
class Bye:
    """A worker was told to stop, and has."""

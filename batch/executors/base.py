"""What an engine is: a model that is open somewhere, and the pipe that images go through."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Self

from batch.executors.timing import Clock
from batch.executors.trace import Trace
from batch.outputs.base import Store
from batch.outputs.probabilities import ProbFiles
from batch.steps.task import Task

if TYPE_CHECKING:
    from export.contract import Contract
    from export.runtime.device import Device
    from export.runtime.model import Model

BATCHES_IN_FLIGHT = 4
"""At most so many full batches are between the source and the ledger, plus the chunk that is being claimed."""
CHUNK = 32
"""Most items that are claimed in one transaction."""
WHOLE_IMAGES_IN_FLIGHT = 6
"""The same in exact mode, where each may hold a hundred megabytes of pixels."""


class Pipe(Protocol):
    """Takes tasks and gives them back finished: threads, a loop, or processes. A context manager.

    ``in_flight``: tasks handed in and not yet taken out. ``wants``: so many are worth waiting for before work begins.
    """

    in_flight: int
    wants: int

    def __enter__(self) -> Self:
        """Begin."""

    def __exit__(self, *_: object) -> None:
        """Stop."""

    def submit(self, task: Task) -> None:
        """Hand in a task."""

    def end_of_input(self) -> None:
        """Say that no task will follow."""

    def results(self, *, wait: bool) -> Iterator[Task]:
        """Yield what is finished; if ``wait``, at least one, given that something is in flight and nobody wakes us."""

    def wake(self) -> None:
        """Let :meth:`results` return although nothing is finished. May be called anywhere, in signal handlers too."""

    @property
    def has_results(self) -> bool:
        """Is anything finished and not yet taken?"""

    @property
    def clocks(self) -> list[Clock]:
        """Of every thread."""

    @property
    def notes(self) -> list[str]:
        """What there is to say beside results."""


@dataclass(frozen=True)
class Opened:
    """What is known of a model that was opened, here or in another process: see :class:`export.runtime.model.Model`."""

    path: Path
    sha256: str
    contract: Contract
    device: Device
    whole_device: Device
    batch: int | None

    @classmethod
    def of(cls, model: Model) -> Opened:
        """Take it from the model."""
        return cls(model.path, model.sha256, model.contract, model.device, model.whole_device, model.batch)


@dataclass(frozen=True)
class Bound:
    """How many items may be in flight, and how many are claimed at a time."""

    in_flight: int
    chunk: int


def bound_for(batch: int, *, exact: bool) -> Bound:
    """Return how much may be in flight, with this batch size."""
    if exact:
        return Bound(WHOLE_IMAGES_IN_FLIGHT, 1)
    return Bound(BATCHES_IN_FLIGHT * batch + CHUNK, CHUNK)


class Engine(Protocol):
    """A model that is open somewhere, ready to work, or will be soon."""

    @property
    def opened(self) -> Opened:
        """What is known of the model; waits until it is open, and raises what opening raises."""

    def start(self, store: Store, probs: ProbFiles | None, trace: Trace | None) -> tuple[Pipe, Bound]:
        """Return the pipe, and how much may be in flight."""

    def close(self) -> None:
        """Let go of the model."""

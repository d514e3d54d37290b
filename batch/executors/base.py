"""What an executor is: a model that is open somewhere, and what becomes of images that are handed to it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from batch.steps.task import Outcome, Task

if TYPE_CHECKING:
    from export.contract import Contract
    from export.runtime.device import Device
    from export.runtime.model import Model


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
class Turn:
    """What an executor has to say at a time. ``process``: the one that did it. ``blamed``: rows that a process ended
    on, so that the ledger knows it should the whole run end on the next attempt.
    """

    outcomes: Sequence[Outcome] = ()
    process: int = 0
    blamed: Sequence[int] = ()


class Executor(Protocol):
    """Does the work. For one thread, but for :meth:`stop`."""

    @property
    def notes(self) -> list[str]:
        """What a person should know beside outcomes."""

    @property
    def begun(self) -> int:
        """Images that are being worked on, and are finished after a stop."""

    def open(self) -> Opened:
        """Wait until the model is open. Raises what opening raises."""

    def run(self, groups: Iterator[Sequence[Task] | None]) -> Iterator[Turn]:
        """Yield what becomes of the tasks, in any order; a turn without outcomes now and then, so that the caller has
        its own.

        ``groups``: some tasks, none of them where they need no work, None where there are none now; at its end there
        are no more. Raises what ends the run, after all that is done was yielded.
        """

    def stop(self) -> None:
        """Ask for an end in good order: what was begun is finished, the rest dropped. May be called from anywhere."""

    def close(self) -> None:
        """End all that works, at once."""

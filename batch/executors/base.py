"""The protocol of an executor, and what it returns."""

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
    """The description of an open model, here or in another process, see :class:`export.runtime.model.Model`."""

    path: Path
    sha256: str
    contract: Contract
    device: Device
    whole_device: Device
    batch: int | None

    @classmethod
    def of(cls, model: Model) -> Opened:
        """Return the description of a model."""
        return cls(model.path, model.sha256, model.contract, model.device, model.whole_device, model.batch)


@dataclass(frozen=True)
class Turn:
    """What an executor yields at a time. ``process``: that did the work. ``blamed``: rows that a process ended on, for
    the ledger to record in case the whole run ends on the next attempt.
    """

    outcomes: Sequence[Outcome] = ()
    process: int = 0
    blamed: Sequence[int] = ()


class Executor(Protocol):
    """Does the work. For one thread, except :meth:`stop`."""

    @property
    def notes(self) -> list[str]:
        """Return notes for the user, beside the outcomes."""

    @property
    def begun(self) -> int:
        """Return how many images are being worked on; they are finished after a stop."""

    @property
    def is_idle(self) -> bool:
        """Return whether no image is being worked on, or held by a process that may begin it."""

    def open(self) -> Opened:
        """Wait until the model is open. Raises the errors of opening."""

    def run(self, groups: Iterator[Sequence[Task] | None]) -> Iterator[Turn]:
        """Yield the outcomes of the tasks, in any order; sometimes a turn without outcomes, to return control to the
        caller.

        ``groups``: yields lists of tasks, an empty list if images need no work, None if there are none now. Raises
        errors that end the run, after all finished outcomes are yielded.
        """

    def stop(self) -> None:
        """Ask for an orderly end: images in progress are finished, the rest is dropped. May be called from anywhere."""

    def close(self) -> None:
        """End all workers at once."""

"""Errors of model files: their contracts, their proofs, and the devices they run on."""

from __future__ import annotations

from functools import partial
from typing import Any

from seglab.errors import SeglabError


class ContractError(SeglabError):
    """A file is not a model with a contract, or has a format that this version does not know."""


class ParityError(SeglabError):
    """A model does not compute what its original computes.

    ``report``: an :class:`export.proof.gate.ParityReport` with the figures, if anything was measured.
    """

    def __init__(self, message: str, report: Any = None) -> None:
        super().__init__(message)
        self.report = report


class DeviceError(SeglabError):
    """A device that was asked for cannot be used.

    ``reason``: why, a clause. ``hint``: what to install or do, a sentence. ``available``: the device exists, but its
    results did not verify. ``out_of_memory``: a smaller batch may work. ``passing``: an engine failed in a way that may
    be temporary; wrong results are never temporary.
    """

    def __init__(
        self,
        device: str,
        reason: str,
        hint: str = "",
        *,
        available: bool = False,
        out_of_memory: bool = False,
        passing: bool = False,
    ) -> None:
        super().__init__(f"Device {device!r} cannot be used: {reason}. {hint}".rstrip())
        self.device = device
        self.reason = reason
        self.hint = hint
        self.available = available
        self.out_of_memory = out_of_memory
        self.passing = passing

    def __reduce__(self) -> tuple[Any, ...]:
        """Make the error picklable: a process pool would hang on an error that it cannot unpickle."""
        more = partial(DeviceError, available=self.available, out_of_memory=self.out_of_memory, passing=self.passing)
        return more, (self.device, self.reason, self.hint)

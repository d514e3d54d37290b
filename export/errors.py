"""Errors of the artefact: its contract, its proof, and the device it is to run on."""

from __future__ import annotations

from functools import partial
from typing import Any

from seglab.errors import SeglabError


class ContractError(SeglabError):
    """A file is not a model of ours, or of a format that this version does not know."""


class ParityError(SeglabError):
    """A model does not compute what the PyTorch original computes.

    ``report``: an :class:`export.proof.gate.ParityReport` with the figures, where something was measured.
    """

    def __init__(self, message: str, report: Any = None) -> None:
        super().__init__(message)
        self.report = report


class DeviceError(SeglabError):
    """A device that was asked for cannot be had.

    ``reason``: why, a clause. ``hint``: what to install or do, a sentence. ``available``: the device is there, but
    what ran on it did not verify. ``out_of_memory``: less at a time may do.
    ``passing``: an engine failed, which another time it may not; what was measured and found wrong is not passing.
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
        """Let it cross to another process: a pool would wait for ever for an error that it cannot read."""
        more = partial(DeviceError, available=self.available, out_of_memory=self.out_of_memory, passing=self.passing)
        return more, (self.device, self.reason, self.hint)

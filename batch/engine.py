"""The engine of a run: one pipeline in this process, or several processes with one each; and which of them to take.

On a processor, a process per core that is bound to it beats threads: nothing waits for Python's lock, and the model
needs no threads that wait for each other (``benchmarks/engine.py`` times both). On GPUs there is one process for each.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, Self

from batch.archives import is_archive
from batch.clocks import Clock
from batch.probs import ProbFiles
from batch.remote import is_url
from batch.settings import RunSettings
from batch.stages import Job
from batch.stores import Store
from batch.trace import Trace
from batch.workshop import Bound, may_be_gpu, open_for, set_up
from export.contract import Contract
from export.runtime import Device, Model
from seglab.errors import ConfigError

MOST_PROCESSES = 16
CAN_BIND = hasattr(os, "sched_setaffinity")


class Pipe(Protocol):
    """Takes jobs and gives them back finished: threads, a loop, or processes. A context manager.

    ``in_flight``: jobs handed in and not yet taken out. ``wants``: so many are worth waiting for before work begins.
    """

    in_flight: int
    wants: int

    def __enter__(self) -> Self:
        """Begin."""

    def __exit__(self, *_: object) -> None:
        """Stop."""

    def submit(self, job: Job) -> None:
        """Hand in a job."""

    def end_of_input(self) -> None:
        """Say that no job will follow."""

    def results(self, *, wait: bool) -> Iterator[Job]:
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
    """What is known of a model that was opened, here or in another process: see :class:`export.runtime.Model`."""

    path: Path
    sha256: str
    contract: Contract
    device: Device
    whole_on: str
    batch: int | None

    @classmethod
    def of(cls, model: Model) -> Opened:
        """Take it from the model."""
        return cls(model.path, model.sha256, model.contract, model.device, model.whole_on, model.batch)


class Engine(Protocol):
    """A model that is open somewhere, ready to work."""

    opened: Opened

    def start(self, store: Store, probs: ProbFiles | None, trace: Trace | None) -> tuple[Pipe, Bound]:
        """Return the pipe, and how much may be in flight."""

    def close(self) -> None:
        """Let go of the model."""


@dataclass(frozen=True)
class Share:
    """One process: its ``device``, and the ``cores`` that it is bound to; none: all of them."""

    device: str
    cores: tuple[int, ...] = ()


class HereEngine:
    """A pipeline in this process."""

    def __init__(self, settings: RunSettings, model: Model) -> None:
        self.opened = Opened.of(model)
        self._settings, self._model = settings, model

    def start(self, store: Store, probs: ProbFiles | None, trace: Trace | None) -> tuple[Pipe, Bound]:
        """Return the pipeline."""
        return set_up(self._settings, self._model, store, probs, trace)

    def close(self) -> None:
        """Do nothing: the model goes with the run."""


def open_engine(settings: RunSettings, *, few: bool) -> Engine:
    """Open the model that the settings name, in as many processes as serve the device; one for a ``few`` images.

    Raises ContractError, DeviceError, and :class:`batch.errors.ProcessError` for what they raise elsewhere.
    """
    shares = share_out(settings, few=few)
    if len(shares) == 1:
        return HereEngine(settings, open_for(replace(settings, device=shares[0].device)))
    from batch.crew import CrewEngine

    return CrewEngine(settings, shares)


def share_out(settings: RunSettings, *, few: bool) -> list[Share]:
    """Return the processes that a run takes: each on its device, bound to its part of the cores."""
    cores = sorted(os.sched_getaffinity(0)) if CAN_BIND else []
    on_gpu = len(settings.devices) > 1 or may_be_gpu(settings.device)
    alone = on_gpu or few or settings.exact or not CAN_BIND or _is_bound_here(settings)
    each = settings.processes or (1 if alone else min(len(cores), MOST_PROCESSES))
    devices = [device for device in settings.devices for _ in range(each)]
    if len(devices) == 1:
        return [Share(devices[0])]
    if sys.platform == "win32" or _is_bound_here(settings):
        raise ConfigError(
            f"{len(devices)} processes were asked for; expected 1 on Windows, and for archives at a URL. Leave "
            "--processes away, and name one device."
        )
    return [Share(device, tuple(_part(cores, index, len(devices)))) for index, device in enumerate(devices)]


def _is_bound_here(settings: RunSettings) -> bool:
    """Does a source need this process: an archive at a URL, which is open here?"""
    return any(is_url(source) and is_archive(source) for source in settings.sources)


def _part(cores: Sequence[int], index: int, count: int) -> Sequence[int]:
    """Return one of ``count`` shares of the cores; all of them where there are fewer than shares."""
    return cores[len(cores) * index // count : len(cores) * (index + 1) // count] or cores

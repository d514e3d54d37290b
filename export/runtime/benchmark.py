"""Measure the speed of models on the devices of this machine, by precision and batch length."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from export.errors import DeviceError
from export.runtime.choosing import timed_turns
from export.runtime.create import open_on
from export.runtime.device import check_asked
from export.runtime.devices.find import AUTO, plans_for
from export.runtime.model import Model
from export.runtime.opening import request_for


@dataclass(frozen=True)
class Settings:
    """What to time.

    ``devices``: by name; empty: all of ``cpu``, ``openvino`` and ``cuda`` that are here. ``batches``: lengths.
    ``seconds``: for each length, shared by all models and devices. ``threads``, ``compute``: as for
    :func:`export.runtime.opening.open_model`.
    """

    devices: tuple[str, ...] = ()
    batches: tuple[int, ...] = (1, 2, 4, 8)
    seconds: float = 2.0
    threads: int | None = None
    compute: str | None = None


@dataclass(frozen=True)
class Timed:
    """One way to run a model: images per second by batch length. ``failed``: why a length has no rate."""

    model: str
    device: str
    precision: str
    engine: str
    rates: dict[int, float] = field(default_factory=dict)
    failed: dict[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Absent:
    """A way to run a model that is not possible here: why, and what to do about it."""

    model: str
    device: str
    precision: str
    reason: str
    hint: str


@dataclass(frozen=True)
class Benchmark:
    """What was timed, and what could not be."""

    timed: tuple[Timed, ...]
    absent: tuple[Absent, ...]


def benchmark(paths: Sequence[Path], settings: Settings) -> Benchmark:
    """Time models at S x S, from bytes to probabilities. For each batch length all of them take turns, so that other
    load slows them alike; the median call counts. Each model is verified when it is opened.

    Raises :class:`export.errors.ContractError` for a file that is not a model, :class:`DeviceError` if a named device
    cannot be used, or none can, :class:`seglab.errors.ConfigError` for an unknown device name.
    """
    for name in settings.devices:
        check_asked(name, settings.compute)
    found = [entry for path in paths for entry in _ways(path, settings)]
    models = [entry for entry in found if isinstance(entry, Model)]
    absent = tuple(entry for entry in found if isinstance(entry, Absent))
    if not models:
        reason = "; ".join(f"{entry.device}: {entry.reason}" for entry in absent)
        raise DeviceError("auto", reason, "`seg-batch doctor` says what to install.")
    timed = [Timed(model.path.name, model.device.name, model.device.precision, model.device.engine) for model in models]
    for batch in settings.batches:
        _time(batch, list(zip(models, timed, strict=True)), settings.seconds)
    return Benchmark(tuple(timed), absent)


def _ways(path: Path, settings: Settings) -> Iterator[Model | Absent]:
    """Open a model on each device, by each of its plans."""
    names = tuple(name for name in settings.devices if name != "auto") or tuple(reversed(AUTO))
    request = request_for(path, names[0], threads=settings.threads, batch=settings.batches[0], compute=settings.compute)
    for name in dict.fromkeys(names):
        try:
            plans = plans_for(name, request)
        except DeviceError as error:
            if name in settings.devices:
                raise
            yield Absent(path.name, name, "", error.reason, error.hint)
            continue
        for plan in plans:
            try:
                yield open_on(request, plan)
            except DeviceError as error:
                yield Absent(path.name, plan.device, plan.precision, error.reason, error.hint)


def _time(batch: int, models: Sequence[tuple[Model, Timed]], seconds: float) -> None:
    """Add the rates of one batch length."""
    ready = []
    for model, timed in models:
        try:
            if model.batch != batch:
                model.use_batch(batch)
            timed_turns([model], 0)  # warms up, and shows that it fits into memory
            ready.append((model, timed))
        except DeviceError as error:
            timed.failed[batch] = error.reason
    turns = timed_turns([model for model, _ in ready], seconds) if ready else []
    for (images, taken), (_, timed) in zip(turns, ready, strict=True):
        timed.rates[batch] = images / statistics.median(taken)

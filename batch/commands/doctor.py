"""``seg-batch doctor``: the devices of this machine, which of them work, and what to install."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from batch.cores import cores
from batch.errors import encodable, printable
from batch.tools import tool_versions
from export.runtime.devices.cpu_features import describe_cpu
from seglab.words import counted

if TYPE_CHECKING:
    from export.runtime.inspection import DeviceReport

FORMAT_VERSION = 2
"""Since version 2, ``cpu`` has that name; version 1 called it ``processor``."""


@dataclass(frozen=True)
class DoctorReport:
    """The report. ``features``: empty if the system does not list them. ``devices``: tried on ``model``; for the
    package's network on its fp32 and its int8 file.
    """

    system: str
    cpu: str
    cores: int
    features: dict[str, bool]
    tools: dict[str, str]
    model: Path
    devices: tuple[DeviceReport, ...]

    @property
    def is_usable(self) -> bool:
        """Return whether at least one device runs the model and was verified."""
        return any(device.verified for device in self.devices)

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object with a format version."""
        devices = [vars(device) for device in self.devices]
        return {"format_version": FORMAT_VERSION, **vars(self), "model": encodable(str(self.model)), "devices": devices}

    def lines(self) -> Iterator[str]:
        """Yield the report for a person."""
        yield f"system: {self.system}; {self.cpu}, {counted(self.cores, 'core')} for this process"
        yield "CPU: " + (", ".join(f"{name} {_yes(there)}" for name, there in self.features.items()) or "unknown")
        yield "versions: " + ", ".join(f"{name} {version}" for name, version in self.tools.items())
        yield f"devices (tried on {printable(str(self.model))}):"
        for device in self.devices:
            yield from _device_lines(device)
        if self.is_usable:
            fastest = max(self.devices, key=lambda device: device.images_per_second)
            yield f"fastest: {fastest.name}, {fastest.precision}"


def examine(model: Path | None = None) -> DoctorReport:
    """Examine the machine and try every device on ``model`` (None: the one that comes with the package).

    Raises :class:`export.errors.ContractError` for a file that is not a model.
    """
    from export.runtime.bundled import FP32, INT8, bundled_model
    from export.runtime.inspection import inspect_devices

    paths = [model] if model is not None else [bundled_model(name) for name in (FP32, INT8)]
    name, features = describe_cpu()
    return DoctorReport(
        system=f"{platform.system()} {platform.machine()}",
        cpu=name,
        cores=cores(),
        features=features,
        tools=tool_versions(),
        model=paths[0],
        devices=tuple(inspect_devices(paths)),
    )


def _device_lines(device: DeviceReport) -> Iterator[str]:
    if device.verified:
        yield f"  {device.name:<9} works, {device.images_per_second:.1f} images/s, {device.precision}: {device.reason}"
        return
    yield f"  {device.name:<9} {'not verified' if device.available else 'not available'}: {device.reason}"
    if device.install:
        yield f"  {'':<9} {device.install}"


def _yes(there: bool) -> str:
    return "yes" if there else "no"

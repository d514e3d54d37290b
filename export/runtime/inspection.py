"""Try every device of this machine on a model, in every precision."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from export.errors import DeviceError
from export.runtime.choosing import images_per_second
from export.runtime.create import open_on
from export.runtime.devices.find import FAMILIES, computes_natively, plans_for
from export.runtime.model import Model
from export.runtime.opening import request_for
from export.runtime.plan import Request

BATCH, SECONDS = 4, 1.0


@dataclass(frozen=True)
class DeviceReport:
    """The result for one way to run a model: ``images_per_second`` is 0 if it did not verify.

    ``reason``: what the device is, or why it cannot be used; ``install``: what to do then.
    """

    name: str
    available: bool
    verified: bool
    images_per_second: float
    precision: str
    reason: str
    install: str


def inspect_devices(path: Path | Sequence[Path]) -> list[DeviceReport]:
    """Try every device on a model: which exist, which verify, how fast they are, what to do for the others.

    A device that computes in two precisions has two reports. ``path``: a file, or several of one network, of which the
    first is tried on all devices, and the others on devices that compute in their precision. Raises
    :class:`export.errors.ContractError` for a file that is not a model, and :class:`DeviceError` if onnxruntime cannot
    be loaded.
    """
    first, *others = [request_for(each, "auto", batch=BATCH) for each in ([path] if isinstance(path, Path) else path)]
    found = [
        entry
        for device in FAMILIES
        for entry in (*_opened(first, device), *(more for other in others for more in _opened_natively(other, device)))
    ]
    models = [entry for entry in found if isinstance(entry, Model)]
    rates = iter(images_per_second(models, SECONDS))
    return [_working(entry, next(rates)) if isinstance(entry, Model) else entry for entry in found]


def _opened(request: Request, device: str) -> Iterator[Model | DeviceReport]:
    try:
        plans = plans_for(device, request)
    except DeviceError as error:
        yield DeviceReport(device, error.available, False, 0.0, "", error.reason, error.hint)
        return
    for plan in plans:
        try:
            yield open_on(request, plan)
        except DeviceError as error:
            yield DeviceReport(plan.device, error.available, False, 0.0, plan.precision, error.reason, error.hint)


def _opened_natively(request: Request, device: str) -> Iterator[Model | DeviceReport]:
    with contextlib.suppress(DeviceError):  # already reported for the first file
        if computes_natively(plans_for(device, request)[0], request):
            yield from _opened(request, device)


def _working(model: Model, rate: float) -> DeviceReport:
    device = model.device
    return DeviceReport(device.name, True, True, rate, device.precision, f"{device.engine}, {device.detail}", "")

"""Create verified sessions from a plan, and the model that holds them."""

from __future__ import annotations

from dataclasses import dataclass, replace

from export.runtime.device import Device
from export.runtime.devices.cpu import reference
from export.runtime.devices.nvidia import keeping_engines
from export.runtime.engines.onnxruntime import OrtSession
from export.runtime.engines.openvino import OpenVinoSession
from export.runtime.model import Model
from export.runtime.plan import OPENVINO, Plan, Request
from export.runtime.probes.verify import verify_fitted, verify_whole
from export.runtime.session import FittedSession, WholeSession


@dataclass(frozen=True)
class PlannedOpener:
    """Opens and verifies the sessions of a request by one plan, see :class:`export.runtime.session.Opener`."""

    request: Request
    plan: Plan

    def fitted(self, batch: int | None) -> FittedSession:
        """Return a session for S x S. Raises :class:`DeviceError`."""
        request, plan, size = self.request, self.plan, self.request.contract.size
        session: FittedSession
        if plan.engine == OPENVINO:
            session = OpenVinoSession(request.path, plan, size=size, batch=batch, threads=request.threads)
        else:
            fixed = None if batch is None else (batch, size, size)
            plan = keeping_engines(plan, request.sha256, fixed)
            session = OrtSession(request.path, plan, fixed=fixed, threads=request.threads, shared=request.shared)
        verify_fitted(session, plan, request)
        return session

    def whole(self) -> WholeSession:
        """Return a session for whole images, on the CPU provider if the device cannot. Raises :class:`DeviceError`."""
        request, plan = self.request, self.plan
        if not plan.antialias:
            plan = replace(reference(), precision=request.contract.precision)
        plan = keeping_engines(plan, request.sha256, None)
        session = OrtSession(request.path, plan, threads=request.threads, shared=request.shared)
        verify_whole(session, plan, request)
        return session


def open_on(request: Request, plan: Plan, rejected: dict[str, str] | None = None) -> Model:
    """Open and verify a model by a plan. ``rejected``: for :class:`Device`. Raises :class:`DeviceError`."""
    opener = PlannedOpener(request, plan)
    session = opener.fitted(request.batch)
    device = _device_of(plan, rejected)
    whole = device if plan.antialias else _device_of(replace(reference(), precision=request.contract.precision))
    return Model(request, device, whole, session, opener)


def _device_of(plan: Plan, rejected: dict[str, str] | None = None) -> Device:
    engine = f"{plan.engine} {plan.version}"
    return Device(plan.device, engine, plan.provider, plan.precision, plan.detail, rejected or {})

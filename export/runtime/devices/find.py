"""From a device's name to the plans by which it can be opened here, or to the reason why it cannot."""

from __future__ import annotations

import dataclasses

from export.errors import DeviceError
from export.runtime.devices import cpu, nvidia, openvino
from export.runtime.plan import REFERENCE, Plan, Request

FAMILIES = {"cpu": cpu, "openvino": openvino, "cuda": nvidia, "tensorrt": nvidia}
"""The module with a device's plans, by the name before the colon."""

AUTO = ("cuda", "openvino", "cpu")
"""Devices that ``auto`` chooses from. TensorRT takes minutes to open a model, so it must be asked for by name."""

NATIVE = {"int8": (REFERENCE, openvino.PROVIDER), "fp16": (nvidia.CUDA, nvidia.TENSORRT)}
"""Providers that compute in the precision of a file; the others convert it to fp32."""


def plans_for(device: str, request: Request) -> list[Plan]:
    """Return how ``device`` (not ``auto``) can serve a request: a plan per precision it can compute in, best first.

    An int8 or fp16 model has one plan: layers in other precisions are computed in fp32. Raises :class:`DeviceError`
    with the reason if the device cannot be used.
    """
    plans = FAMILIES[device.partition(":")[0]].plans(device)
    precision, compute = request.contract.precision, request.compute
    if compute == "int8" != precision:
        reason = f"the model is {precision}, and int8 needs a model that was exported in int8"
        raise DeviceError(device, reason, "Use an int8 model, or leave the choice to the device.")
    if precision in NATIVE:
        if compute == "bf16" or (compute == "fp32" and precision == "int8"):
            reason = f"the model is {precision}, and cannot be computed in {compute}"
            raise DeviceError(device, reason, "Use an fp32 model, or leave the choice to the device.")
        return [_in_the_files_precision(plans[-1], precision)]
    if compute:
        here = ", ".join(plan.compute for plan in plans)
        plans = [plan for plan in plans if plan.compute == compute]
        if not plans:
            reason = f"on this machine it computes in {here}, not in {compute}"
            raise DeviceError(device, reason, f"Ask for {here}, or for another device.")
    return [_with_stored_weights(plan, precision) for plan in plans]


def computes_natively(plan: Plan, request: Request) -> bool:
    """Return whether a plan computes in the precision of the request's file, without converting it to fp32."""
    precision = request.contract.precision
    return precision not in NATIVE or plan.provider in NATIVE[precision]


def _in_the_files_precision(plan: Plan, precision: str) -> Plan:
    is_slow = plan.provider not in NATIVE[precision]
    about = f"; the {precision} model is computed in fp32, and an fp32 model would be faster" if is_slow else ""
    return dataclasses.replace(plan, precision=precision, detail=plan.detail + about)


def _with_stored_weights(plan: Plan, precision: str) -> Plan:
    """Return a plan whose precision is that of the stored weights (fp32, fp16-weights) if it computes in fp32."""
    return dataclasses.replace(plan, precision=precision if plan.compute == "fp32" else plan.compute)

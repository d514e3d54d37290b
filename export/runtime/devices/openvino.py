"""``openvino``: the CPU through OpenVINO's own runtime, on Intel, AMD and ARM."""

from __future__ import annotations

from export.errors import DeviceError
from export.runtime.engines.failures import brief
from export.runtime.engines.openvino import OTHERWISE, core, load
from export.runtime.plan import OPENVINO, Plan

PROVIDER = "OpenVINO"
"""The provider name that ledgers store for OpenVINO."""


def plans(_device: str = "openvino") -> list[Plan]:
    """Return a plan in bf16, if the CPU computes in it, and one in fp32. Raises :class:`DeviceError`."""
    openvino = load()
    try:
        name = core().get_property("CPU", "FULL_DEVICE_NAME")
        native = core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    except Exception as error:  # OpenVINO's errors have no base class
        raise DeviceError("openvino", f"it does not work on this machine: {brief(error)}", OTHERWISE) from error
    return [
        Plan(
            device="openvino",
            engine=OPENVINO,
            version=openvino.__version__.partition("-")[0],
            provider=PROVIDER,
            compute=compute,
            precision=compute,
            detail=name,
            antialias=False,
            hint=OTHERWISE,
        )
        for compute in (("bf16", "fp32") if "BF16" in native else ("fp32",))
    ]

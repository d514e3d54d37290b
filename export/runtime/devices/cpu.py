"""``cpu``: onnxruntime's own CPU provider, the reference for all other devices."""

from __future__ import annotations

from export.runtime.plan import ONNXRUNTIME, REFERENCE, Plan


def plans(_device: str = "cpu") -> list[Plan]:
    """Return the only plan; there is always a CPU."""
    return [reference()]


def reference() -> Plan:
    """Return the plan that all devices are compared with."""
    import onnxruntime

    return Plan(
        device="cpu",
        engine=ONNXRUNTIME,
        version=onnxruntime.__version__,
        provider=REFERENCE,
        compute="fp32",
        precision="fp32",
        detail="its CPU provider",
        providers=(REFERENCE,),
    )

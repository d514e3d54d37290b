"""What a CPU can do, as Linux lists it."""

from __future__ import annotations

import platform
from pathlib import Path

CPU_INFO = Path("/proc/cpuinfo")
VNNI, AMX_INT8 = "vnni (fast int8)", "amx int8"
X86_FEATURES = {
    "avx2": ("avx2",),
    "avx512": ("avx512f",),
    VNNI: ("avx512_vnni", "avx_vnni"),
    "bf16 (avx512)": ("avx512_bf16",),
    "amx bf16 (fast bf16)": ("amx_bf16",),
    AMX_INT8: ("amx_int8",),
}
ARM_FEATURES = {
    "dot product (fast int8)": ("asimddp",),
    "i8mm (faster int8)": ("i8mm",),
    "bf16": ("bf16",),
    "sve": ("sve",),
}
"""CPU features that make an engine faster; each has any of the flags that Linux lists for it."""


def describe_cpu() -> tuple[str, dict[str, bool]]:
    """Return the CPU's name, and whether it has each feature (empty if the system does not list features)."""
    try:
        text = CPU_INFO.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return platform.processor() or platform.machine(), {}
    found = dict(line.split(":", 1) for line in text.split("\n\n")[0].splitlines() if ":" in line)
    values = {key.strip(): value.strip() for key, value in found.items()}
    name = values.get("model name") or f"{platform.machine()} CPU"
    for entry, features in (("flags", X86_FEATURES), ("Features", ARM_FEATURES)):
        if entry in values:
            there = set(values[entry].split())
            return name, {feature: bool(there.intersection(names)) for feature, names in features.items()}
    return name, {}


def computes_int8_exactly() -> bool:
    """Return False on an x86 CPU without VNNI and AMX: engines then halve the weights of int8 layers or let sums
    saturate, and masks differ from what was proved. True if the system does not say.
    """
    _, features = describe_cpu()
    return VNNI not in features or features[VNNI] or features[AMX_INT8]

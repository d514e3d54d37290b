"""Where the benchmarks read and write, and which machine they ran on."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benchmarks" / "results"
CHECKPOINT = ROOT / "benchmarks" / "models" / "lesion.pt"
FP32_MODEL = ROOT / "export" / "models" / "lesion.onnx"
INT8_MODEL = FP32_MODEL.with_name("lesion-int8.onnx")
DATA = Path(os.environ.get("SEGLAB_DATA") or ROOT.parent / "shared" / "data")


def machine() -> str:
    """Return a description of the hardware: the GPU, or the CPU with its cores and relevant features."""
    import torch

    from export.runtime.devices.cpu_features import describe_cpu

    if torch.cuda.is_available():
        return str(torch.cuda.get_device_name())
    name, features = describe_cpu()
    there = ", ".join(feature for feature, has in features.items() if has)
    return f"{name}, {os.cpu_count()} cores ({there or 'features not known'}), no GPU"

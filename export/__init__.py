"""The ONNX model file: write it, prove it, describe it, open it.

``from export import Segmenter`` makes masks from Python.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from export.segmenter.result import Result
    from export.segmenter.segmenter import Segmenter

__all__ = ["Result", "Segmenter"]

# onnxruntime (from 1.29 on) reports model files, graphs and hardware to a server, and writes into the user's home. It
# reads this variable once, when it is imported, and every import of it here comes after this line.
os.environ["ORT_DISABLE_TELEMETRY"] = os.environ.get("ORT_DISABLE_TELEMETRY") or "1"

_HOMES = {"Result": "result", "Segmenter": "segmenter"}


def __getattr__(name: str) -> Any:
    if name in _HOMES:  # imported on first use: commands answer --help without it
        return getattr(importlib.import_module(f"export.segmenter.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

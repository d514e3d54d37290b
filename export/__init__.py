"""The ONNX artefact: writing it, proving it, describing it, opening it.

``from export import Segmenter`` is the way to masks from Python.
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
# looks at this once, as it is imported, which whatever imports it here does after this line.
os.environ["ORT_DISABLE_TELEMETRY"] = os.environ.get("ORT_DISABLE_TELEMETRY") or "1"

_HOMES = {"Result": "result", "Segmenter": "segmenter"}


def __getattr__(name: str) -> Any:
    if name in _HOMES:  # loaded when it is asked for: command lines answer --help without it
        return getattr(importlib.import_module(f"export.segmenter.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

"""The ONNX artefact: writing it, proving it, describing it, opening it.

``from export import Segmenter`` is the way to masks from Python.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from export.runtime.segmenter import Segmenter

__all__ = ["Segmenter"]


def __getattr__(name: str) -> Any:
    if name == "Segmenter":  # loaded when it is asked for: command lines answer --help without it
        from export.runtime.segmenter import Segmenter

        return Segmenter
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

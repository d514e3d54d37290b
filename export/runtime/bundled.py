"""The models that come with the package: one network, in int8 and in fp32."""

from __future__ import annotations

import importlib.resources
from pathlib import Path

from export.errors import ContractError

FP32, INT8 = "lesion.onnx", "lesion-int8.onnx"


def bundled_model(name: str = FP32) -> Path:
    """Return the path of a model that comes with the package. Raises :class:`ContractError` if it is missing."""
    path = Path(str(importlib.resources.files("export") / "models" / name))
    if not path.is_file():
        raise ContractError(
            f"The model that comes with the package is not at {path}; expected it in every installation. "
            "Install seglab again, or name a model with --model M.onnx."
        )
    return path


def bundled_models(compute: str | None = None, *, exact: bool = False) -> list[Path]:
    """Return the files from which a device chooses the fastest: both, or only the one for the requested arithmetic.

    ``exact``: whole images go through the graph, the reference, so fp32. Raises :class:`ContractError`.
    """
    if compute == "int8":
        return [bundled_model(INT8)]
    if compute is None and not exact:
        return [bundled_model(INT8), bundled_model(FP32)]
    return [bundled_model(FP32)]

"""The model that comes with the package."""

from __future__ import annotations

import importlib.resources
from pathlib import Path

from export.errors import ContractError

NAME = "lesion.onnx"


def bundled_model() -> Path:
    """Return the path of the model that comes with the package. Raises :class:`ContractError` where it is absent."""
    path = Path(str(importlib.resources.files("export") / "models" / NAME))
    if not path.is_file():
        raise ContractError(
            f"The model that comes with the package is not at {path}; expected it in every installation. "
            "Install seglab again, or name a model with --model M.onnx."
        )
    return path

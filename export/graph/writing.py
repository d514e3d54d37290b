"""Write a model file with its contract, checked and atomically."""

from __future__ import annotations

import contextlib
import importlib.metadata
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from export.contract import Contract, bound
from seglab.files import replacing

if TYPE_CHECKING:
    from onnx import ModelProto

TOOLS = ("seglab", "torch", "onnx", "onnxscript", "segmentation-models-pytorch", "timm")


def tool_versions() -> dict[str, str]:
    """Return the versions of the packages that make a model file, by distribution name."""
    versions = {"python": platform.python_version()}
    for name in (*TOOLS, "onnxruntime-gpu", "onnxruntime"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return versions


def write_contract(path: Path, contract: Contract) -> None:
    """Replace the contract in a model file."""
    import onnx

    write_model(onnx.load(path), contract, path)


def write_model(model: ModelProto, contract: Contract, out: Path, more: Mapping[str, str] | None = None) -> None:
    """Check ``model`` and write it with ``contract``, atomically; ``more``: further metadata.

    The contract is bound to the graph: its digest, precision and operator set version are those of ``model``.
    """
    import onnx

    contract = bound(contract, model.SerializeToString())
    onnx.helper.set_model_props(model, {**contract.to_metadata(), **(more or {})})
    onnx.checker.check_model(model, full_check=True)
    with replacing(out) as temporary:
        onnx.save(model, temporary)

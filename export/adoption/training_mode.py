"""Refuse networks exported in training mode: their masks depend on chance, or on other images of the batch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from export.errors import ContractError
from export.graph.names import all_nodes

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

RANDOM = ("RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Bernoulli", "Multinomial")
TEST_FLAGS_UNTIL = 7
"""Operator set version from which Dropout and BatchNormalization have no ``is_test``."""
NO_TRAINING_UNTIL = {"Dropout": 12, "BatchNormalization": 14}
"""Operator set versions from which they have a training mode again."""


def require_inference(source: Path, model: ModelProto) -> None:
    """Raise :class:`ContractError` if an operator of the network is in training mode or draws random numbers."""
    version = opset_of(model)
    constants = dict(_constants(model))
    for node in all_nodes(model.graph):
        if node.domain in ("", "ai.onnx") and _is_training(node, version, constants):
            raise ContractError(
                f"{source} was exported in training mode: {node.op_type} {node.name or node.output[0]!r} is not in "
                "inference mode. Call model.eval() and export it again."
            )
        if node.op_type in RANDOM:
            raise ContractError(
                f"{source} draws random numbers ({node.op_type} {node.name or node.output[0]!r}); expected a network "
                "that gives the same for the same image. Call model.eval() and export it again."
            )


def opset_of(model: ModelProto) -> int:
    """Return the version of ONNX's own operators that a model uses."""
    return max((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), default=1)


def _is_training(node: NodeProto, version: int, constants: dict[str, Any]) -> bool:
    if node.op_type not in NO_TRAINING_UNTIL:
        return False
    if version < TEST_FLAGS_UNTIL:
        return not _attribute(node, "is_test")
    if version < NO_TRAINING_UNTIL[node.op_type]:
        # BatchNormalization in training mode has new means and variances as further outputs.
        return node.op_type == "BatchNormalization" and len([name for name in node.output if name]) > 1
    if node.op_type == "BatchNormalization":
        return bool(_attribute(node, "training_mode"))
    ratio = constants.get(node.input[1]) if len(node.input) > 1 and node.input[1] else None
    mode = constants.get(node.input[2], False) if len(node.input) > 2 and node.input[2] else False
    return bool(mode) and (ratio is None or float(ratio) > 0)


def _attribute(node: NodeProto, name: str) -> int:
    return next((int(entry.i) for entry in node.attribute if entry.name == name), 0)


def _constants(model: ModelProto) -> Iterator[tuple[str, Any]]:
    """Yield the scalars that are known without running the network, by name."""
    from onnx import numpy_helper

    for entry in model.graph.initializer:
        if not entry.dims or list(entry.dims) == [1]:
            yield entry.name, numpy_helper.to_array(entry).reshape(())
    for node in all_nodes(model.graph):
        if node.op_type == "Constant":
            tensors = [entry.t for entry in node.attribute if entry.name == "value"]
            if tensors and (not tensors[0].dims or list(tensors[0].dims) == [1]):
                yield node.output[0], numpy_helper.to_array(tensors[0]).reshape(())

"""A model file with a network that computes almost nothing, to measure the rest of a run."""

from __future__ import annotations

from pathlib import Path

import onnx
from onnx import TensorProto, helper

from export.adoption.adopt import adopt, open_foreign
from export.adoption.wrapping import Wrapping
from export.samples import sample_set

OPSET = 20


def null_model(path: Path, size: int = 64) -> Path:
    """Write a model that marks dark pixels as lesion, at network size ``size``, and return its path."""
    nodes = [
        helper.make_node("ReduceMean", ["x", "axes"], ["grey"], keepdims=1),
        helper.make_node("Neg", ["grey"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "null",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, size, size])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 1, size, size])],
        [helper.make_tensor("axes", TensorProto.INT64, [1], [1])],
    )
    network = path.with_name(f"{path.stem}-network.onnx")
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10), network)
    adopt(open_foreign(network), path, Wrapping((0.5, 0.5, 0.5), (0.25, 0.25, 0.25)), sample_set(None, 8))
    network.unlink()
    return path

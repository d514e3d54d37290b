"""Networks in half precision: computed in fp16 (``fp16``), or only stored in it (``fp16-weights``).

On a GPU fp16 is the fast one. A CPU computes in fp32 whatever the file says (onnxruntime casts around every operator,
which is slow), so for CPUs only the weights are stored in fp16: half the file, the speed of fp32 once it is loaded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from export.errors import ContractError

if TYPE_CHECKING:
    from onnx import ModelProto

SMALLEST = 1024
"""Values that a constant must have to be stored in fp16; smaller ones are not worth a node."""


def in_precision(network: ModelProto, precision: str) -> ModelProto:
    """Return a network (images in, logits out, fp32) in ``fp32`` as it is, in ``fp16``, or as ``fp16-weights``."""
    if precision == "fp32":
        return network
    _require_range(network)
    return _computed(network) if precision == "fp16" else _stored(network)


def _computed(network: ModelProto) -> ModelProto:
    """Return a network that computes in fp16 from its input to its output."""
    from onnx import ModelProto
    from onnxruntime.transformers.float16 import convert_float_to_float16

    copy = ModelProto()
    copy.CopyFrom(network)
    del copy.graph.value_info[:]  # of fp32 tensors
    half: ModelProto = convert_float_to_float16(copy, keep_io_types=False, op_block_list=[], disable_shape_infer=True)
    return half


def _stored(network: ModelProto) -> ModelProto:
    """Return a network whose large constants are fp16 and go through a ``Cast``, which runtimes fold when they load."""
    from onnx import ModelProto, TensorProto, helper, numpy_helper

    model = ModelProto()
    model.CopyFrom(network)
    casts = []
    for entry in model.graph.initializer:
        values = numpy_helper.to_array(entry)
        if entry.data_type == TensorProto.FLOAT and values.size >= SMALLEST:
            name = entry.name
            entry.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}_fp16"))
            casts.append(helper.make_node("Cast", [entry.name], [name], name=f"{name}_cast", to=TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model


def _require_range(network: ModelProto) -> None:
    """Raise :class:`ContractError` where a weight is too large for fp16."""
    from onnx import TensorProto, numpy_helper

    limit = float(np.finfo(np.float16).max)
    for entry in network.graph.initializer:
        if entry.data_type == TensorProto.FLOAT:
            largest = float(np.abs(numpy_helper.to_array(entry)).max(initial=0))
            if largest > limit:
                raise ContractError(
                    f"The weight {entry.name} holds {largest:g}; fp16 ends at {limit:g}. Export with --precision fp32."
                )

"""Networks in half precision: computed in fp16 (``fp16``), or only stored in it (``fp16-weights``).

On a GPU fp16 is faster. A CPU computes in fp32 whatever the file says (onnxruntime casts around every operator, which
is slow), so for CPUs only the weights are stored in fp16: half the file, and the speed of fp32 once it is loaded.

Rounding errors of the first layers go through all others, so the first layers stay in fp32 if fp16 is not accurate
enough. onnxruntime's own converter can also keep nodes in fp32, but gives the casts of a constant that two of them
share the same name, and such a file does not load (onnxruntime 1.31).
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from export.errors import ContractError
from export.precision.quantise import LAYERS

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto

SMALLEST = 1024
"""Constants with fewer values than this stay in fp32; they are not worth a node."""
LIMITS = np.finfo(np.float16)
IN_FP32 = {"Resize": (1, 2)}
"""Inputs that operators take only in fp32: region and scales."""
MAKERS = ("Constant", "ConstantOfShape", "EyeLike", "Range")
"""Operators whose output type is an attribute; they stay unchanged."""


def in_precision(network: ModelProto, precision: str, float_layers: int = 0) -> ModelProto:
    """Return a network (images in, logits out, fp32) unchanged for ``fp32``, in ``fp16``, or as ``fp16-weights``.

    ``float_layers``: how many of its first layers an fp16 network computes in fp32.
    """
    if precision == "fp32":
        return network
    _require_range(network)
    return _Halving(network, _before(network, float_layers)).model if precision == "fp16" else _stored(network)


def layers_of(network: ModelProto) -> list[NodeProto]:
    """Return the nodes of a network's layers (convolutions, matrix products), in their order."""
    return [node for node in network.graph.node if node.op_type in LAYERS]


def _before(network: ModelProto, float_layers: int) -> set[str]:
    """Return the names of the first outputs of the nodes before the layer with this number."""
    layers = layers_of(network)
    if float_layers == 0:
        return set()
    ends = [node.output[0] for node in network.graph.node]
    return set(ends[: ends.index(layers[float_layers].output[0])])


class _Halving:
    """A network that computes in fp16, except in the nodes whose first outputs are in ``keep``, with a ``Cast`` for
    every tensor between the two: ``model``. Its output is fp16, and so is its input if ``keep`` is empty.
    """

    def __init__(self, network: ModelProto, keep: Collection[str]) -> None:
        from onnx import ModelProto, TensorProto

        self.model = ModelProto()
        self.model.CopyFrom(network)
        self._graph: GraphProto = self.model.graph
        self._floats = _float_tensors(network)
        self._constants = {entry.name: entry for entry in network.graph.initializer}
        self._halves: set[str] = set()
        self._cast: dict[tuple[str, bool], str] = {}
        del self._graph.node[:], self._graph.initializer[:], self._graph.value_info[:]
        if not keep:
            self._halves.update(value.name for value in self._graph.input)
        for value in (*(() if keep else self._graph.input), *self._graph.output):
            value.type.tensor_type.elem_type = TensorProto.FLOAT16
        for node in network.graph.node:
            self._add(node, half=node.output[0] not in keep and node.op_type not in MAKERS)

    def _add(self, node: NodeProto, *, half: bool) -> None:
        from onnx import NodeProto, TensorProto

        copy = NodeProto()
        copy.CopyFrom(node)
        in_fp32 = IN_FP32.get(node.op_type, ())
        copy.input[:] = [name and self._read(name, half and at not in in_fp32) for at, name in enumerate(node.input)]
        if half:
            self._halves.update(node.output)
            for attribute in copy.attribute:
                if node.op_type == "Cast" and attribute.name == "to" and attribute.i == TensorProto.FLOAT:
                    attribute.i = TensorProto.FLOAT16
        self._graph.node.append(copy)

    def _read(self, name: str, half: bool) -> str:
        """Return the name of a tensor in fp16 (``half``) or fp32, adding a conversion if there is none yet."""
        from onnx import TensorProto, helper, numpy_helper

        if name in self._constants:
            key = name, half and name in self._floats
            if key not in self._cast:
                entry = self._constants[name]
                self._cast[key] = f"{name}_fp16" if key[1] else name
                values = numpy_helper.to_array(entry)
                self._graph.initializer.append(
                    numpy_helper.from_array(_rounded(values) if key[1] else values, self._cast[key])
                )
            return self._cast[key]
        if name not in self._floats or (name in self._halves) == half:
            return name
        if (name, half) not in self._cast:
            self._cast[name, half] = cast = f"{name}_{'fp16' if half else 'fp32'}"
            to = TensorProto.FLOAT16 if half else TensorProto.FLOAT
            self._graph.node.append(helper.make_node("Cast", [name], [cast], name=cast, to=to))
        return self._cast[name, half]


def _float_tensors(network: ModelProto) -> set[str]:
    """Return the names of all fp32 tensors of a network. Raises :class:`ContractError` if a type is not known."""
    from onnx import TensorProto, shape_inference

    graph = shape_inference.infer_shapes(network).graph
    types = {value.name: value.type.tensor_type.elem_type for value in (*graph.input, *graph.output, *graph.value_info)}
    types |= {entry.name: entry.data_type for entry in graph.initializer}
    for node in graph.node:
        unknown = [name for name in node.output if name and not types.get(name)]
        if unknown or any(attribute.HasField("g") for attribute in node.attribute):
            raise ContractError(
                f"The output type of {node.op_type} {node.name!r} is not known, and fp16 needs it. "
                "Export with --precision fp32 or fp16-weights."
            )
    return {name for name, found in types.items() if found == TensorProto.FLOAT}


def _rounded(values: NDArray[np.float32]) -> NDArray[np.float16]:
    """Round to fp16; values other than 0 do not become 0, because they may be divisors."""
    halves = values.astype(np.float16)
    return np.where((halves == 0) & (values != 0), np.copysign(LIMITS.smallest_subnormal, halves), halves)


def _stored(network: ModelProto) -> ModelProto:
    """Return a network with large constants in fp16, each with a ``Cast``, which runtimes fold when they load it."""
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
    """Raise :class:`ContractError` if a weight is too large for fp16."""
    from onnx import TensorProto, numpy_helper

    limit = float(LIMITS.max)
    for entry in network.graph.initializer:
        if entry.data_type == TensorProto.FLOAT:
            largest = float(np.abs(numpy_helper.to_array(entry)).max(initial=0))
            if largest > limit:
                raise ContractError(
                    f"The weight {entry.name} holds {largest:g}; fp16 ends at {limit:g}. Export with --precision fp32."
                )

"""Fit a foreign graph into the fused graph: normalised RGB planes in, logits or probabilities out.

Conversions (types, axis order, grey, another size) are added at both ends. Nothing is removed from the network, so
tensors inside that read its input or output still do.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from export.adoption.entry import CHANNELS_FIRST, CHANNELS_LAST, GREY, HALF, LUMA, Entry
from export.adoption.head import Head
from export.adoption.training_mode import opset_of
from export.errors import ContractError
from export.graph.names import all_nodes, drop_unread, in_order, subgraphs
from export.graph.simplify import drop_notes
from export.graph.stages import IR_VERSION, OPSET

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto

STEM = "adapted"
"""Prefix of the names of added nodes."""
HALF_PIXEL_SINCE = 11
"""Operator set version from which Resize uses half-pixel centres by default."""
ONNX_TYPES = {"float32": 1, "uint8": 2, "float16": 10, "float64": 11}
"""Numbers of element types in ``TensorProto``, by numpy's names."""


def fitting_network(source: Path, model: ModelProto, entry: Entry, head: Head, scale: float) -> ModelProto:
    """Return the network as :class:`export.graph.stages.Member` needs it: float ``(N, 3, S, S)`` to ``(N, C, S, S)``.

    ``model``: from :func:`export.adoption.reading.read_network`; it is not changed. ``scale``: what its values are
    divided by. Raises :class:`ContractError` if its operators cannot be converted to our operator set.
    """
    fitting = _converted(source, model)
    graph = fitting.graph
    _forget_shapes(graph)
    ends = _Ends(graph)
    ends.add_entry(entry)
    ends.add_head(head, entry.size, scale)
    _set_interface(graph, ends, entry.size, head.classes)
    nodes = in_order(graph)
    del graph.node[:]
    graph.node.extend(nodes)
    drop_unread(graph)
    drop_notes(fitting)
    _name_operator_sets(fitting)
    return fitting


class _Ends:
    """The nodes that are added to a graph before its input and after its output."""

    def __init__(self, graph: GraphProto) -> None:
        self._graph = graph
        self._stem = STEM
        taken = {name for node in all_nodes(graph) for name in (*node.input, *node.output)}
        taken |= {entry.name for entry in (*graph.input, *graph.initializer)}
        while any(name.startswith(self._stem) for name in taken):
            self._stem += "_"
        self.input = f"{self._stem}_planes"
        self.output = f"{self._stem}_result"
        self._count = 0

    def add_entry(self, entry: Entry) -> None:
        """Add the conversion from planes ``(N, 3, S, S)`` to the network's input."""
        name = self._whole(self.input) if entry.takes_pixels else self.input
        if entry.channels == GREY:
            weighted = self._add("Mul", [name, self._constant(np.array(LUMA, np.float32).reshape(1, 3, 1, 1))])
            name = self._add("ReduceSum", [weighted, self._constant(np.array([1]))], keepdims=1)
            name = self._whole(name) if entry.takes_pixels else name
        if entry.dtype != "float32":
            name = self._add("Cast", [name], to=ONNX_TYPES[entry.dtype])
        if entry.layout == CHANNELS_LAST:
            name = self._add("Transpose", [name], perm=[0, 2, 3, 1])
        self._add("Identity", [name], entry.name)

    def _whole(self, name: str) -> str:
        """Add rounding to whole pixels 0-255."""
        raised = self._add("Add", [name, self._constant(np.array(HALF, np.float32))])
        ends = [self._constant(np.array(value, np.float32)) for value in (0, 255)]
        return self._add("Clip", [self._add("Floor", [raised]), *ends])

    def add_head(self, head: Head, size: int, scale: float) -> None:
        """Add the conversion from the network's output to logits or probabilities ``(N, C, S, S)``."""
        name = head.name
        if head.dtype != "float32":
            name = self._add("Cast", [name], to=ONNX_TYPES["float32"])
        if head.layout == CHANNELS_LAST:
            name = self._add("Transpose", [name], perm=[0, 3, 1, 2])
        elif head.layout != CHANNELS_FIRST:
            shape = np.array([-1, head.classes, head.side, head.side])
            name = self._add("Reshape", [name, self._constant(shape)])
        if scale != 1:
            name = self._add("Div", [name, self._constant(np.array(scale, np.float32))])
        if head.side != size:
            name = self._resized(name, head, size)
        self._add("Identity", [name], self.output)

    def _resized(self, name: str, head: Head, size: int) -> str:
        settings = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
        if size % head.side == 0:  # with constant scales onnxruntime keeps its blocked layout
            scales = np.array([1, 1, size // head.side, size // head.side], np.float32)
            return self._add("Resize", [name, "", self._constant(scales)], **settings)
        images = self._add("Shape", [name], start=0, end=1)
        planes = self._constant(np.array([head.classes, size, size]))
        return self._add("Resize", [name, "", "", self._add("Concat", [images, planes], axis=0)], **settings)

    def _add(self, operator: str, inputs: list[str], output: str | None = None, **attributes: Any) -> str:
        from onnx import helper

        name = output or self._next()
        label = f"{self._stem}_{operator}_{name}"
        self._graph.node.append(helper.make_node(operator, inputs, [name], label, **attributes))
        return name

    def _constant(self, value: NDArray[np.generic]) -> str:
        from onnx import numpy_helper

        name = self._next()
        self._graph.initializer.append(numpy_helper.from_array(value, name))
        return name

    def _next(self) -> str:
        self._count += 1
        return f"{self._stem}_{self._count}"


def _converted(source: Path, model: ModelProto) -> ModelProto:
    """Return a copy in our operator set, or in its own if that is newer."""
    from onnx import ModelProto, version_converter

    copy = ModelProto()
    copy.CopyFrom(model)
    copy.ir_version = max(copy.ir_version, IR_VERSION)  # before version 4, weights had to be inputs
    _constants_are_no_inputs(copy)
    version = opset_of(copy)
    if version >= OPSET:
        return copy
    try:
        converted: ModelProto = version_converter.convert_version(copy, OPSET)
    except Exception as error:  # RuntimeError or ConvertError, without a common base class
        raise ContractError(
            f"{source} has opset {version} and cannot be converted to {OPSET} ({error}). Export it with "
            f"opset_version={OPSET}."
        ) from error
    if version < HALF_PIXEL_SINCE:
        _resize_as_before(converted)
    return converted


def _resize_as_before(model: ModelProto) -> None:
    """Restore the coordinates of old resizes, which were not selectable: the conversion gives them others."""
    from onnx import helper

    settings = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    for node in all_nodes(model.graph):
        if node.op_type == "Resize":
            kept = [entry for entry in node.attribute if entry.name not in settings]
            del node.attribute[:]
            node.attribute.extend([*kept, *(helper.make_attribute(*setting) for setting in settings.items())])


def _constants_are_no_inputs(model: ModelProto) -> None:
    """Remove weights from the inputs, where old exporters list them, too."""
    weights = {entry.name for entry in model.graph.initializer}
    inputs = [entry for entry in model.graph.input if entry.name not in weights]
    del model.graph.input[:]
    model.graph.input.extend(inputs)


def _forget_shapes(graph: GraphProto) -> None:
    """Remove inferred shapes, which hold for one batch length only."""
    del graph.value_info[:]
    for node in graph.node:
        for inner in subgraphs(node):
            for value in inner.output:
                value.type.tensor_type.ClearField("shape")
            _forget_shapes(inner)


def _set_interface(graph: GraphProto, ends: _Ends, size: int, classes: int) -> None:
    from onnx import TensorProto, helper

    del graph.input[:], graph.output[:]
    graph.input.append(helper.make_tensor_value_info(ends.input, TensorProto.FLOAT, ["batch", 3, size, size]))
    graph.output.append(helper.make_tensor_value_info(ends.output, TensorProto.FLOAT, ["batch", classes, size, size]))


def _name_operator_sets(model: ModelProto) -> None:
    """Keep only the operator sets that are used, with ONNX's own under its short name."""
    from onnx import helper

    versions = {"" if entry.domain == "ai.onnx" else entry.domain: entry.version for entry in model.opset_import}
    used = {"" if node.domain == "ai.onnx" else node.domain for node in all_nodes(model.graph)}
    del model.opset_import[:]
    model.opset_import.extend(
        helper.make_opsetid(domain, versions[domain]) for domain in sorted(used | {""}) if domain in versions
    )

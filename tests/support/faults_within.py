"""Faults within the network: weights, operators, rounding. The stages do not show them, so the gate has to.

``WITHIN`` has those that an exporter could make in any precision, ``OF_INT8`` those of a quantiser.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from tests.support.faults_around import Fault, constant_of

Values = NDArray[np.float32]


def _layers(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    return [node for node in model.graph.node if node.op_type == "Conv" and node.name.startswith("network")]


def _source(model: onnx.ModelProto, tensor: str) -> str:
    """Return the constant that a tensor is, or is converted from."""
    constants = {entry.name for entry in model.graph.initializer}
    while tensor not in constants:
        tensor = next(node for node in model.graph.node if tensor in node.output).input[0]
    return tensor


def _read(layer: int, index: int, change: Callable[[Values], Values]) -> Fault:
    """Change what a layer reads: its weights (1) or its bias (2), as they are stored."""

    def fault(model: onnx.ModelProto) -> None:
        entry = constant_of(model, _source(model, _layers(model)[layer].input[index]))
        old = numpy_helper.to_array(entry)
        new = np.asarray(change(old.astype(np.float32)))
        if old.dtype.kind == "i":
            limits = np.iinfo(old.dtype)
            new = np.round(new).clip(limits.min, limits.max)
        entry.CopyFrom(numpy_helper.from_array(new.astype(old.dtype), entry.name))

    return fault


def _first_filter(old: Values) -> Values:
    new = old.copy()
    new[0] = -new[0]
    return new


def _attribute(operator: str, name: str, value: object, which: int = 0) -> Fault:
    def fault(model: onnx.ModelProto) -> None:
        node = [node for node in model.graph.node if node.op_type == operator and node.name.startswith("network")][
            which
        ]
        kept = [entry for entry in node.attribute if entry.name != name]
        del node.attribute[:]
        node.attribute.extend([*kept, helper.make_attribute(name, value)])

    return fault


def _skips_swapped(model: onnx.ModelProto) -> None:
    """Swap a skip connection and the upsampled features."""
    node = [node for node in model.graph.node if node.op_type == "Concat" and node.name.startswith("network")][-1]
    node.input[:] = node.input[::-1]


def _no_relu(model: onnx.ModelProto) -> None:
    """An activation is left out."""
    for node in model.graph.node:
        if node.op_type == "Relu":
            node.op_type = "Identity"
            return
    # Quantised, the activation is in the range of what follows it: there it is negative values that come back.
    OF_INT8["a zero point off by 20"](model)


def _silently_bf16(model: onnx.ModelProto) -> None:
    """Let convolutions read bf16, although nobody asked for it."""
    nodes = list(model.graph.node)
    del model.graph.node[:]
    kind = TensorProto.FLOAT16 if _is_half(model) else TensorProto.FLOAT
    for node in nodes:
        if node.op_type in ("Conv", "ConvTranspose") and node.name.startswith("network"):
            for index, name in enumerate(list(node.input)[:2]):
                short, back = f"{node.name}_{index}_bf16", f"{node.name}_{index}_rounded"
                model.graph.node.append(helper.make_node("Cast", [name], [short], name=short, to=TensorProto.BFLOAT16))
                model.graph.node.append(helper.make_node("Cast", [short], [back], name=back, to=kind))
                node.input[index] = back
        model.graph.node.append(node)


def _is_half(model: onnx.ModelProto) -> bool:
    return any(node.name == "halved" for node in model.graph.node)


def _parameters(model: onnx.ModelProto, index: int) -> Iterator[onnx.TensorProto]:
    """Yield the scale (1) or zero point (2) of what the layers in the middle read."""
    makers = {name: node for node in model.graph.node for name in node.output}
    for layer in _layers(model)[2:5]:
        yield constant_of(model, makers[layer.input[0]].input[index])


def _scale(factor: float) -> Fault:
    def fault(model: onnx.ModelProto) -> None:
        for entry in list(_parameters(model, 1))[:1]:
            value = numpy_helper.to_array(entry) * np.float32(factor)
            entry.CopyFrom(numpy_helper.from_array(value.astype(np.float32), entry.name))

    return fault


def _weight_scale(model: onnx.ModelProto) -> None:
    makers = {name: node for node in model.graph.node for name in node.output}
    entry = constant_of(model, makers[_layers(model)[2].input[1]].input[1])
    entry.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(entry) * np.float32(4), entry.name))


def _zero_point(model: onnx.ModelProto) -> None:
    for entry in list(_parameters(model, 2))[:1]:
        value = numpy_helper.to_array(entry).astype(np.int64)
        moved = np.where(value > 127, value - 20, value + 20).astype(np.uint8)
        entry.CopyFrom(numpy_helper.from_array(moved, entry.name))


def _one_scale(model: onnx.ModelProto) -> None:
    """Weights that were rounded with a scale per channel are read with one scale for all."""
    makers = {name: node for node in model.graph.node for name in node.output}
    entry = constant_of(model, makers[_layers(model)[2].input[1]].input[1])
    value = numpy_helper.to_array(entry)
    entry.CopyFrom(numpy_helper.from_array(np.full_like(value, value.max()), entry.name))


WITHIN: dict[str, Fault] = {
    "a layer of zeros": _read(2, 1, lambda old: old * 0),
    "one filter with the wrong sign": _read(1, 1, _first_filter),
    "a filter's taps the other way round": _read(3, 1, lambda old: old[:, :, ::-1, ::-1]),
    "a layer's inputs in another order": _read(2, 1, lambda old: old[:, ::-1]),
    "weights with rows and columns exchanged": _read(2, 1, lambda old: old.swapaxes(2, 3)),
    "a batch norm with another epsilon: a layer 20 % too strong": _read(1, 1, lambda old: old * 0.8),
    "a bias of zeros": _read(2, 2, lambda old: old * 0),
    "the last bias off": _read(-1, 2, lambda old: old + (1 if np.abs(old).max() < 50 else np.abs(old).max())),
    "padding on one side": _attribute("Conv", "pads", [0, 0, 2, 2], 1),
    "a skip connection in the wrong place": _skips_swapped,
    "an activation is left out": _no_relu,
    "convolutions silently in bf16": _silently_bf16,
}
OF_INT8: dict[str, Fault] = {
    "a scale of weights four times too large": _weight_scale,
    "steps so coarse that values are all alike": _scale(256),
    "steps four times too fine: values are cut off": _scale(0.25),
    "a zero point off by 20": _zero_point,
    "one scale for all channels": _one_scale,
}

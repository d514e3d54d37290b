"""Faults around the network: resize, normalisation, activation, resize to the mask. Any precision can have each.

``AROUND`` has them by name; ``OF_VARIANTS`` those of models with mirror images, hair removal, or several classes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Fault = Callable[[onnx.ModelProto], None]
Values = NDArray[Any]


def node_of(model: onnx.ModelProto, output: str) -> onnx.NodeProto:
    """Return the node that makes a tensor."""
    found: onnx.NodeProto = next(node for node in model.graph.node if output in node.output)
    return found


def constant_of(model: onnx.ModelProto, name: str) -> onnx.TensorProto:
    """Return a constant."""
    found: onnx.TensorProto = next(entry for entry in model.graph.initializer if entry.name == name)
    return found


def _constant(name: str, change: Callable[[Values], Values]) -> Fault:
    def fault(model: onnx.ModelProto) -> None:
        entry = constant_of(model, name)
        old = numpy_helper.to_array(entry)
        entry.CopyFrom(numpy_helper.from_array(np.asarray(change(old), old.dtype).reshape(old.shape), name))

    return fault


def _channel(name: str, channel: int, factor: float) -> Fault:
    """Multiply one of three constants."""
    return _constant(name, lambda old: old.ravel() * np.where(np.arange(3) == channel, factor, 1))


def _attribute(output: str, name: str, value: object) -> Fault:
    def fault(model: onnx.ModelProto) -> None:
        node = node_of(model, output)
        kept = [entry for entry in node.attribute if entry.name != name]
        del node.attribute[:]
        node.attribute.extend([*kept, helper.make_attribute(name, value)])

    return fault


def _operator(output: str, operator: str) -> Fault:
    def fault(model: onnx.ModelProto) -> None:
        node_of(model, output).op_type = operator

    return fault


def _inserted(reader: str, operators: tuple[tuple[str, dict[str, Any]], ...]) -> Fault:
    """Put operators in front of the first input of the node that makes ``reader``."""

    def fault(model: onnx.ModelProto) -> None:
        at = next(index for index, node in enumerate(model.graph.node) if reader in node.output)
        tensor = model.graph.node[at].input[0]
        for number, (operator, attributes) in enumerate(operators):
            made = f"planted{number}"
            model.graph.node.insert(at, helper.make_node(operator, [tensor], [made], name=made, **attributes))
            tensor, at = made, at + 1
        model.graph.node[at].input[0] = tensor

    return fault


def _passed_by(output: str) -> Fault:
    """Connect the readers of a tensor to the input of the node that makes it."""

    def fault(model: onnx.ModelProto) -> None:
        source = node_of(model, output).input[0]
        for node in model.graph.node:
            node.input[:] = [source if name == output else name for name in node.input]

    return fault


def _flipped(reader: str, axis: int) -> Fault:
    """Flip the first input of a node along an axis, by a Slice from the end."""

    def fault(model: onnx.ModelProto) -> None:
        for name, value in (("end", -1), ("start", np.iinfo(np.int64).min), ("axis", axis), ("step", -1)):
            model.graph.initializer.append(numpy_helper.from_array(np.array([value]), f"planted_{name}"))
        _inserted(reader, (("Slice", {}),))(model)
        node = node_of(model, "planted0")
        node.input.extend(["planted_end", "planted_start", "planted_axis", "planted_step"])

    return fault


def _bgr(reader: str, axis: int) -> Fault:
    def fault(model: onnx.ModelProto) -> None:
        model.graph.initializer.append(numpy_helper.from_array(np.array([2, 1, 0]), "planted_order"))
        _inserted(reader, (("Gather", {"axis": axis}),))(model)
        node_of(model, "planted0").input.append("planted_order")

    return fault


def _another_view(model: onnx.ModelProto) -> None:
    """Of the four mirror images one is missing: another counts twice."""
    node = node_of(model, "prob")
    node.input[3] = node.input[0]


def _unturned(model: onnx.ModelProto) -> None:
    node_of(model, "unleft").input[3] = "height_axis"


def _with_hair(model: onnx.ModelProto) -> None:
    node_of(model, "centred").input[0] = "resized"


def _no_antialias(model: onnx.ModelProto) -> None:
    for name in ("antialias", "exclude_outside"):  # onnxruntime has the second together with the first only
        _attribute("resized", name, 0)(model)


_SWAPPED = {"perm": [0, 1, 3, 2]}
AROUND: dict[str, Fault] = {
    "red and blue change places in the image": _bgr("planes", 3),
    "red and blue change places behind the normalisation": _bgr("centred", 1),
    "the way in without antialiasing": _no_antialias,
    "the way in counts what is outside": _attribute("resized", "exclude_outside", 0),
    "the way in without the half-pixel shift": _attribute("resized", "coordinate_transformation_mode", "asymmetric"),
    "the way in with the corners on each other": _attribute(
        "resized", "coordinate_transformation_mode", "align_corners"
    ),
    "the way in by bicubic": _attribute("resized", "mode", "cubic"),
    "pixels rounded to whole numbers": _inserted("centred", (("Round", {}),)),
    "mean of red 2 % off": _channel("offset", 0, 1.02),
    "mean of green 2 % off": _channel("offset", 1, 1.02),
    "mean of blue 2 % off": _channel("offset", 2, 1.02),
    "deviation of red 2 % off": _channel("scale", 0, 1.02),
    "deviation of green 2 % off": _channel("scale", 1, 1.02),
    "deviation of blue 2 % off": _channel("scale", 2, 1.02),
    "mean on 0-1 taken from pixels on 0-255": _constant("offset", lambda old: old / 255),
    "mean on 0-255 taken as on 0-1": _constant("offset", lambda old: old * 255),
    "pixels divided by 255 twice": _constant("scale", lambda old: old / 255),
    "no mean": _passed_by("centred"),
    "no deviation": _passed_by("normalised"),
    "a mask from 0.4 on": _constant("threshold", lambda old: old * 0.8),
    "a mask above the threshold, not from it on": _operator("lesion", "Greater"),
    "the mask the other way round": _operator("lesion", "LessOrEqual"),
    "a mask of 0 and 1": _constant("white", lambda old: old * 0 + 1),
    "the sigmoid twice": _inserted("prob", (("Sigmoid", {}),)),
    "no sigmoid": _passed_by("prob"),
    "a softmax for the sigmoid": _operator("prob", "Softmax"),
    "a hard sigmoid": _operator("prob", "HardSigmoid"),
    "height and width change places before the network": _inserted("centred", (("Transpose", _SWAPPED),)),
    "height and width change places in the mask": _inserted("full", (("Transpose", _SWAPPED),)),
    "left and right change places before the network": _flipped("centred", 3),
    "top and bottom change places in the mask": _flipped("full", 2),
    "the way back with the corners on each other": _attribute(
        "full", "coordinate_transformation_mode", "align_corners"
    ),
    "the way back without the half-pixel shift": _attribute("full", "coordinate_transformation_mode", "asymmetric"),
    "the way back without interpolation": _attribute("full", "mode", "nearest"),
    "the way back by bicubic": _attribute("full", "mode", "cubic"),
    "probabilities through fp16 before the mask": _inserted(
        "full", (("Cast", {"to": TensorProto.FLOAT16}), ("Cast", {"to": TensorProto.FLOAT}))
    ),
    "another size inside": _constant("planes_shape", lambda old: np.array([3, 48, 48])),
}
OF_VARIANTS: dict[str, tuple[str, Fault]] = {
    "one of four mirror images is missing": ("flips", _another_view),
    "a mirror image is turned back the wrong way": ("flips", _unturned),
    "hairs are removed, and the network sees them": ("dullrazor", _with_hair),
    "the least likely class is taken": ("classes", _operator("label", "ArgMin")),
    "the label along the wrong axis": ("classes", _attribute("label", "axis", 2)),
    "a sigmoid for the softmax": ("classes", _operator("prob", "Sigmoid")),
    "the softmax along the wrong axis": ("classes", _attribute("prob", "axis", 2)),
}

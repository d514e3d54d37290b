"""Faults that an exporter can have, planted in a model; each has to fail the parity gate."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

from export.contract import Contract
from export.contract.onnx_file import parse
from export.proof.gate import CHUNK
from export.runtime.choosing import open_fastest
from export.runtime.model import Model
from export.runtime.plan import Request
from seglab.files import sha256

Fault = Callable[[onnx.ModelProto], None]


def bgr(model: onnx.ModelProto) -> None:
    """The channels in the wrong order."""
    model.graph.initializer.append(numpy_helper.from_array(np.array([2, 1, 0]), "order"))
    model.graph.node.insert(0, helper.make_node("Gather", ["image", "order"], ["swapped"], axis=3))
    for node in model.graph.node[1:]:
        for index, name in enumerate(node.input):
            if name == "image":
                node.input[index] = "swapped"


def no_antialias(model: onnx.ModelProto) -> None:
    """Every so many pixels looked at, the others passed over."""
    _attribute(model, 0, "antialias").i = 0
    _attribute(model, 0, "exclude_outside").i = 0


def wrong_std(model: onnx.ModelProto) -> None:
    """A normalisation that is 2 % off."""
    scale = next(entry for entry in model.graph.initializer if entry.name == "scale")
    scale.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(scale) * np.float32(1.02), "scale"))


def threshold_40(model: onnx.ModelProto) -> None:
    """A mask from 0.4 on."""
    entry = _constant(model, 0.5)
    entry.CopyFrom(numpy_helper.from_array(np.full_like(numpy_helper.to_array(entry), 0.4), entry.name))


def sigmoid_twice(model: onnx.ModelProto) -> None:
    """The sigmoid of what is a probability already."""
    index = next(i for i, node in enumerate(model.graph.node) if node.op_type == "Sigmoid")
    logits = model.graph.node[index].input[0]
    model.graph.node[index].input[0] = "once"
    model.graph.node.insert(index, helper.make_node("Sigmoid", [logits], ["once"]))


def corners_aligned(model: onnx.ModelProto) -> None:
    """The way back with the corners on each other."""
    _attribute(model, -1, "coordinate_transformation_mode").s = b"align_corners"


def whole_pixels(model: onnx.ModelProto) -> None:
    """The way back without interpolation."""
    _attribute(model, -1, "mode").s = b"nearest"


def half_a_pixel_off(model: onnx.ModelProto) -> None:
    """The way in without the half-pixel shift."""
    _attribute(model, 0, "coordinate_transformation_mode").s = b"asymmetric"


def corners_aligned_before(model: onnx.ModelProto) -> None:
    """The way in with the corners on each other."""
    _attribute(model, 0, "coordinate_transformation_mode").s = b"align_corners"


def silently_bf16(model: onnx.ModelProto) -> None:
    """Convolutions in bf16 that nobody asked for: what they read is rounded."""
    nodes = list(model.graph.node)
    del model.graph.node[:]
    for node in nodes:
        if node.op_type in ("Conv", "ConvTranspose"):
            for index, name in enumerate(list(node.input)[:2]):
                short, back = f"{node.name}_{index}_bf16", f"{node.name}_{index}_rounded"
                model.graph.node.append(helper.make_node("Cast", [name], [short], to=onnx.TensorProto.BFLOAT16))
                model.graph.node.append(helper.make_node("Cast", [short], [back], to=onnx.TensorProto.FLOAT))
                node.input[index] = back
        model.graph.node.append(node)


FAULTS: dict[Fault, set[str]] = {
    bgr: {"whole.max_prob", "whole.mean_dice", "batch.max_prob", "batch.mean_dice", "truth.dice_difference"},
    no_antialias: {"whole.max_prob", "whole.flipped", "whole.worst_dice"},
    wrong_std: {"whole.max_prob", "batch.max_prob"},
    threshold_40: {"whole.flipped", "whole.mean_dice", "whole.worst_dice"},
    sigmoid_twice: {"whole.max_prob", "batch.max_prob", "whole.mean_dice"},
    corners_aligned: {"whole.flipped", "whole.mean_dice"},
    whole_pixels: {"whole.flipped", "whole.mean_dice"},
    half_a_pixel_off: {"whole.max_prob", "whole.flipped"},
    corners_aligned_before: {"whole.max_prob", "whole.flipped"},
    silently_bf16: {"whole.max_prob", "whole.mean_prob", "batch.max_prob", "batch.mean_prob"},
}
"""The faults, and the figures that have to show each of them."""


def planted(fault: Fault, source: Path, target: Path) -> Path:
    """Write the model ``source`` with a fault in it, and return its path."""
    model = onnx.load(source)
    fault(model)
    onnx.save(model, target)
    return target


def opened(path: Path, device: str = "cpu") -> Model:
    """Open a model as it is, though its graph may not be what its contract says."""
    contract = Contract.from_metadata(parse(path.read_bytes()).metadata)
    return open_fastest(Request(path, contract, sha256(path), batch=CHUNK), device)


def _constant(model: onnx.ModelProto, like: float) -> onnx.TensorProto:
    """Return the constant scalar of this value."""
    found: onnx.TensorProto
    (found,) = [
        entry
        for entry in model.graph.initializer
        if entry.data_type == onnx.TensorProto.FLOAT
        and numpy_helper.to_array(entry).size == 1
        and np.isclose(numpy_helper.to_array(entry), like)
    ]
    return found


def _attribute(model: onnx.ModelProto, index: int, name: str) -> onnx.AttributeProto:
    """Return an attribute of the first (input) or last (mask) resize."""
    node = [entry for entry in model.graph.node if entry.op_type == "Resize"][index]
    found: onnx.AttributeProto = next(entry for entry in node.attribute if entry.name == name)
    return found

"""Make sure that a foreign network gives for each image of a batch what it gives for that image alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from export.errors import ContractError
from export.graph.names import all_nodes
from export.precision.calibration import session

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto

CLOSE = 2e-2
"""Largest difference, as a share of the range of all values; allows for fp16 rounding."""
BAKED = {"Reshape": 1, "Resize": 3, "Squeeze": 1}
"""Operators that take a shape or axes, with the index of that input."""
Planes = NDArray[np.float32]


def with_free_batch(source: Path, network: ModelProto, batch: int | None, planes: Planes) -> ModelProto:
    """Return the network for batches of any length: unchanged, or with a fixed batch length removed from its reshapes,
    resizes and squeezes.

    ``batch``: the length that the file states. ``planes``: different images ``(N, 3, S, S)`` to test with. Raises
    :class:`ContractError` if the length is fixed in another way, or if images of one batch change each other.
    """
    reason = _fault(network, planes)
    if reason is None:
        return network
    for squeezed in (False, True):
        freed = _freed(network, batch or 1, squeezed=squeezed)
        if freed is not None and _fault(freed, planes) is None:
            return freed
    raise ContractError(
        f"{source} does not take batches of several images ({reason}); expected a network whose batch axis is free. "
        "Call model.eval() and export it with dynamic_axes={'input': {0: 'batch'}, 'output': {0: 'batch'}} (or "
        "dynamic_shapes)."
    )


def _fault(network: ModelProto, planes: Planes) -> str | None:
    """Return what is wrong with the network's batches; None if nothing is."""
    from export.adoption.untouched import reason_of

    name = network.graph.input[0].name
    try:
        run = session(network)
        single = [_run(run, name, image[None]) for image in planes]
        together = _run(run, name, planes)
    except Exception as error:  # onnxruntime's errors have no base class
        return reason_of(error)
    alone = np.concatenate(single)
    if alone.shape != together.shape:
        return f"for {len(planes)} images it gives {together.shape}"
    span = float(np.ptp(alone)) or 1.0
    if not np.abs(alone - together).max() <= CLOSE * span:  # written so that NaN fails
        return "images of one batch change each other's masks"
    return None


def _run(run: Any, name: str, planes: Planes) -> NDArray[np.float64]:
    return np.asarray(run.run(None, {name: planes})[0], np.float64)


def _freed(network: ModelProto, batch: int, *, squeezed: bool) -> ModelProto | None:
    """Return a copy in which reshapes and resizes take the batch length from their input and squeezes keep it; None if
    none of them has it fixed. ``squeezed``: also remove squeezes of the first axis alone, which may be arithmetic with
    shapes.
    """
    from onnx import ModelProto, numpy_helper

    copy = ModelProto()
    copy.CopyFrom(network)
    constants = _constants(copy.graph)
    changed = False
    for node in all_nodes(copy.graph):
        place = BAKED.get(node.op_type, len(node.input))
        value = constants.get(node.input[place]) if place < len(node.input) else None
        if value is None or not len(value):
            continue
        if squeezed and node.op_type == "Squeeze" and value.tolist() == [0]:
            node.op_type = "Identity"
            del node.input[1:]
            changed = True
            continue
        free = _without_batch(node, value, batch)
        if free is not None:
            name = f"{node.output[0]}_of_any_batch"
            copy.graph.initializer.append(numpy_helper.from_array(free, name))
            node.input[place] = name
            changed = True
    return copy if changed else None


def _without_batch(node: NodeProto, value: NDArray[Any], batch: int) -> NDArray[Any] | None:
    """Change a node so that its shape or axes hold no batch length; return these, or None if none were changed."""
    from onnx import helper

    if node.op_type == "Squeeze":
        kept = value[value != 0]
        return kept if 0 < len(kept) < len(value) else None
    if len(value) < 2 or value[0] != batch or 0 in value:
        return None
    if node.op_type == "Reshape":
        _drop_attribute(node, "allowzero")
        return np.array([0, *value[1:]], np.int64)  # 0: keep the input's length
    if len(value) != 4 or any(entry.name == "axes" for entry in node.attribute):
        return None
    node.attribute.append(helper.make_attribute("axes", [2, 3]))
    return value[2:]


def _drop_attribute(node: NodeProto, name: str) -> None:
    kept = [entry for entry in node.attribute if entry.name != name]
    del node.attribute[:]
    node.attribute.extend(kept)


def _constants(graph: GraphProto) -> dict[str, NDArray[Any]]:
    from onnx import numpy_helper

    found = {entry.name: numpy_helper.to_array(entry) for entry in graph.initializer if len(entry.dims) == 1}
    for node in graph.node:
        if node.op_type == "Constant":
            for entry in node.attribute:
                if entry.name == "value":
                    found[node.output[0]] = numpy_helper.to_array(entry.t)
                elif entry.name == "value_ints":
                    found[node.output[0]] = np.array(entry.ints)
    return found

"""Compare the weights of an int8 file with those of its fp32 graph: a wrong one may hide within int8's limits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from export.errors import ParityError
from export.graph.stages import NETWORK

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

    Arrays = dict[str, np.ndarray[Any, Any]]

HALF_A_STEP, A_STEP = 0.5, 1.0
"""How far rounding may move a constant in steps: in general, and a weight of a filter that keeps its sum."""
SLACK = 1e-3
"""Tolerance in steps for float32 rounding."""


def require_rounded_weights(model: ModelProto, exact: ModelProto, *, is_learned: bool) -> None:
    """Raise :class:`ParityError` unless the int8 weights of ``model`` are those of ``exact``, rounded.

    ``is_learned``: weights are rounded plainly, and so are biases. Otherwise biases hold a correction and are not
    compared.
    """
    for difference in _differences(model, exact, is_learned=is_learned):
        raise ParityError(f"The weights of the int8 model differ from its fp32 graph: {difference}. Do not use it.")


def _differences(model: ModelProto, exact: ModelProto, *, is_learned: bool) -> Iterator[str]:
    stored, expected = _constants(model), _constants(exact)
    makers = {name: node for node in model.graph.node for name in node.output}
    layers = {node.name: node for node in model.graph.node if node.name.startswith(NETWORK)}
    for node in exact.graph.node:
        if node.name not in layers or node.op_type not in ("Conv", "ConvTranspose"):
            continue
        for place in range(1, len(node.input) if is_learned else 2):
            maker = makers.get(layers[node.name].input[place])
            if maker is None or maker.op_type != "DequantizeLinear" or node.input[place] not in expected:
                continue  # in float; the gate compares what it does
            most = HALF_A_STEP if is_learned else A_STEP
            steps = _apart(maker, stored, expected[node.input[place]])
            if steps > most + SLACK:
                yield f"{node.input[place]} is up to {steps:.3g} steps away, expected at most {most:g}"


def _apart(maker: NodeProto, stored: Arrays, expected: np.ndarray[Any, Any]) -> float:
    """Return the largest distance, in steps, of a constant stored in steps from its exact values."""
    steps, scale = (stored[name].astype(np.float64) for name in maker.input[:2])
    zero = stored[maker.input[2]].astype(np.float64) if len(maker.input) > 2 else np.zeros_like(scale)
    axis = next((entry.i for entry in maker.attribute if entry.name == "axis"), 1)
    shape = [-1 if place == axis % steps.ndim else 1 for place in range(steps.ndim)] if scale.size > 1 else []
    scale, zero = (values.reshape(shape) if shape else values.reshape(()) for values in (scale, zero))
    return float(np.abs((steps - zero) - expected / scale).max(initial=0))


def _constants(model: ModelProto) -> Arrays:
    from onnx import numpy_helper

    return {entry.name: numpy_helper.to_array(entry) for entry in model.graph.initializer}

"""Round a convolution's weights to 8 bits so that its mean output stays right.

Plain rounding shifts the output of a filter whose weights nearly cancel (an edge filter, made steep by a folded batch
norm) by a constant, which later layers take for a signal. Two remedies undo most of it: depthwise filters keep the sum
of their taps, and the remaining mean difference goes into the bias (Nagel et al., "Data-free quantization through
weight equalization and bias correction", arXiv 1906.04721).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from export.precision.calibration import Range

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from onnx import ModelProto, NodeProto, TensorProto

LEVELS = 127
"""Steps on either side of zero; -128 is not used, as in onnxruntime."""

Weights = NDArray[np.float64]


def round_weights(model: ModelProto, nodes: Collection[str], ranges: Mapping[str, Range]) -> None:
    """Replace the weights of these ``Conv`` nodes by 8-bit multiples of a scale per output channel, in place.

    They stay float32 tensors, which the quantiser then finds on its grid. The bias compensates the mean difference.
    """
    initialisers = {entry.name: entry for entry in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Conv" and node.name in nodes and _owns_its_weights(model, node, initialisers):
            _round(node, initialisers, ranges[node.input[0]].mean)


def to_grid(weights: Weights) -> Weights:
    """Round weights ``(out, in / groups, kh, kw)`` per output channel; depthwise filters keep their sum."""
    axes = tuple(range(1, weights.ndim))
    scales = np.maximum(np.abs(weights).max(axis=axes, keepdims=True), np.finfo(np.float32).tiny) / LEVELS
    exact = (weights / scales).reshape(*weights.shape[:2], -1)  # (out, in / groups, taps)
    steps = _with_sums_kept(exact) if weights.shape[1] == 1 else np.round(exact)
    rounded: Weights = steps.reshape(weights.shape) * scales
    return rounded


def _with_sums_kept(exact: Weights) -> Weights:
    """Round along the last axis, moving the taps nearest to their next step until the sums agree to half a step."""
    steps = np.round(exact)
    excess = steps - exact
    surplus = np.round(excess.sum(axis=-1, keepdims=True))
    order = np.argsort(-excess * np.sign(surplus), axis=-1)
    place = np.argsort(order, axis=-1)  # 0: the tap that is furthest on the side of the surplus
    moved: Weights = steps - np.where(place < np.abs(surplus), np.sign(surplus), 0)
    return moved.clip(-LEVELS, LEVELS)


def _owns_its_weights(model: ModelProto, node: NodeProto, initialisers: Mapping[str, TensorProto]) -> bool:
    """Return whether weights and bias are constants that no other node uses."""
    constants = set(node.input[1:])
    users = [user for user in model.graph.node if constants.intersection(user.input)]
    return len(node.input) == 3 and constants <= initialisers.keys() and len(users) == 1


def _round(node: NodeProto, initialisers: Mapping[str, TensorProto], mean: Weights) -> None:
    from onnx import numpy_helper

    weights, bias = (numpy_helper.to_array(initialisers[name]).astype(np.float64) for name in node.input[1:3])
    rounded = to_grid(weights)
    change = (rounded - weights).sum(axis=tuple(range(2, weights.ndim)))  # (out, in / groups), summed over the taps
    groups = len(mean) // weights.shape[1]
    inputs = np.repeat(mean.reshape(groups, -1), len(weights) // groups, axis=0)  # (out, in / groups)
    bias -= (change * inputs).sum(axis=1)
    for name, values in zip(node.input[1:3], (rounded, bias), strict=True):
        initialisers[name].CopyFrom(numpy_helper.from_array(values.astype(np.float32), name))

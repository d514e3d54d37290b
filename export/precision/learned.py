"""The int8 graph of a network that was trained with int8 rounding: nothing is calibrated, searched or corrected.

Its fp32 graph clips every tensor to the range that it learned (:mod:`seglab.networks.quantised`). Each ``Clip`` becomes
a QuantizeLinear/DequantizeLinear pair with that range, and the weights of each convolution become int8.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from export.errors import ContractError
from export.graph.simplify import drop_dead_nodes
from export.graph.stages import NETWORK
from seglab.networks.quantised import TINY, WEIGHT_STEPS, Range, limits

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto, TensorProto

CLIP, CONVOLUTION, TRANSPOSED, MOVES = "Clip", "Conv", "ConvTranspose", ("Resize", "MaxPool", "Pad")
BIAS_STEPS = 2**30
"""Limit of a bias on either side of zero: half of what 32 bits hold, as the sum is added to it."""


def quantise_learned(
    model: ModelProto, ranges: Sequence[Range], keep: Collection[str] = ()
) -> tuple[ModelProto, frozenset[int]]:
    """Return the int8 model of a fused fp32 one whose networks clip to ``ranges``, in the order of their nodes.

    ``keep``: names of layers that compute in float. The second value: numbers of the ranges that are only clipped to,
    because only such layers read their tensors. Raises :class:`ContractError` if its clips do not match the ranges.
    """
    from onnx import ModelProto

    result = ModelProto()
    result.CopyFrom(model)
    rewriter = _Rewriter(result, ranges, keep)
    rewriter.rewrite()
    drop_dead_nodes(result)
    return result, frozenset(rewriter.exact)


class _Rewriter:
    """Rewrites a model's nodes in place, in their order."""

    def __init__(self, model: ModelProto, ranges: Sequence[Range], keep: Collection[str]) -> None:
        self.graph = model.graph
        self.constants = _constants(model)
        self.ranges, self.keep = tuple(ranges), frozenset(keep)
        self.exact: set[int] = set()
        self.nodes: list[NodeProto] = []
        self.known: dict[str, Range] = {}  # of tensors that are rounded

    def rewrite(self) -> None:
        numbers = self._numbers()
        for node in list(self.graph.node):
            if node.name in numbers and self._is_for_float(node):
                self.exact.add(numbers[node.name])
                self.nodes.append(node)
            elif node.name in numbers:
                self._round(node.input[0], node.output[0], self.ranges[numbers[node.name]])
            elif _is_layer(node) and node.name not in self.keep:
                self._require_known(node)
                self._round_weights(node)
            elif node.op_type in MOVES and node.input[0] in self.known and _keeps_values(node):
                result = node.output[0]
                node.output[0] = f"{result}_float"
                self.nodes.append(node)
                self._round(node.output[0], result, self.known[node.input[0]])
            else:
                self.nodes.append(node)
        del self.graph.node[:]
        self.graph.node.extend(self.nodes)

    def _numbers(self) -> dict[str, int]:
        """Map each clip of the network, by name, to the number of its range.

        Ranges of parts that the graph does not need are skipped. So is an activation with limits (ReLU6) if a clip
        follows it; where the two were merged, the activation's limits may have cut part of a step off the range.
        """
        clips = [node for node in self.graph.node if self._is_clip(node) and not self._is_clipped_again(node)]
        found = [[float(self.constants[name]) for name in node.input[1:3]] for node in clips]
        scales, wanted = np.array([scale for scale, _ in self.ranges]), np.array([*map(limits, self.ranges)])
        fits = np.abs(np.array(found)[:, None] - wanted).max(axis=2) <= scales  # (clips, ranges)
        return {clips[clip].name: number for clip, number in _aligned(fits)}

    def _is_clip(self, node: NodeProto) -> bool:
        constant = sum(name in self.constants for name in node.input[1:3])
        return node.op_type == CLIP and node.name.startswith(NETWORK) and constant == 2

    def _require_known(self, node: NodeProto) -> None:
        if node.input[0] not in self.known:
            raise ContractError(
                f"The layer {node.name} reads a tensor that is not clipped to a learned range; expected all of them "
                "to be. Export it with the versions of torch and smp that it was trained with, or with --precision "
                "fp32."
            )

    def _is_for_float(self, node: NodeProto) -> bool:
        """Return whether only float layers read a node's output."""
        readers = [other.name for other in self.graph.node if node.output[0] in other.input]
        return bool(readers) and self.keep.issuperset(readers)

    def _is_clipped_again(self, node: NodeProto) -> bool:
        """Return whether only clips follow. (An ``Identity`` where features leave the network is ignored.)"""
        readers = [other for other in self.graph.node if node.output[0] in other.input and other.op_type != "Identity"]
        return bool(readers) and all(map(self._is_clip, readers))

    def _round(self, source: str, result: str, range: Range) -> None:
        """Add nodes that make ``result`` from ``source``, rounded to the steps of a range."""
        from onnx import helper

        scale, zero = (
            self._add(f"{result}_scale", np.float32(range[0])),
            self._add(f"{result}_zero", np.uint8(range[1])),
        )
        self.nodes += [
            helper.make_node("QuantizeLinear", [source, scale, zero], [f"{result}_quantised"], f"{result}_quantise"),
            helper.make_node(
                "DequantizeLinear", [f"{result}_quantised", scale, zero], [result], f"{result}_dequantise"
            ),
        ]
        self.known[result] = range

    def _round_weights(self, node: NodeProto) -> None:
        """Make a convolution read its weights as int8, and its bias as int32 in the steps of its sums.

        A filter with very small weights gets larger steps than it needs if its bias would not fit otherwise.
        """
        weights = self.constants[node.input[1]]
        shape: tuple[int, ...] = (-1, 1, 1, 1)
        if node.op_type == TRANSPOSED:
            weights, shape = weights[None], (1,)  # one scale for all
        largest = np.abs(weights).reshape(len(weights), -1).max(axis=1)
        bias = self.constants[node.input[2]].astype(np.float64) if len(node.input) > 2 else None
        step = self.known[node.input[0]][0]
        if bias is not None:
            least = np.abs(bias) / (step * BIAS_STEPS) * WEIGHT_STEPS
            largest = np.maximum(largest, least.max(keepdims=True) if node.op_type == TRANSPOSED else least)
        scales = np.maximum(largest / WEIGHT_STEPS, TINY).astype(np.float32)
        steps = np.round(self.constants[node.input[1]] / scales.reshape(shape)).astype(np.int8)
        if node.op_type == TRANSPOSED:
            scales = scales.reshape(())
        node.input[1] = self._stored(f"{node.output[0]}_weight", steps, scales)
        if bias is not None:
            of_sums = (np.float32(step) * scales).astype(np.float32)
            rounded = np.round(bias / of_sums.astype(np.float64)).astype(np.int32)
            node.input[2] = self._stored(f"{node.output[0]}_bias", rounded, of_sums)
        self.nodes.append(node)

    def _stored(self, name: str, steps: np.ndarray[Any, Any], scales: np.ndarray[Any, Any]) -> str:
        """Add a constant that is stored in steps; return the name of its values."""
        from onnx import helper

        zeros = np.zeros(scales.shape, steps.dtype)
        inputs = [
            self._add(f"{name}_{what}", values)
            for what, values in (("steps", steps), ("scale", scales), ("zero", zeros))
        ]
        axis: dict[str, Any] = {"axis": 0} if scales.ndim else {}
        self.nodes.append(
            helper.make_node("DequantizeLinear", inputs, [f"{name}_rounded"], f"{name}_dequantise", **axis)
        )
        return f"{name}_rounded"

    def _add(self, name: str, values: Any) -> str:
        from onnx import numpy_helper

        self.graph.initializer.append(numpy_helper.from_array(np.asarray(values), name))
        return name


def _is_layer(node: NodeProto) -> bool:
    return node.op_type in (CONVOLUTION, TRANSPOSED) and node.name.startswith(NETWORK)


def _aligned(fits: np.ndarray[Any, Any]) -> Iterator[tuple[int, int]]:
    """Yield matching rows and columns in order, as many as possible: the longest common subsequence."""
    rows, columns = fits.shape
    longest = np.zeros((rows + 1, columns + 1), int)  # of what is left from here on
    for row in reversed(range(rows)):
        for column in reversed(range(columns)):
            skipped = max(longest[row + 1, column], longest[row, column + 1])
            longest[row, column] = max(skipped, 1 + longest[row + 1, column + 1] if fits[row, column] else 0)
    row = column = 0
    while row < rows and column < columns:
        if fits[row, column] and longest[row, column] == 1 + longest[row + 1, column + 1]:
            yield row, column
            row, column = row + 1, column + 1
        elif longest[row + 1, column] >= longest[row, column + 1]:
            row += 1
        else:
            column += 1


def _keeps_values(node: NodeProto) -> bool:
    """Return whether a node moves values without changing them. Padding is zero, as during training."""
    modes = [entry.s for entry in node.attribute if entry.name == "mode"]
    return node.op_type != "Resize" or not modes or modes[0] == b"nearest"


def _constants(model: ModelProto) -> dict[str, np.ndarray[Any, Any]]:
    from onnx import numpy_helper

    found: dict[str, TensorProto] = {entry.name: entry for entry in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant" and node.attribute[0].HasField("t"):
            found[node.output[0]] = node.attribute[0].t
    return {name: numpy_helper.to_array(entry) for name, entry in found.items()}

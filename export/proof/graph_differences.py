"""The differences between the graphs of two model files: operators and constants."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from export.errors import ContractError
from export.graph.names import all_nodes

if TYPE_CHECKING:
    from collections.abc import Iterable

    from onnx import GraphProto


@dataclass(frozen=True)
class GraphDifferences:
    """``nodes``: for operators whose counts differ, how many the first graph has and the second.

    For constants and weights, matched by name: how many are ``equal``, the largest difference of each of the others
    (``changed``; infinite if shape or type differ), and those that only one graph has.
    """

    nodes: dict[str, tuple[int, int]]
    equal: int
    changed: dict[str, float]
    only_first: tuple[str, ...]
    only_second: tuple[str, ...]

    @property
    def are_equal(self) -> bool:
        """Return whether the graphs have the same operators, weights and constants."""
        return not (self.nodes or self.changed or self.only_first or self.only_second)


def graph_differences(first: Path, second: Path) -> GraphDifferences:
    """Compare two model files. Needs the package onnx. Raises :class:`ContractError` for a file that is not ONNX."""
    one, other = _load(first), _load(second)
    counts = [Counter(node.op_type for node in all_nodes(graph)) for graph in (one, other)]
    nodes = {
        name: (counts[0][name], counts[1][name])
        for name in sorted(counts[0] | counts[1])
        if counts[0][name] != counts[1][name]
    }
    constants, others = _constants(one), _constants(other)
    shared = [name for name in constants if name in others]
    gaps = {name: _gap(constants[name], others[name]) for name in shared}
    changed = {name: gap for name, gap in gaps.items() if gap}
    return GraphDifferences(
        nodes,
        len(shared) - len(changed),
        dict(sorted(changed.items(), key=lambda entry: -entry[1])),
        tuple(name for name in constants if name not in others),
        tuple(name for name in others if name not in constants),
    )


def _load(path: Path) -> GraphProto:
    import onnx

    try:
        return onnx.load(path).graph
    except Exception as error:  # protobuf's and onnx's errors have no common base class
        raise ContractError(
            f"{path} cannot be read as ONNX ({error}); expected a model file. Copy it again."
        ) from error


def _constants(graph: GraphProto) -> dict[str, NDArray[Any]]:
    from onnx import numpy_helper

    found = {entry.name: numpy_helper.to_array(entry) for entry in graph.initializer}
    for node in all_nodes(graph):
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            found[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
    return found


def _gap(one: NDArray[Any], other: NDArray[Any]) -> float:
    """Return the largest difference of two arrays; infinite if their shapes or types do not match."""
    if one.shape != other.shape or one.dtype.kind != other.dtype.kind:
        return float("inf")
    if one.dtype.kind not in "fiub":
        return 0.0 if np.array_equal(one, other) else float("inf")
    gaps = np.abs(one.astype(np.float64) - other.astype(np.float64))
    return float(gaps.max(initial=0.0)) if not np.isnan(gaps).any() else _nan_gap(one, other)


def _nan_gap(one: NDArray[Any], other: NDArray[Any]) -> float:
    """Return the same for arrays that are not finite: 0 if they are equal, else infinity."""
    return 0.0 if np.array_equal(one, other, equal_nan=True) else float("inf")


def largest(changed: Iterable[tuple[str, float]]) -> tuple[str, float]:
    """Return name and size of the largest finite difference; an empty name and 0 if there is none."""
    return max(
        ((name, gap) for name, gap in changed if np.isfinite(gap)), key=lambda entry: entry[1], default=("", 0.0)
    )

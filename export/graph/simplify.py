"""Clean an exported graph: constant scales for the network's resizes, and no traces of the exporting machine."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from export.graph.names import drop_unread, in_order

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

SIZES = 3  # index of Resize's input `sizes`; `scales` is the one before


def simplify(model: ModelProto) -> ModelProto:
    """Return ``model`` with constant scales, without dead nodes and without the exporter's notes.

    The notes hold stack traces with paths of the exporting machine.
    """
    fix_scales(model)
    drop_dead_nodes(model)
    drop_notes(model)
    return model


def with_ends(model: ModelProto) -> ModelProto:
    """Return a network whose outputs after the first are separate nodes, called ``features0`` and so on.

    A quantiser may remove or rename the activation whose output they were; these nodes stay.
    """
    from onnx import helper

    for at, entry in enumerate(list(model.graph.output)[1:]):
        given, entry.name = entry.name, f"features{at}"
        model.graph.node.append(helper.make_node("Identity", [given], [entry.name], name=f"end_{entry.name}"))
    return model


def fix_scales(model: ModelProto) -> None:
    """Give resizes by a whole factor constant ``scales`` instead of ``sizes`` that are computed at run time.

    The exporter computes sizes (from the dynamic batch axis) even inside the network. onnxruntime then cannot keep its
    blocked layout from one convolution to the next, which is slower on a CPU.
    """
    from onnx import numpy_helper

    shapes = dict(_shapes(model))
    for node in model.graph.node:
        factors = _whole_factors(node, shapes)
        if factors is not None:
            name = f"{node.output[0]}_scales"
            scales = np.array([1, 1, *factors], np.float32)
            model.graph.initializer.append(numpy_helper.from_array(scales, name))
            inputs = [node.input[0], "", name]
            del node.input[:]
            node.input.extend(inputs)


def drop_dead_nodes(model: ModelProto) -> None:
    """Remove nodes, weights and shape information that no output needs."""
    drop_unread(model.graph)
    produced = {name for node in model.graph.node for name in node.output}
    kept = [entry for entry in model.graph.value_info if entry.name in produced]
    del model.graph.value_info[:]
    model.graph.value_info.extend(kept)


def sort_nodes(model: ModelProto) -> None:
    """Sort the nodes topologically: each after those whose tensors it, or a graph inside it, reads."""
    nodes = in_order(model.graph)
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def drop_notes(model: ModelProto) -> None:
    """Remove documentation strings and metadata of the graph and its parts."""
    graph = model.graph
    for part in (model, graph, *graph.node, *graph.input, *graph.output, *graph.initializer, *graph.value_info):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")


def _shapes(model: ModelProto) -> Iterator[tuple[str, list[int | None]]]:
    for value in (*model.graph.value_info, *model.graph.output):
        dimensions = value.type.tensor_type.shape.dim
        yield value.name, [entry.dim_value if entry.HasField("dim_value") else None for entry in dimensions]


def _whole_factors(node: NodeProto, shapes: dict[str, list[int | None]]) -> list[int] | None:
    """Return the factors by which a resize enlarges height and width if both are whole numbers above 1, else None."""
    if node.op_type != "Resize" or len(node.input) <= SIZES:
        return None
    before, after = (shapes.get(name, [])[2:] for name in (node.input[0], node.output[0]))
    factors = []
    for small, large in zip(before, after, strict=False):
        if not small or not large or large % small or large == small:
            return None
        factors.append(large // small)
    return factors if len(factors) == 2 else None

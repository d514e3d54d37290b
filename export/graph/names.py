"""Which tensors the nodes of a graph read, including those read inside their subgraphs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onnx import GraphProto, NodeProto


def read_by(node: NodeProto) -> Iterator[str]:
    """Yield the names of the tensors a node reads: its inputs, and what the subgraphs of an If, Loop or Scan read."""
    yield from filter(None, node.input)
    for graph in subgraphs(node):
        for inner in graph.node:
            yield from read_by(inner)
        yield from (entry.name for entry in graph.output)


def subgraphs(node: NodeProto) -> Iterator[GraphProto]:
    """Yield the graphs that are attributes of a node."""
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def all_nodes(graph: GraphProto) -> Iterator[NodeProto]:
    """Yield the nodes of a graph and of its subgraphs."""
    for node in graph.node:
        yield node
        for inner in subgraphs(node):
            yield from all_nodes(inner)


def in_order(graph: GraphProto) -> list[NodeProto]:
    """Return the nodes in topological order, as ONNX requires; nodes that cannot be ordered come last."""
    waiting = list(graph.node)
    made = {name for node in waiting for name in node.output}
    ready: set[str] = set()
    ordered: list[NodeProto] = []
    while waiting:
        left = []
        for node in waiting:
            if all(name in ready or name not in made for name in read_by(node)):
                ordered.append(node)
                ready.update(node.output)
            else:
                left.append(node)
        if len(left) == len(waiting):
            return [*ordered, *left]
        waiting = left
    return ordered


def drop_unread(graph: GraphProto) -> None:
    """Remove nodes and weights that no output needs; the nodes must be in order."""
    needed = {output.name for output in graph.output}
    alive: list[NodeProto] = []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            alive.append(node)
            needed.update(read_by(node))
    _keep(graph.node, alive[::-1])
    _keep(graph.initializer, (entry for entry in graph.initializer if entry.name in needed))
    _keep(graph.sparse_initializer, (entry for entry in graph.sparse_initializer if entry.values.name in needed))


def _keep(field: object, kept: Iterable[object]) -> None:
    entries = list(kept)
    del field[:]  # type: ignore[attr-defined]
    field.extend(entries)  # type: ignore[attr-defined]

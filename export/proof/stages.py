"""Compare the stages around the network node by node: a file's must be exactly those of its original.

A reduced precision may change only the network. Everything else (resize, normalisation, activation, threshold) is equal
to the last bit, whatever the limits of the gate.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np

from export.errors import ParityError
from export.graph.stages import NETWORK
from export.proof.report import ORIGINAL

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto, TensorProto

UNQUANTISED = "_DequantizeLinear_Output"
"""Suffix that onnxruntime's quantiser gives to a tensor that went through 8 bits."""
FIRST_FORMAT = 3
"""First contract format that is compared: earlier versions put other operators around their networks."""
CONVERSIONS = ("Cast", "QuantizeLinear", "DequantizeLinear")
"""Operators that a reduced precision adds where a network begins and ends."""


def require_same_stages(
    model: ModelProto, expected: ModelProto, name: str, original: str = ORIGINAL, advice: str = "Export it again."
) -> None:
    """Raise :class:`ParityError` unless everything outside the networks of ``model`` is as in ``expected``.

    ``name``, ``original``: names of the two for the message.
    """
    for difference in stage_differences(model, expected):
        raise ParityError(
            f"{name} does not do around its network what {original} does: {difference}; expected the same to the last "
            f"bit. Do not use it. {advice}"
        )


def stage_differences(model: ModelProto, expected: ModelProto) -> Iterator[str]:
    """Yield the differences outside the networks of two fused graphs, one of which may have a reduced precision."""
    for kind in ("input", "output"):
        here, there = (
            [(entry.name, entry.type.SerializeToString()) for entry in getattr(graph, kind)]
            for graph in (model.graph, expected.graph)
        )
        if here != there:
            yield f"its {kind}s differ"
    stages = {node.output[0]: node for node in expected.graph.node if not _is_network(node)}
    own = {node.output[0]: node for node in model.graph.node if not _is_network(node)}
    from_network = {name for node in expected.graph.node if _is_network(node) for name in node.output}
    constants, expected_constants = _constants(model), _constants(expected)
    for name, node in stages.items():
        if name not in own or (own[name].op_type in CONVERSIONS and own[name].op_type != node.op_type):
            yield f"{name!r} ({node.op_type}) is missing"
        else:
            yield from _node(own[name], node, from_network, constants, expected_constants)
    if fed(model) != fed(expected):
        yield f"its network reads {_listed(fed(model))}, not {_listed(fed(expected))}"
    yield from _added([node for name, node in own.items() if name not in stages], model)


def fed(model: ModelProto) -> set[str]:
    """Return the tensors of the stages that networks read, directly or through conversions."""
    makers = {name: node for node in model.graph.node for name in node.output}
    constants = _constants(model)
    found = set()
    for node in model.graph.node:
        for name in node.input if _is_network(node) else ():
            tensor = name
            while tensor in makers and not _is_network(makers[tensor]) and makers[tensor].op_type in CONVERSIONS:
                tensor = makers[tensor].input[0]
            if tensor and tensor not in constants and not (tensor in makers and _is_network(makers[tensor])):
                found.add(tensor)
    return found


def _listed(names: set[str]) -> str:
    return ", ".join(sorted(names)) or "nothing"


def _node(
    node: NodeProto,
    expected: NodeProto,
    from_network: set[str],
    constants: Mapping[str, TensorProto],
    expected_constants: Mapping[str, TensorProto],
) -> Iterator[str]:
    """Yield the differences of a node and of the constants that it reads."""
    name = expected.output[0]
    if (node.op_type, node.domain, len(node.input)) != (expected.op_type, expected.domain, len(expected.input)):
        yield f"{name!r} is {node.op_type}, not {expected.op_type}"
        return
    if _attributes(node) != _attributes(expected):
        yield f"{name!r} ({node.op_type}) has other attributes"
    for read, wanted in zip(node.input, expected.input, strict=True):
        if read != wanted and not (wanted in from_network and read == wanted + UNQUANTISED):
            yield f"{name!r} ({node.op_type}) reads {read!r}, not {wanted!r}"
        elif wanted in expected_constants and not _is_same(constants.get(wanted), expected_constants[wanted]):
            yield f"the constant {wanted!r} has other values"


def _added(added: Iterable[NodeProto], model: ModelProto) -> Iterator[str]:
    """Yield added nodes other than conversions of what a network reads or gives, which a precision adds."""
    nodes = list(added)
    ours = {id(node) for node in nodes}
    makers = {name: node for node in model.graph.node for name in node.output}
    for node in nodes:
        readers = [other for other in model.graph.node if set(node.output) & set(other.input)]
        maker = makers.get(node.input[0]) if node.input else None
        beside = [*readers, *([maker] if maker is not None else [])]
        at_network = all(_is_network(other) or id(other) in ours for other in readers)
        from_network = maker is not None and (_is_network(maker) or id(maker) in ours)
        if node.op_type not in CONVERSIONS or not beside or not (at_network or from_network) or not _is_to_float(node):
            yield f"{node.output[0]!r} ({node.op_type}) was added"


def _is_to_float(node: NodeProto) -> bool:
    """Return whether a node is not a cast, or is a cast to fp32 or fp16; no export casts to bf16."""
    from onnx import TensorProto

    kinds = (TensorProto.FLOAT, TensorProto.FLOAT16)
    return node.op_type != "Cast" or all(entry.i in kinds for entry in node.attribute if entry.name == "to")


def _is_network(node: NodeProto) -> bool:
    return bool(node.name.startswith(NETWORK))


def _attributes(node: NodeProto) -> dict[str, bytes]:
    return {entry.name: entry.SerializeToString(deterministic=True) for entry in node.attribute}


def _constants(model: ModelProto) -> dict[str, TensorProto]:
    return {entry.name: entry for entry in model.graph.initializer}


def _is_same(found: TensorProto | None, expected: TensorProto) -> bool:
    from onnx import numpy_helper

    if found is None or found.data_type != expected.data_type:
        return False
    return np.array_equal(numpy_helper.to_array(found), numpy_helper.to_array(expected), equal_nan=True)

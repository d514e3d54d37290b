"""Compare the graph of a model file with its contract, by content, whatever tool wrote either of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.contract.fields import HAIRLESS, INPUT, MAKE_ONE, MASK, PROB, SUITABLE, Contract
from export.contract.onnx_file import BFLOAT16, FLOAT16, Node, OnnxFile
from export.errors import ContractError

QUANTISERS = {
    "QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "QLinearConv", "QLinearMatMul", "ConvInteger",
    "MatMulInteger",
}  # fmt: skip
NETWORK = "network"
"""Prefix of the names of a network's nodes."""
ACTIVATIONS = ("Sigmoid", "Softmax")
PASSED_THROUGH = ("Mean", "Split", "Gather", "Slice", "Cast", "Identity")
"""Operators between an activation and ``prob``: for mirror images, several networks, one of several classes."""
BEFORE_MASK = ("Where", "Mul", "Cast", "Squeeze", "Identity")
MOST_STEPS = 16
CLOSE = 1e-5
"""Relative tolerance: constants are fp32, and older versions rounded differently."""

ANOTHER_WAY = {"threshold": "To change it, export with --threshold. "}

Difference = tuple[str, object, object]
"""A field, its value in the contract, its value in the graph."""


def require_agreement(contract: Contract, found: OnnxFile, source: str) -> None:
    """Raise :class:`ContractError` with the first difference between a graph and its contract.

    ``source``: the file's name for the message.
    """
    for field, said, has in _differences(contract, found):
        other_way = ANOTHER_WAY.get(field, "")
        raise ContractError(
            f"{source} cannot be trusted: {field} is {_shown(said)} in its contract and {_shown(has)} in its graph; "
            f"expected the same. One of them was changed after the export. {other_way}{MAKE_ONE} again."
        )


def precision_of(found: OnnxFile) -> str:
    """Return the precision of a graph by its operators and constants: one of ``export.tolerances.PRECISIONS``, or bf16,
    which no exported file has.
    """
    if any(node.to == BFLOAT16 or BFLOAT16 in node.holds for node in found.nodes):
        return "bf16"
    if any(node.operator in QUANTISERS for node in found.nodes):
        return "int8"
    casts = [node for node in found.nodes if node.operator == "Cast" and node.to == FLOAT16]
    if any(node.inputs[0] not in found.constants for node in casts):
        return "fp16"
    halves = any(entry.type == FLOAT16 for entry in found.constants.values())
    halves = halves or bool(casts) or any(FLOAT16 in node.holds for node in found.nodes)
    return "fp16-weights" if halves else "fp32"


def _differences(contract: Contract, found: OnnxFile) -> Iterator[Difference]:
    if INPUT not in found.inputs or not {PROB, MASK} <= found.outputs.keys():
        said = f"{INPUT} to {PROB} and {MASK}"
        has = f"{', '.join(found.inputs)} to {', '.join(found.outputs)}"
        yield "what goes in and comes out", said, has
        return
    yield from _shape(contract, found)
    yield from _mask(contract, found)
    yield from _members(contract, found)
    if bool(contract.suitable) != (SUITABLE in found.outputs):
        there, missing = "an output of that name", "none"
        yield SUITABLE, there if contract.suitable else missing, missing if contract.suitable else there
    facts: dict[str, object] = {
        "tta": _views(found),
        "opset": found.opset,
        "precision": precision_of(found),
        "graph_sha256": found.sha256 if contract.graph_sha256 or contract.format_version >= 3 else "",
    }
    for name, value in facts.items():
        if getattr(contract, name) != value:
            yield name, getattr(contract, name), value


def _shape(contract: Contract, found: OnnxFile) -> Iterator[Difference]:
    """Compare the size in the first resize and in ``prob``, and the number of classes in ``prob``."""
    said = (contract.classes, contract.size, contract.size)
    shape = found.outputs[PROB][1:]
    if shape != said:
        yield "the shape of prob", said, shape
    resize = next((node for node in _stages(found) if node.operator == "Resize"), None)
    lengths = found.maker_of(resize.inputs[-1]) if resize else None
    parts = [found.constant(name) for name in lengths.inputs] if lengths else []
    sizes = [part.ravel()[-2:].tolist() for part in parts if part is not None and part.size > 1]
    if sizes != [[contract.size, contract.size]]:
        yield "size", contract.size, sizes[0] if sizes else "not to be found"


def _mask(contract: Contract, found: OnnxFile) -> Iterator[Difference]:
    """Compare how ``prob`` becomes ``mask``: by a threshold, or by the most probable class."""
    last = _origin(found, MASK, BEFORE_MASK)
    if contract.classes > 1:
        if last is None or last.operator != "ArgMax":
            yield "class_names", contract.class_names, "a mask of lesion or not"
        return
    if last is None or last.operator != "GreaterOrEqual":
        yield "threshold", contract.threshold, "no comparison with one"
        return
    value = found.constant(last.inputs[1])
    if not _is_close(value, [contract.threshold]):
        yield "threshold", contract.threshold, _plain(value)


def _members(contract: Contract, found: OnnxFile) -> Iterator[Difference]:
    members: Sequence[Mapping[str, Any]] = contract.ensemble or (vars(contract),)
    suffixes = [str(k) for k in range(len(members))] if contract.ensemble else [""]
    there = [
        name for name in found.constants if name.startswith("offset") and name not in map("offset{}".format, suffixes)
    ]
    if there:
        yield "the number of networks", len(members), f"another ({', '.join(there)})"
    for member, k in zip(members, suffixes, strict=True):
        for field, said, has in _member(member, k, found, contract):
            yield f"{field} of network {k}" if k else field, said, has


def _member(member: Mapping[str, Any], k: str, found: OnnxFile, contract: Contract) -> Iterator[Difference]:
    """Compare the contract of one network with its stages; ``k``: the number at the end of their names."""
    stages = _stages(found)
    # (pixel / 255 - mean) / std = (pixel - offset) * scale
    offset = np.array(member["mean"], np.float64) * 255
    scale = 1 / (np.array(member["std"], np.float64) * 255)
    for field, operator, name, said in (("mean", "Sub", "offset", offset), ("std", "Mul", "scale", scale)):
        used = any(node.operator == operator and node.inputs[1:] == (f"{name}{k}",) for node in stages)
        value = found.constant(f"{name}{k}") if used else np.full(3, 0.0 if field == "mean" else 1.0)
        if not _is_close(value, said):
            raw = np.zeros(3) if value is None else value.astype(np.float64).ravel()
            with np.errstate(divide="ignore"):
                has = raw / 255 if field == "mean" else 1 / (raw * 255)
            yield field, [float(f"{each:.6g}") for each in member[field]], [float(f"{each:.6g}") for each in has]
    hairless = any(node.inputs[:1] == (HAIRLESS,) and f"offset{k}" in node.inputs for node in stages)
    activation = _origin(found, f"{PROB}{k}", PASSED_THROUGH)
    activated = activation is not None and activation.operator in ACTIVATIONS and not _is_network(activation)
    lesion = found.constant(f"lesion_class{k}")
    facts: dict[str, tuple[object, object]] = {
        "hair_removal": (contract.hair_removal, hairless),
        "channels": (member.get("channels", "rgb"), "bgr" if found.maker_of(f"ordered{k}") else "rgb"),
        "output": (member.get("output", "logits"), "logits" if activated else "probabilities"),
        "lesion_class": (member.get("lesion_class"), None if lesion is None else int(lesion.ravel()[0])),
    }
    for field, (stated, found_there) in facts.items():
        if stated != found_there:
            yield field, stated, found_there


def _views(found: OnnxFile) -> str:
    """Return the test-time augmentation in the graph, as the contract names it."""
    made = {output.rstrip("0123456789") for node in _stages(found) for output in node.outputs}
    return "none" if "views" not in made else "symmetries" if "seen_upright" in made else "flips"


def _stages(found: OnnxFile) -> list[Node]:
    return [node for node in found.nodes if not _is_network(node)]


def _is_network(node: Node) -> bool:
    return node.name.startswith(NETWORK)


def _origin(found: OnnxFile, tensor: str, through: Sequence[str]) -> Node | None:
    """Return the node that a tensor comes from, following first inputs through the operators ``through``."""
    for _ in range(MOST_STEPS):
        node = found.maker_of(tensor)
        if node is None or node.operator not in through or _is_network(node):
            return node
        tensor = node.inputs[0]
    return None


def _is_close(value: NDArray[Any] | None, said: Any) -> bool:
    """Return whether constants equal those of the contract. Offsets are on 0-255, so 0 may be off by rounding."""
    if value is None or value.size != np.size(said):
        return False
    return bool(np.allclose(value.astype(np.float64).ravel(), np.ravel(said), rtol=CLOSE, atol=CLOSE))


def _plain(value: NDArray[Any] | None) -> object:
    return "not to be found" if value is None else float(f"{float(value.ravel()[0]):.6g}") if value.size == 1 else value


def _shown(value: object) -> str:
    text = str(list(value) if isinstance(value, tuple) else value) or "missing"
    return text if len(text) <= 80 else f"{text[:77]}..."

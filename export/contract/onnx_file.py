"""Read an ONNX file from its bytes, in protobuf's wire format, without the ``onnx`` package.

Runtime installations do not have ``onnx``, and onnxruntime exposes neither constants nor nodes. Field numbers are those
of ``onnx.proto3``; the format is at https://protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
WIDTHS = {FIXED64: 8, FIXED32: 4}
GRAPH, OPSET_IMPORT, METADATA = 7, 8, 14
FLOAT, UINT8, INT8, INT32, INT64, FLOAT16, BFLOAT16 = 1, 2, 3, 6, 7, 10, 16
TYPES = {FLOAT: "<f4", UINT8: "u1", INT8: "i1", INT32: "<i4", INT64: "<i8", FLOAT16: "<f2"}
TYPED_FIELDS = {4: FLOAT, 5: INT32, 7: INT64}
"""The fields of a tensor that hold its values if ``raw_data`` does not."""
LONGEST_VARINT = 10


class DamagedFileError(ValueError):
    """The bytes are not those of a complete ONNX file."""


@dataclass(frozen=True)
class Node:
    """An operator: ``to`` is the target type of a ``Cast``, ``holds`` the types of tensors in its attributes."""

    name: str
    operator: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    to: int = 0
    holds: tuple[int, ...] = ()


@dataclass(frozen=True)
class Tensor:
    """A constant of a graph: its ONNX type, its shape, and its bytes, or its numbers if the file stores those."""

    type: int
    shape: tuple[int, ...]
    raw: memoryview
    numbers: tuple[Any, ...] = ()

    def values(self) -> NDArray[Any] | None:
        """Return the values in their shape; None for a type or length that this reader does not know."""
        kind = TYPES.get(self.type)
        if kind is None:
            return None
        found = np.frombuffer(self.raw, kind) if len(self.raw) else np.array(self.numbers, kind)
        return found.reshape(self.shape) if found.size == int(np.prod(self.shape)) else None


@dataclass(frozen=True)
class OnnxFile:
    """A model file: metadata, version of ONNX's own operator set (0: not given), and the graph.

    ``nodes``: all nodes, including those inside ``If`` and ``Loop``. ``constants``, ``inputs`` and ``outputs`` (shapes;
    0 for a dynamic axis): of the main graph, by name. ``sha256``: hexadecimal, of everything but the metadata.
    """

    metadata: dict[str, str]
    opset: int
    nodes: tuple[Node, ...]
    constants: dict[str, Tensor]
    inputs: dict[str, tuple[int, ...]]
    outputs: dict[str, tuple[int, ...]]
    sha256: str

    def maker_of(self, tensor: str) -> Node | None:
        """Return the node that computes a tensor; None if no node does."""
        return next((node for node in self.nodes if tensor in node.outputs), None)

    def constant(self, name: str) -> NDArray[Any] | None:
        """Return the values of a constant; None if there is none of this name."""
        entry = self.constants.get(name)
        return None if entry is None else entry.values()


def parse(content: bytes) -> OnnxFile:
    """Parse an ONNX file. Raises :class:`DamagedFileError`."""
    if not content:
        raise DamagedFileError("it is empty")
    metadata: dict[str, str] = {}
    digest = hashlib.sha256()
    graphs: list[memoryview] = []
    opset = 0
    for number, value, encoded in _fields(memoryview(content)):
        if number == METADATA:
            entry = {key: _text(part) for key, part, _ in _fields(_bytes(value))}
            metadata[entry.get(1, "")] = entry.get(2, "")
            continue
        digest.update(encoded)
        if number == GRAPH:
            graphs.append(_bytes(value))
        elif number == OPSET_IMPORT:
            opset = _default_opset(_bytes(value)) or opset
    if len(graphs) != 1:
        raise DamagedFileError("it holds no graph")
    return OnnxFile(metadata, opset, *_graph(graphs[0]), digest.hexdigest())


Shapes = dict[str, tuple[int, ...]]


def _graph(data: memoryview) -> tuple[tuple[Node, ...], dict[str, Tensor], Shapes, Shapes]:
    """Return the nodes, constants, inputs and outputs of a graph."""
    nodes: list[Node] = []
    constants: dict[str, Tensor] = {}
    shapes: dict[int, Shapes] = {11: {}, 12: {}}  # inputs, outputs
    for number, value, _ in _fields(data):
        if number == 1:
            nodes += _nodes(_bytes(value))
        elif number == 5:
            name, tensor = _tensor(_bytes(value))
            constants[name] = tensor
        elif number in shapes:
            name, shape = _value_info(_bytes(value))
            shapes[number][name] = shape
    return tuple(nodes), constants, shapes[11], shapes[12]


def _nodes(data: memoryview) -> list[Node]:
    """Return the nodes of the graphs inside a node, then the node."""
    texts: dict[int, list[str]] = {1: [], 2: [], 3: [], 4: []}  # inputs, outputs, name, operator
    to, held = 0, []
    found: list[Node] = []
    for number, value, _ in _fields(data):
        if number in texts:
            texts[number].append(_text(value))
        elif number == 5:
            attribute = [(part, inner) for part, inner, _ in _fields(_bytes(value))]
            if "to" in [_text(inner) for part, inner in attribute if part == 1]:
                to = next((_number(inner) for part, inner in attribute if part == 3), 0)
            held += [_tensor(_bytes(inner))[1].type for part, inner in attribute if part == 5]
            for graph in (_bytes(inner) for part, inner in attribute if part in (6, 11)):
                for part, inner, _ in _fields(graph):
                    found += _nodes(_bytes(inner)) if part == 1 else []
    name, operator = ("".join(texts[number][:1]) for number in (3, 4))
    return [*found, Node(name, operator, tuple(texts[1]), tuple(texts[2]), to, tuple(held))]


def _tensor(data: memoryview) -> tuple[str, Tensor]:
    name, kind, raw = "", 0, memoryview(b"")
    shape: list[int] = []
    numbers: list[Any] = []
    for number, value, _ in _fields(data):
        if number == 1:
            shape += _packed(value)
        elif number == 2:
            kind = _number(value)
        elif number == 8:
            name = _text(value)
        elif number == 9:
            raw = _bytes(value)
        elif number == 4:
            numbers += np.frombuffer(_bytes(value), "<f4").tolist()
        elif number in TYPED_FIELDS:
            numbers += _packed(value)
    return name, Tensor(kind, tuple(shape), raw, tuple(numbers))


def _value_info(data: memoryview) -> tuple[str, tuple[int, ...]]:
    """Return the name and shape of an input or output: its type, then the tensor's shape, then the dimensions."""
    parts = {number: value for number, value, _ in _fields(data)}
    name = _text(parts.get(1, memoryview(b"")))
    inner = parts.get(2, memoryview(b""))
    for field in (1, 2):
        inner = next((value for number, value, _ in _fields(_bytes(inner)) if number == field), memoryview(b""))
    lengths = [_fields(_bytes(value)) for number, value, _ in _fields(_bytes(inner)) if number == 1]
    return name, tuple(next((_number(value) for number, value, _ in length if number == 1), 0) for length in lengths)


def _default_opset(data: memoryview) -> int:
    """Return the version of an operator set, or 0 if it is not ONNX's own."""
    parts = {number: value for number, value, _ in _fields(data)}
    domain = _text(parts.get(1, memoryview(b"")))
    return _number(parts.get(2, 0)) if domain in ("", "ai.onnx") else 0


Value = int | memoryview


def _fields(data: memoryview) -> Iterator[tuple[int, Value, memoryview]]:
    """Yield number, value and encoded bytes of every field of a message."""
    at, end = 0, len(data)
    while at < end:
        start = at
        key, at = _varint(data, at)
        number, wire = key >> 3, key & 7
        value: Value
        if wire == VARINT:
            value, at = _varint(data, at)
        elif wire in (BYTES, *WIDTHS):
            length = WIDTHS.get(wire, 0)
            if wire == BYTES:
                length, at = _varint(data, at)
            if at + length > end:
                raise DamagedFileError("it breaks off, or is something else")
            value, at = data[at : at + length], at + length
        else:
            raise DamagedFileError("its bytes are not those of an ONNX file")
        if number == 0:
            raise DamagedFileError("its bytes are not those of an ONNX file")
        yield number, value, data[start:at]


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    """Return a number and the offset after it: 7 bits per byte, lowest first."""
    value = 0
    for place in range(LONGEST_VARINT):
        if at >= len(data):
            raise DamagedFileError("it breaks off, or is something else")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return value, at
    raise DamagedFileError("its bytes are not those of an ONNX file")


def _packed(value: Value) -> list[int]:
    """Return one signed integer, or several packed ones."""
    if isinstance(value, int):
        return [_signed(value)]
    found, at = [], 0
    while at < len(value):
        number, at = _varint(value, at)
        found.append(_signed(number))
    return found


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value


def _number(value: Value) -> int:
    if not isinstance(value, int):
        raise DamagedFileError("its bytes are not those of an ONNX file")
    return _signed(value)


def _bytes(value: Value) -> memoryview:
    if isinstance(value, int):
        raise DamagedFileError("its bytes are not those of an ONNX file")
    return value


def _text(value: Value) -> str:
    try:
        return bytes(_bytes(value)).decode()
    except UnicodeDecodeError as error:
        raise DamagedFileError("its names are not text") from error

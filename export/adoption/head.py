"""What a foreign network gives: which output holds the mask, in which axis order, with how many classes."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from export.adoption.entry import CHANNELS_FIRST, CHANNELS_LAST, Entry
from export.adoption.untouched import Array, Untouched, shape_text
from export.errors import ContractError
from export.runtime.masks import MOST_CLASSES

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

KINDS = (LOGITS, PROBABILITIES) = ("logits", "probabilities")
"""What the values of an output can be."""
PLANES, CLASSES, PLANE = "NHW", "CHW", "HW"
"""Further axis orders: without classes; without a batch axis; without either."""
BATCHLESS = (CLASSES, PLANE)
COARSEST = 32
"""How many times smaller than the image a mask may be."""
LABELS = ("uint8", "int8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "bool")
DECIDING = ("ArgMax", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Round", "TopK", "Hardmax")
"""Operators that turn their first input into labels."""
FLATTENING = ("Reshape", "Flatten")


@dataclass(frozen=True)
class Head:
    """An output: ``dtype`` by numpy's name, ``layout`` (NCHW, NHWC, NHW, CHW or HW), ``classes`` C, ``side``: height
    and width of its planes, which are resized to S x S.
    """

    name: str
    dtype: str
    layout: str
    classes: int
    side: int

    def planes(self, values: Array) -> NDArray[np.float64]:
        """Return the planes ``(C, side, side)`` of the first image in the network's output."""
        first = values if self.layout in BATCHLESS else values[0]
        if self.layout == CHANNELS_LAST:
            first = np.moveaxis(first, 2, 0)
        return np.asarray(first if first.ndim == 3 else first[None], np.float64)

    def describe(self, size: int) -> str:
        """Return type and shape in words."""
        axes = {"N": "N", "C": self.classes, "H": self.side, "W": self.side}
        shape = ", ".join(str(axes[axis]) for axis in self.layout)
        return f"{self.dtype} ({shape})" + (f", resized to {size} x {size}" if self.side != size else "")


def resized(planes: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """Return planes ``(C, side, side)`` at ``(C, S, S)``, bilinear with half-pixel centres."""
    if planes.shape[1] == size:
        return planes
    return np.stack([cv2.resize(plane, (size, size), interpolation=cv2.INTER_LINEAR) for plane in planes])


def find_head(untouched: Untouched, entry: Entry, name: str | None) -> tuple[Head, str]:
    """Run the network on zeros and return the output that holds the mask, and a remark on the choice ("": none).

    ``name``: the output that the user names. Raises :class:`ContractError` if no output fits, or several do.
    """
    given = untouched.run(entry.name, entry.arrange(np.zeros((3, entry.size, entry.size), np.float32)))
    remark = ""
    if name is None:
        name, remark = _choose(untouched, entry, given)
    elif name not in given:
        raise ContractError(
            f"{untouched.source} has no output or inner tensor {name!r}; expected one of {_listed(given)}. Name one "
            "with --output."
        )
    head = _head(name, given[name], entry)
    if head is None:
        is_flat = given[name].size % entry.size**2 == 0
        before = _made_of(untouched.model, name, FLATTENING) if is_flat else None
        way = "Name another output, or a tensor inside, with --output NAME"
        raise ContractError(
            f"The output {name!r} of {untouched.source} is {shape_text(given[name].shape)}, for an input of "
            f"{entry.size} x {entry.size}; expected square planes: (N, C, S, S), (N, S, S, C) or (N, S, S), of S or "
            f"less. {f'Use the tensor before it is flattened: {_option(before)}' if before else way}."
        )
    if head.dtype in LABELS and not (head.dtype == "uint8" and head.classes == 1):
        raise gives_labels(untouched, head)
    if head.classes > MOST_CLASSES:
        raise ContractError(
            f"The output {name!r} of {untouched.source} has {head.classes} classes; expected at most {MOST_CLASSES}, "
            "as a mask has 8 bits. Use --lesion-class N with a network of fewer classes."
        )
    return head, remark


def gives_labels(untouched: Untouched, head: Head) -> ContractError:
    """Return the error for an output that holds labels or a finished mask."""
    before = _made_of(untouched.model, head.name, DECIDING)
    way = f"Use the tensor that it is made from: {_option(before)}" if before else "Export it without its last step"
    return ContractError(
        f"The output {head.name!r} of {untouched.source} holds labels or a finished mask ({head.dtype}); expected "
        f"logits or probabilities for each pixel. {way}."
    )


def _option(name: str) -> str:
    """Return the option that names a tensor: given twice if its name is also a kind of values."""
    return f"--output {name} --output {name}" if name in KINDS else f"--output {name}"


def _choose(untouched: Untouched, entry: Entry, given: Mapping[str, Array]) -> tuple[str, str]:
    if len(given) == 1:
        return next(iter(given)), ""
    large = [name for name, values in given.items() if _is_picture(values, entry)]
    if len(large) == 1:
        others = ", ".join(name for name in given if name != large[0])
        return large[0], f"Taking output {large[0]!r}, the only one of the image's size, not {others}."
    raise ContractError(
        f"{untouched.source} has {len(given)} outputs: {_listed(given)}; expected one, or one of the image's size. "
        "Name the one that holds the mask with --output NAME."
    )


def _is_picture(values: Array, entry: Entry) -> bool:
    head = _head("", values, entry) if values.ndim == 4 else None
    return head is not None and head.side == entry.size


def _listed(given: Mapping[str, Array]) -> str:
    return ", ".join(f"{name} {shape_text(values.shape)}" for name, values in given.items())


def _head(name: str, values: Array, entry: Entry) -> Head | None:
    shape, dtype, batch = values.shape, str(values.dtype), entry.batch or 1
    candidates: list[Head] = []
    if len(shape) == 4 and shape[0] == batch:
        if shape[2] == shape[3]:
            candidates.append(Head(name, dtype, CHANNELS_FIRST, shape[1], shape[2]))
        if shape[1] == shape[2]:
            candidates.append(Head(name, dtype, CHANNELS_LAST, shape[3], shape[1]))
    elif len(shape) == 3 and shape[0] == batch and shape[1] == shape[2]:
        candidates.append(Head(name, dtype, PLANES, 1, shape[1]))
    elif len(shape) == 3 and batch == 1 and shape[1] == shape[2]:
        candidates.append(Head(name, dtype, CLASSES, shape[0], shape[1]))
    elif len(shape) == 2 and batch == 1 and shape[0] == shape[1]:
        candidates.append(Head(name, dtype, PLANE, 1, shape[0]))
    return _likeliest([head for head in candidates if _is_fine_enough(head, entry)], entry)


def _is_fine_enough(head: Head, entry: Entry) -> bool:
    return head.classes > 0 and max(2, entry.size / COARSEST) <= head.side <= COARSEST * entry.size


def _likeliest(candidates: Sequence[Head], entry: Entry) -> Head | None:
    """Return the candidate of the image's size, else the one whose axis order is the input's."""
    return max(candidates, key=lambda head: (head.side == entry.size, head.layout == entry.layout), default=None)


def _made_of(model: ModelProto, output: str, operators: Collection[str]) -> str | None:
    """Return the input of the last of these operators on the way to an output; None if there is none."""
    makers = {name: node for node in model.graph.node for name in node.output if name}
    queue, seen = [output], set()
    while queue:
        node = makers.get(queue.pop(0))
        if node is None or id(node) in seen:
            continue
        seen.add(id(node))
        if node.op_type in operators:
            return _computed(node, makers)
        queue.extend(name for name in node.input if name)
    return None


def _computed(node: NodeProto, makers: Mapping[str, Any]) -> str | None:
    """Return the input of a node that is not a constant."""
    return next((name for name in node.input if name in makers and makers[name].op_type != "Constant"), None)

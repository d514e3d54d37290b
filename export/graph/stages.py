"""Everything around the network, as ONNX operators: the only place where the fused graph is put together.

A model consists of ``head`` (resize to S x S), hair removal if the networks were trained without hairs, for each
network ``normalise``, the network itself and ``probabilities``, then ``combine`` (the mean over networks) and ``tail``
(back to full size, threshold or argmax), and optionally ``suitable``. The stages are written in ONNX's text form
(``stage_texts.py``), opset 18: the first whose Resize has ``antialias``. None of them needs torch, so foreign networks
can be wrapped in them, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from export.contract import DIMENSIONS, INPUT, MASK, PROB, SUITABLE
from export.errors import ContractError
from export.graph import hair
from export.graph.stage_texts import (
    ACROSS,
    BACK_FROM_ACROSS,
    BINARY,
    COMBINE,
    FROM_HALF,
    HEAD,
    LABELS,
    MIRROR,
    NORMALISE,
    ONE_CLASS,
    SIGMOID,
    SOFTMAX,
    TAIL,
    TO_HALF,
    TURN_CHANNELS,
    UNMIRROR,
)
from export.graph.suitable import feature_names, suitable_stages
from seglab.networks.normalisation import Triple
from seglab.networks.suitability import Suitability

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto

OPSET = 18
IR_VERSION = 10
"""IR version of the file format, read by onnxruntime 1.18 and OpenVINO 2024.2 or newer."""

NETWORK = "network"
"""Prefix of the networks' nodes and weights (``network.``; ``network1.`` ... if there are several)."""

Constants = Mapping[str, NDArray[Any]]

MIRROR_CONSTANTS: Constants = {
    "last": np.array([-1]),
    "before_first": np.array([np.iinfo(np.int64).min]),
    "backwards": np.array([-1]),
    "height_axis": np.array([2]),
    "width_axis": np.array([3]),
}


@dataclass(frozen=True)
class Member:
    """One network of a model: ``network`` takes normalised images, float ``(N, 3, S, S)``, and gives logits
    ``(N, C, S, S)``, both in fp32 or fp16; after them features of its encoder, if there is a ``suitability``. ``mean``,
    ``std``: of the normalisation that it was trained with, per RGB channel on the scale 0-1.

    ``suitability``: how ``suitable`` is computed from the features; of several networks only the first has it.
    ``output``: ``probabilities`` if it gives those instead of logits. ``channels``: ``bgr`` if it takes blue first.
    ``lesion_class``: if it has several classes, the one whose probability is the lesion's.
    """

    network: ModelProto
    mean: Triple
    std: Triple
    output: str = "logits"
    channels: str = "rgb"
    lesion_class: int | None = None
    suitability: Suitability | None = None


@dataclass(frozen=True)
class Stages:
    """The stages around the networks.

    ``size``: S. ``threshold``: the lowest probability that counts as lesion (one class). ``classes``: C; from 2 on the
    probabilities are a softmax and the mask holds the number of the most probable class. ``tta``: with ``flips`` every
    network sees the image and its three mirror images, with ``symmetries`` also those of the transposed image, and the
    mean is used. ``hair``: how hairs are removed before the networks, ``none`` or ``dullrazor``.
    """

    size: int
    threshold: float = 0.5
    classes: int = 1
    tta: str = "none"
    hair: str = "none"

    @property
    def pixels(self) -> str:
        """Return the tensor that holds the networks' pixels, float ``(N, 3, S, S)`` on 0-255."""
        return "resized" if self.hair == "none" else hair.RESULT


def fuse(members: Sequence[Member], stages: Stages) -> ModelProto:
    """Return the fused graph of one network, or of several whose probabilities are averaged.

    In: ``image``, uint8 ``(batch, height, width, 3)``, RGB. Out: ``prob``, float ``(batch, C, S, S)``, ``mask``, uint8
    ``(batch, height, width)``, and ``suitable``, float ``(batch,)``, if the first network has a suitability. Raises
    :class:`ContractError` for a network with other inputs or outputs.
    """
    from onnx import TensorProto, helper, shape_inference

    graph = helper.make_graph(
        [],
        "segmenter",
        [helper.make_tensor_value_info(INPUT, TensorProto.UINT8, [*DIMENSIONS, 3])],
        [
            helper.make_tensor_value_info(PROB, TensorProto.FLOAT, ["batch", stages.classes, stages.size, stages.size]),
            helper.make_tensor_value_info(MASK, TensorProto.UINT8, list(DIMENSIONS)),
        ],
    )
    _add(graph, HEAD, {"planes_shape": np.array([3, stages.size, stages.size])})
    if stages.hair != "none":
        _add(graph, *hair.hair_stage(stages.size))
    if stages.tta != "none":
        _add(graph, "", MIRROR_CONSTANTS)
    single = len(members) == 1
    names = [PROB] if single else [f"prob{k}" for k in range(len(members))]
    for k, (member, name) in enumerate(zip(members, names, strict=True)):
        _add_member(graph, member, stages, "" if single else str(k), name)
    if not single:
        _add(graph, COMBINE.format(members=", ".join(names)))
    _add_tail(graph, stages)
    _add_suitable(graph, members[0], stages)
    model = helper.make_model(graph, opset_imports=_opsets(members), ir_version=IR_VERSION, producer_name="seglab")
    return shape_inference.infer_shapes(model, data_prop=True)


def head_alone(size: int) -> ModelProto:
    """Return only the resize stage: ``image`` as in :func:`fuse` to float ``(batch, 3, S, S)``, 0-255."""
    from onnx import TensorProto, helper

    graph = helper.make_graph(
        [],
        "head",
        [helper.make_tensor_value_info(INPUT, TensorProto.UINT8, [*DIMENSIONS, 3])],
        [helper.make_tensor_value_info("resized", TensorProto.FLOAT, ["batch", 3, size, size])],
    )
    _add(graph, HEAD, {"planes_shape": np.array([3, size, size])})
    return helper.make_model(graph, opset_imports=_opsets([]), ir_version=IR_VERSION)


def _add_member(graph: GraphProto, member: Member, stages: Stages, k: str, name: str) -> None:
    # mean and std are on the scale 0-1, pixels on 0-255: (pixel / 255 - mean) / std = (pixel - offset) * scale
    offset = (np.array(member.mean, np.float32) * np.float32(255)).reshape(1, 3, 1, 1)
    scale = (1 / (np.array(member.std, np.float32) * np.float32(255))).reshape(1, 3, 1, 1)
    _add(graph, NORMALISE.format(k=k, source=stages.pixels), {f"offset{k}": offset, f"scale{k}": scale})
    source = f"normalised{k}"
    if member.channels == "bgr":
        _add(graph, TURN_CHANNELS.format(k=k), {"bgr": np.array([2, 1, 0])} if "bgr" not in _constants(graph) else {})
        source = f"ordered{k}"
    if stages.tta != "none":
        source = _add_views(graph, stages.tta, k, source)
    end = f"seen_all{k}" if stages.tta != "none" else name
    probabilities = end if member.lesion_class is None else f"all_classes{k}"
    given = f"logits{k}" if member.output == "logits" else probabilities
    _add_network(graph, member, stages, k, source, given)
    if member.output == "logits":
        activation = SIGMOID if stages.classes == 1 and member.lesion_class is None else SOFTMAX
        _add(graph, activation.format(to=probabilities, k=k))
    if member.lesion_class is not None:
        _add(graph, ONE_CLASS.format(to=end, k=k), {f"lesion_class{k}": np.array([member.lesion_class])})
    if stages.tta != "none":
        _add_mean_of_views(graph, stages.tta, k, name)


def _add_views(graph: GraphProto, tta: str, k: str, source: str) -> str:
    """Add the views of an image, concatenated into a batch; return its name."""
    _add(graph, MIRROR.format(k=k, source=source, to=f"four{k}" if tta == "symmetries" else f"views{k}"))
    if tta == "symmetries":
        _add(graph, ACROSS.format(k=k))
    return f"views{k}"


def _add_mean_of_views(graph: GraphProto, tta: str, k: str, to: str) -> None:
    """Transform each view's result back; ``to`` is their mean."""
    if tta == "symmetries":
        _add(graph, BACK_FROM_ACROSS.format(k=k))
    _add(graph, UNMIRROR.format(k=k, source=f"seen_four{k}" if tta == "symmetries" else f"seen_all{k}", to=to))


def _constants(graph: GraphProto) -> set[str]:
    return {entry.name for entry in graph.initializer}


def _add_network(graph: GraphProto, member: Member, stages: Stages, k: str, source: str, to: str) -> None:
    """Copy a network's nodes and weights into ``graph`` under a prefix, from tensor ``source`` to ``to``."""
    from onnx import GraphProto, compose

    network = member.network
    given, wanted = _interface(member, stages)
    half_in, half_out = _is_half(given), _is_half(wanted)
    if half_in:
        _add(graph, TO_HALF.format(k=k, source=source))
    own = GraphProto()
    own.CopyFrom(network.graph)
    for index, node in enumerate(own.node):
        node.name = node.name or f"{node.op_type}_{index}"
    prefix = f"{NETWORK}{k}."
    own = compose.add_prefix_graph(own, prefix)
    ends = {
        prefix + given.name: f"halved{k}" if half_in else source,
        prefix + wanted.name: f"half_{to}" if half_out else to,
    }
    features = feature_names(network, member.suitability)
    ends |= {prefix + name: f"half_{own}" if half_out else own for name, own in features.items()}
    for node in own.node:
        node.input[:] = [ends.get(name, name) for name in node.input]
        node.output[:] = [ends.get(name, name) for name in node.output]
    graph.node.extend(own.node)
    graph.initializer.extend(own.initializer)
    if half_out:
        for name in (to, *features.values()):
            _add(graph, FROM_HALF.format(to=name))


def _is_half(value: ValueInfoProto) -> bool:
    from onnx import TensorProto

    return bool(value.type.tensor_type.elem_type == TensorProto.FLOAT16)


def _interface(member: Member, stages: Stages) -> tuple[ValueInfoProto, ValueInfoProto]:
    """Return a network's input and output. Raises :class:`ContractError` if they are not as expected."""
    graph = member.network.graph
    weights = {entry.name for entry in graph.initializer}
    inputs = [entry for entry in graph.input if entry.name not in weights]
    if len(inputs) != 1 or (len(graph.output) != 1 and member.suitability is None):
        raise ContractError(
            f"The network has {len(inputs)} inputs and {len(graph.output)} outputs; expected one of each: images in, "
            "logits out. Export it without the others."
        )
    size = stages.size
    classes = stages.classes if member.lesion_class is None else _channels(graph.output[0], member.lesion_class)
    for what, entry, channels in (("input", inputs[0], 3), ("output", graph.output[0], classes)):
        shape = [axis.dim_value for axis in entry.type.tensor_type.shape.dim]
        expected = [0, channels, size, size]
        if len(shape) != 4 or any(have and have != want for have, want in zip(shape[1:], expected[1:], strict=True)):
            found = ", ".join(str(length or "?") for length in shape)
            raise ContractError(
                f"The network's {what} {entry.name!r} is ({found}); expected (N, {channels}, {size}, {size}). "
                "Check the size, and that channels come first."
            )
    return inputs[0], graph.output[0]


def _channels(output: ValueInfoProto, lesion_class: int) -> int:
    """Return how many classes a network's output has, 0 if not fixed. Raises if ``lesion_class`` is not one of them."""
    shape = output.type.tensor_type.shape.dim
    found = int(shape[1].dim_value) if len(shape) > 1 else 0
    if found and not 0 <= lesion_class < found:
        raise ContractError(
            f"The network's output {output.name!r} has {found} classes, 0 to {found - 1}, and --lesion-class is "
            f"{lesion_class}; expected one of them. Name another with --lesion-class."
        )
    return found


def _add_tail(graph: GraphProto, stages: Stages) -> None:
    _add(graph, TAIL)
    if stages.classes == 1:
        constants = {
            "class_axis": np.array([1]),
            "threshold": np.array(stages.threshold, np.float32),
            "white": np.array(255, np.uint8),
            "black": np.array(0, np.uint8),
        }
        _add(graph, BINARY, constants)
    else:
        _add(graph, LABELS)


def _add_suitable(graph: GraphProto, member: Member, stages: Stages) -> None:
    from onnx import TensorProto, helper

    if member.suitability is None:
        return
    for text, constants in suitable_stages(member.suitability, has_views=stages.tta != "none"):
        _add(graph, text, constants)
    graph.output.append(helper.make_tensor_value_info(SUITABLE, TensorProto.FLOAT, DIMENSIONS[:1]))


def _add(graph: GraphProto, text: str, constants: Constants | None = None) -> None:
    """Append nodes, given as ONNX text, and constants."""
    from onnx import numpy_helper, parser

    nodes: Iterable[NodeProto] = parser.parse_graph(f"stage () => () {{ {text} }}").node
    for node in nodes:
        node.name = node.output[0]
        graph.node.append(node)
    entries: list[TensorProto] = [numpy_helper.from_array(value, name) for name, value in (constants or {}).items()]
    graph.initializer.extend(entries)


def _opsets(members: Sequence[Member]) -> list[Any]:
    """Return the operator sets of all networks together; they must agree on the version of ONNX's own."""
    from onnx import helper

    versions = {"": OPSET}
    for member in members:
        versions |= {entry.domain: entry.version for entry in member.network.opset_import}
    return [helper.make_opsetid(domain, version) for domain, version in versions.items()]

"""Quantise a float graph to int8: QuantizeLinear/DequantizeLinear pairs inside the network only.

Activations are u8, weights s8 with a scale per output channel. Resize, normalisation, sigmoid and threshold stay in
float. So do layers that lose too much (see :mod:`export.precision.sensitivity`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from export.errors import ContractError
from export.graph.simplify import drop_dead_nodes, sort_nodes
from export.graph.stages import NETWORK
from export.precision.calibration import Range, measure
from export.precision.rounding import round_weights

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto
    from onnxruntime.quantization import TensorsData

    from export.precision.calibration import Calibration

LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
ACTIVATIONS = ("Clip", "Relu")
QUANTISED = (*LAYERS, *ACTIVATIONS, "Add", "Concat", "MaxPool", "Resize")


@dataclass(frozen=True)
class Network:
    """A float model, its nodes that may be quantised (in order), and the ranges of their tensors."""

    model: ModelProto
    nodes: tuple[NodeProto, ...]
    ranges: Mapping[str, Range]

    @property
    def layers(self) -> list[NodeProto]:
        """Return the nodes that are layers."""
        return [node for node in self.nodes if node.op_type in LAYERS]


def calibrate(model: ModelProto, calibration: Calibration) -> Network:
    """Find the network in a fused float model and measure its tensors on the calibration images."""
    nodes = tuple(network_nodes(model))
    if not any(node.op_type in LAYERS for node in nodes):
        raise ContractError("The graph has no layer to quantise; expected a network. Export it with --precision fp32.")
    constants = {entry.name for entry in model.graph.initializer}
    tensors = {name: None for node in nodes for name in (*node.input, *node.output) if name and name not in constants}
    return Network(model, nodes, measure(model, calibration.images, list(tensors)))


def network_nodes(model: ModelProto) -> Iterator[NodeProto]:
    """Yield the nodes to quantise: those of the network, from its first layer on."""
    reached: set[str] = set()
    for node in model.graph.node:
        if node.name.startswith(NETWORK) and (node.op_type in LAYERS or reached.intersection(node.input)):
            reached.update(node.output)
            if node.op_type in QUANTISED:
                yield node


def layers_in(model: ModelProto) -> Iterator[NodeProto]:
    """Yield the layers of a fused model's networks."""
    yield from (node for node in network_nodes(model) if node.op_type in LAYERS)


def quantise(network: Network, keep: Collection[str] = (), only: Collection[str] | None = None) -> ModelProto:
    """Return an int8 model; the layers named in ``keep`` compute in float, with their original weights.

    ``only``: quantise these nodes and no others.
    """
    from onnx import ModelProto
    from onnxruntime.quantization import QDQQuantizer, QuantType

    kept = _with_their_activations(network, keep)
    chosen = [node.name for node in network.nodes if node.name not in kept and (only is None or node.name in only)]
    model = ModelProto()
    model.CopyFrom(network.model)
    round_weights(model, set(chosen), network.ranges)
    quantiser = QDQQuantizer(
        model, True, False, QuantType.QInt8, QuantType.QUInt8, _tensors(network.ranges), chosen, [], list(QUANTISED), {}
    )
    quantiser.quantize_model()
    result: ModelProto = quantiser.model.model
    sort_nodes(result)  # onnxruntime's own sorting ignores what loops read from outside
    _read_unquantised(result, kept)
    drop_dead_nodes(result)
    return result


def activation_of(network: Network, layer: NodeProto) -> list[str]:
    """Return the name of the activation directly after a layer, if there is one."""
    return [node.name for node in network.nodes if node.op_type in ACTIVATIONS and node.input[0] == layer.output[0]]


def _with_their_activations(network: Network, keep: Collection[str]) -> set[str]:
    """Add the activations before layers: the quantiser drops those whose limits the range implies."""
    inputs = {node.input[0] for node in network.nodes if node.name in keep}
    before = {node.name for node in network.nodes if node.op_type in ACTIVATIONS and node.output[0] in inputs}
    return {*keep, *before}


def _read_unquantised(model: ModelProto, nodes: Collection[str]) -> None:
    """Make float nodes read the tensors from before quantisation.

    Between a DequantizeLinear and a QuantizeLinear, onnxruntime would quantise such nodes itself, with one scale for
    all channels (its optimiser WeightBiasQuantization).
    """
    producers = {name: node for node in model.graph.node for name in node.output}
    for node in model.graph.node:
        source = producers.get(node.input[0]) if node.name in nodes else None
        if source is not None and source.op_type == "DequantizeLinear":
            node.input[0] = producers[source.input[0]].input[0]


def _tensors(ranges: Mapping[str, Range]) -> TensorsData:
    """Return ranges in the form that the quantiser takes; a copy, because it changes them."""
    from onnxruntime.quantization import CalibrationMethod, TensorData, TensorsData

    data: dict[str, Any] = {
        name: TensorData(lowest=np.float32(entry.low), highest=np.float32(entry.high)) for name, entry in ranges.items()
    }
    return TensorsData(CalibrationMethod.MinMax, data)


def layer_names(nodes: Sequence[NodeProto]) -> list[str]:
    """Return the names of layers for people: those of their weights."""
    return [node.input[1].removeprefix(f"{NETWORK}.").removesuffix(".weight") for node in nodes]

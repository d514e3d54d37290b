"""TorchScript for torch's exporter, which takes none: run once, operator by operator, and written down."""

from __future__ import annotations

import io
import warnings
from typing import TYPE_CHECKING, Any

import onnx
import torch
from torch import nn
from torch.fx.experimental.proxy_tensor import make_fx

if TYPE_CHECKING:
    from onnx import ModelProto

CONVOLUTION_ARGUMENTS = 9
"""Of ``aten._convolution``, which traced networks have; the others choose a library of CUDA's."""


def as_operators(program: nn.Module, example: torch.Tensor) -> nn.Module | None:
    """Return a TorchScript network as a graph of operators; None where its sizes cannot be followed.

    Dictionaries, lists and conditions are gone from it: what they led to for ``example`` is what is written down.
    """
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        try:
            graph: torch.fx.GraphModule = make_fx(program, tracing_mode="real")(example)
        except Exception:  # the interpreter of TorchScript raises whatever its operators do
            return None
    for node in graph.graph.nodes:
        if node.target is torch.ops.aten._convolution.default:
            node.target = torch.ops.aten.convolution.default
            node.args = node.args[:CONVOLUTION_ARGUMENTS]
    graph.recompile()
    return graph


def by_the_old_exporter(script: Any, example: torch.Tensor, opset: int) -> ModelProto:
    """Return the ONNX graph of a TorchScript network with one output, by the exporter that was made for it.

    Raises what that raises.
    """
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            script,
            (example,),
            buffer,  # type: ignore[arg-type]  # it takes files as well
            dynamo=False,
            input_names=["x"],
            output_names=["logits"],
            dynamic_axes={"x": {0: "batch"}, "logits": {0: "batch"}},
            opset_version=opset,
        )
    return onnx.shape_inference.infer_shapes(onnx.load_from_string(buffer.getvalue()))

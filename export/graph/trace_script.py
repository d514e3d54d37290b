"""TorchScript for torch's exporter, which does not take it: run once and recorded operator by operator."""

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
"""Arguments of ``aten._convolution`` to keep; traced networks have more, which choose a CUDA library."""


def as_operators(program: nn.Module, example: torch.Tensor) -> nn.Module | None:
    """Return a TorchScript network as a graph of operators; None if its sizes cannot be traced.

    Dictionaries, lists and conditions are gone from it: only the path taken for ``example`` is recorded.
    """
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        try:
            graph: torch.fx.GraphModule = make_fx(program, tracing_mode="real")(example)
        except Exception:  # TorchScript's interpreter raises the errors of its operators
            return None
    for node in graph.graph.nodes:
        if node.target is torch.ops.aten._convolution.default:
            node.target = torch.ops.aten.convolution.default
            node.args = node.args[:CONVOLUTION_ARGUMENTS]
    graph.recompile()
    return graph


def by_the_old_exporter(script: Any, example: torch.Tensor, opset: int) -> ModelProto:
    """Return the ONNX graph of a TorchScript network with one output, by torch's old exporter.

    Raises the exporter's errors.
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

"""Trace a PyTorch network to its ONNX graph: images in, logits out, and its encoder's features if asked for."""

from __future__ import annotations

import contextlib
import io
import warnings
from typing import TYPE_CHECKING

import torch
from torch import nn

from export.errors import ContractError
from export.graph.simplify import simplify, with_ends
from export.graph.stages import OPSET
from export.graph.trace_script import as_operators, by_the_old_exporter
from seglab.networks.encoder_features import Watched
from seglab.networks.foreign.found import SCRIPT
from seglab.networks.foreign.programs import Program

if TYPE_CHECKING:
    from onnx import ModelProto

EXAMPLES = 2
"""Images that a network is traced with: with only one, the batch axis would be taken for a constant."""


def trace(network: nn.Module, size: int, *, features: bool = False) -> ModelProto:
    """Return the graph of a network in evaluation mode: float ``(N, 3, S, S)`` to logits ``(N, C, S, S)``, any N.

    ``features``: also return those of its encoder (:mod:`seglab.networks.encoder_features`), ``(N, C, h, w)`` each.

    Raises :class:`ContractError` with the exporter's reason if it cannot export the network.
    """
    example = torch.zeros(EXAMPLES, 3, size, size)
    if features:
        with Watched(network) as watched:
            return with_ends(_traced(watched.eval(), example))
    if isinstance(network, Program) and network.kind == SCRIPT:
        return _trace_script(network, example)
    return _traced(network, example)


def _trace_script(program: Program, example: torch.Tensor) -> ModelProto:
    operators = as_operators(program, example)
    first: ContractError | None = None
    if operators is not None:
        try:
            return _traced(operators, example)
        except ContractError as error:
            first = error
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            return simplify(by_the_old_exporter(program.module, example, OPSET))
    except Exception as error:  # the old exporter raises many kinds of errors
        raise first or _refused(error) from error


def _traced(network: nn.Module, example: torch.Tensor) -> ModelProto:
    # The exporter reports its progress on stdout, where this program's data goes.
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"(torch|onnxscript|onnx_ir)\.")
        warnings.filterwarnings("ignore", category=FutureWarning, module=r"(torch|onnxscript|onnx_ir)\.")
        warnings.filterwarnings(
            "ignore", message="Exporting a model while it is in training mode"
        )  # torch.export's own
        try:
            program = torch.onnx.export(
                network,
                (example,),
                dynamo=True,
                input_names=["x"],
                output_names=["logits"],
                dynamic_shapes=({0: "batch"},),
                opset_version=OPSET,
                verbose=False,
            )
        except torch.onnx.OnnxExporterError as error:
            raise _refused(error.__cause__ or error) from error
    if program is None:  # only without dynamo
        raise ContractError("torch.onnx.export returned nothing; expected a program. Install a newer torch.")
    return simplify(program.model_proto)


def _refused(error: BaseException) -> ContractError:
    reason = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    return ContractError(
        f"torch.onnx.export cannot export this network ({reason}); expected one of those in "
        "docs/reference/networks.md. Train another network, or use another size. For somebody else's network, export "
        "it to ONNX with its own code and a dynamic batch axis, then use `seg-export adopt NET.onnx`."
    )

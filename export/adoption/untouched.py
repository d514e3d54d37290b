"""The foreign file as it came, run by onnxruntime without any change."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from export.adoption.training_mode import opset_of
from export.errors import ContractError
from export.graph.names import read_by

if TYPE_CHECKING:
    from onnx import ModelProto

Array = NDArray[Any]

FOLDER_OF_WEIGHTS = "session.model_external_initializers_file_folder_path"
PREAMBLE = re.compile(r"^\[ONNXRuntimeError\] : \d+ : \w+ : (Load model from .*? failed:)?", re.DOTALL)
PLACE = re.compile(r"\S*/onnxruntime/\S+:\d+ .*?\)( const)? |Status Message: ")
MOST_OF_A_REASON = 300
TOO_NEW = "is under development"
"""onnxruntime's words for an operator set that it does not know yet."""
TYPES = {
    "float": "float32",
    "float16": "float16",
    "double": "float64",
    "uint8": "uint8",
    "int8": "int8",
    "int16": "int16",
    "uint16": "uint16",
    "int32": "int32",
    "uint32": "uint32",
    "int64": "int64",
    "uint64": "uint64",
    "bool": "bool",
}
"""onnxruntime's names of element types, and numpy's."""


@dataclass(frozen=True)
class Port:
    """An input or output as the file states it: its name, its element type by numpy's name (else onnxruntime's), and
    its shape, with None for a dynamic axis. An empty shape means that the file states none.
    """

    name: str
    dtype: str
    shape: tuple[int | None, ...]

    def __str__(self) -> str:
        return f"{self.name!r} {self.dtype} {shape_text(self.shape)}"


class Untouched:
    """A foreign file, open. ``tensor``: a tensor inside it that is returned as a further output.

    Raises :class:`ContractError` if onnxruntime does not open it.
    """

    def __init__(self, source: Path, model: ModelProto, tensor: str | None = None) -> None:
        self.source = source
        self.model = model
        inside = {name for node in model.graph.node for name in node.output if name}
        given = {entry.name for entry in model.graph.output}
        self._session = _opened(source, model, tensor if tensor in inside - given else None)
        self.inputs = [_port(entry) for entry in self._session.get_inputs()]
        self.outputs = [_port(entry) for entry in self._session.get_outputs()]
        read = {name for node in model.graph.node for name in read_by(node)}
        read |= given
        self.read_inputs = [port for port in self.inputs if port.name in read]

    def run(self, name: str, values: Array) -> dict[str, Array]:
        """Return all outputs for ``values`` at an input; inputs that nothing reads are fed zeros.

        Raises :class:`ContractError` if onnxruntime does not run it.
        """
        feed = {port.name: _nothing(port) for port in self.inputs if port.name != name}
        try:
            found = self._session.run(None, {**feed, name: values})
        except Exception as error:  # onnxruntime's errors have no base class
            raise ContractError(
                f"{self.source} does not run on {values.dtype} {shape_text(values.shape)} ({reason_of(error)}). Check "
                "--size: it must be the size that the network was trained with, often a multiple of 32."
            ) from error
        return {port.name: np.asarray(values) for port, values in zip(self.outputs, found, strict=True)}


def shape_text(shape: tuple[int | None, ...]) -> str:
    """Return a shape as text, with ? for dynamic axes."""
    return f"({', '.join('?' if length is None else str(length) for length in shape)})"


def reason_of(error: Exception) -> str:
    """Return onnxruntime's message in one line, without codes and places in its source."""
    text = PREAMBLE.sub("", str(error))
    lines = [" ".join(PLACE.sub("", line).split()) for line in text.splitlines()]
    return (next(filter(None, lines), "") or type(error).__name__)[:MOST_OF_A_REASON].rstrip(". ")


def _opened(source: Path, model: ModelProto, tensor: str | None) -> Any:
    import onnx
    import onnxruntime

    from export.runtime.engines.onnxruntime import QUIET
    from export.runtime.plan import REFERENCE

    options = onnxruntime.SessionOptions()
    options.log_severity_level = QUIET
    what: str | bytes = str(source)
    if tensor is not None:
        shown = onnx.load(source, load_external_data=False)
        shown.graph.output.append(onnx.helper.make_empty_tensor_value_info(tensor))
        options.add_session_config_entry(FOLDER_OF_WEIGHTS, str(source.parent.resolve()))
        what = shown.SerializeToString()
    try:
        return onnxruntime.InferenceSession(what, options, providers=[REFERENCE])
    except Exception as error:  # onnxruntime's errors have no base class
        reason = reason_of(error)
        if TOO_NEW in reason:
            reason = f"opset {opset_of(model)} is newer than it knows"
        raise ContractError(
            f"onnxruntime {onnxruntime.__version__} cannot open {source} ({reason}). Export it again with "
            "opset_version=18."
        ) from error


def _port(entry: Any) -> Port:
    inner = str(entry.type).removeprefix("tensor(").removesuffix(")")
    shape = tuple(length if isinstance(length, int) and length > 0 else None for length in entry.shape or ())
    return Port(entry.name, TYPES.get(inner, inner), shape)


def _nothing(port: Port) -> Array:
    return np.zeros([length or 1 for length in port.shape], port.dtype)

"""Read a foreign file: check that it is a complete network that was exported for inference."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from export.adoption.training_mode import require_inference
from export.errors import ContractError
from export.graph.names import all_nodes, in_order, subgraphs

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, TensorProto

START = 16
"""Bytes at the start of a file that identify its format."""
EXPORT_IT = "Export the network with torch.onnx.export (Keras: tf2onnx)"
KINDS: tuple[tuple[bytes, str], ...] = (
    (b"PK\x03\x04", "a PyTorch checkpoint or another zip archive; `seg-export onnx` takes checkpoints"),
    (b"\x80", "a pickle, as PyTorch checkpoints are; `seg-export onnx` takes checkpoints"),
    (b"\x89HDF", "an HDF5 file, as Keras writes; export it with tf2onnx"),
    (b"version https:/", "a Git LFS pointer; fetch the file itself with git lfs pull"),
    (b"<", "a web page or XML; download the file again"),
)


def read_network(source: Path) -> ModelProto:
    """Return the network in a foreign file, with its functions inlined and its nodes sorted, otherwise unchanged.

    Raises :class:`ContractError` for a file that is not an ONNX network, lacks its weights, or already is a model with
    a contract, and for a network in training mode.
    """
    from onnx import inliner

    model = _load(source)
    if any(entry.key.startswith("seglab.") for entry in model.metadata_props):
        raise ContractError(
            f"{source} is already a model with a contract. Use it as it is, or adopt the original network."
        )
    if model.functions:
        model = inliner.inline_local_functions(model)
    nodes = in_order(model.graph)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    _require_known_operators(source, model)
    require_inference(source, model)
    return model


def _load(source: Path) -> ModelProto:
    import onnx

    if not source.is_file():
        what = "is a folder" if source.is_dir() else "does not exist"
        raise ContractError(f"{source} {what}; expected an ONNX file. Check the path.")
    _require_not_another_kind(source)
    try:
        model = onnx.load(source, load_external_data=False)
    except Exception as error:  # protobuf's errors have no typed base class
        reason = str(error) or type(error).__name__
        raise ContractError(
            f"{source} cannot be read as ONNX ({reason}); expected a network. Copy it again."
        ) from error
    if not model.graph.node and not model.graph.output:
        raise ContractError(f"{source} cannot be read as ONNX: it has no graph. {EXPORT_IT}.")
    _load_weights(source, model)
    return model


def _require_not_another_kind(source: Path) -> None:
    with source.open("rb") as file:
        start = file.read(START)
    if not start:
        raise ContractError(f"{source} is empty; expected an ONNX file. Copy it again.")
    for mark, what in KINDS:
        if start.startswith(mark):
            raise ContractError(f"{source} cannot be read as ONNX; it looks like {what}.")


def _load_weights(source: Path, model: ModelProto) -> None:
    """Read the weights from the files beside the model."""
    import onnx
    from onnx.external_data_helper import ExternalDataInfo, load_external_data_for_model, uses_external_data

    apart = [ExternalDataInfo(tensor).location for tensor in _tensors(model.graph) if uses_external_data(tensor)]
    missing = sorted({name for name in apart if not (source.parent / name).is_file()})
    if missing:
        raise ContractError(
            f"The weights of {source} are in other files, and {', '.join(missing)} is missing beside it; expected all "
            "of them in one folder. Copy it there, too."
        )
    try:
        load_external_data_for_model(model, str(source.parent))
    except (onnx.checker.ValidationError, OSError, ValueError) as error:
        raise ContractError(
            f"The weights of {source} in {', '.join(sorted(set(apart)))} cannot be read ({error}). Copy them again."
        ) from error


def _tensors(graph: GraphProto) -> Iterator[TensorProto]:
    yield from graph.initializer
    for node in graph.node:
        yield from (attribute.t for attribute in node.attribute if attribute.HasField("t"))
        for inner in subgraphs(node):
            yield from _tensors(inner)


def _require_known_operators(source: Path, model: ModelProto) -> None:
    foreign = sorted({f"{node.domain}:{node.op_type}" for node in all_nodes(model.graph) if _is_foreign(node.domain)})
    if foreign:
        raise ContractError(
            f"{source} uses operators that are not ONNX's own ({', '.join(foreign[:3])}); expected plain ONNX, which "
            "every runtime knows. Export it without custom operators."
        )


def _is_foreign(domain: str) -> bool:
    """Return whether a domain is unknown; ``com.microsoft`` is onnxruntime's, which it writes into optimised files."""
    return domain not in ("", "ai.onnx", "ai.onnx.ml", "com.microsoft")

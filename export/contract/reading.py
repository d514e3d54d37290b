"""Read a model file: its bytes, its contract, and whether contract and graph agree."""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass
from pathlib import Path

from export.contract.agreement import precision_of, require_agreement
from export.contract.fields import MAKE_ONE, Contract
from export.contract.onnx_file import DamagedFileError, OnnxFile, parse
from export.errors import ContractError

WEIGHTS = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
"""First bytes of files of torch.save: a zip, or a pickle in old versions."""


@dataclass(frozen=True)
class Opened:
    """A model file that was read: its contract, all its metadata, and the SHA-256 of its bytes."""

    contract: Contract
    metadata: dict[str, str]
    sha256: str


def read_contract(path: Path) -> Contract:
    """Return a model file's contract, after checking that its graph agrees with it.

    Raises :class:`ContractError` if the file is missing, not an ONNX model, without a contract or of a newer format, or
    if contract and graph disagree.
    """
    return read_model(path).contract


def read_model(path: Path) -> Opened:
    """Return contract and metadata of a model file, checked as by :func:`read_contract`."""
    content = _content(path)
    found = _parsed(path, content)
    contract = Contract.from_metadata(found.metadata, str(path))
    require_agreement(contract, found, str(path))
    return Opened(contract, found.metadata, hashlib.sha256(content).hexdigest())


def bound(contract: Contract, content: bytes) -> Contract:
    """Return the contract bound to a graph, an ONNX file's ``content``: with its digest, its operator set version, and
    the precision of its operators and constants.
    """
    found = parse(content)
    return dataclasses.replace(contract, graph_sha256=found.sha256, opset=found.opset, precision=precision_of(found))


def _content(path: Path) -> bytes:
    try:
        if path.is_file():
            return path.read_bytes()
        what = "is a folder" if path.is_dir() else "does not exist"
    except OSError as error:
        raise ContractError(
            f"{path} cannot be read ({error.strerror}); expected a model file (.onnx). Check its name and permissions."
        ) from error
    raise ContractError(f"{path} {what}; expected a model file (.onnx). Check the path. {MAKE_ONE}.")


def _parsed(path: Path, content: bytes) -> OnnxFile:
    try:
        return parse(content)
    except (DamagedFileError, RecursionError) as error:
        if content.startswith(WEIGHTS):
            raise ContractError(
                f"{path} is not a model file but looks like a PyTorch checkpoint; expected an ONNX model. Make one "
                f"with `seg-export onnx {path} --out M.onnx`, which says what else it needs."
            ) from error
        raise ContractError(
            f"{path} cannot be opened as an ONNX model ({error}); expected a file that `seg-export onnx` wrote. "
            f"Copy it again. {MAKE_ONE}."
        ) from error

"""The last step of an export: what was proved goes into the file, with probe images that any machine can repeat."""

from __future__ import annotations

from pathlib import Path

from export.contract import Contract
from export.graph.writing import write_model
from export.runtime import file_probes


def seal(path: Path, contract: Contract) -> None:
    """Replace the contract in a model file that passed its gate, and put probes into it: images at S x S, and what the
    CPU provider makes of them here.

    Every session is checked against them as it is opened (:mod:`export.runtime.file_probes`).
    """
    import onnx

    write_model(onnx.load(path), contract, path, {file_probes.KEY: file_probes.make(path, contract)})

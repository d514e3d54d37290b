"""The last step of an export: write the proof into the file, with probe images that any machine can repeat."""

from __future__ import annotations

from pathlib import Path

from export.contract import Contract
from export.graph.writing import write_model
from export.runtime.devices.cpu import reference
from export.runtime.engines.onnxruntime import OrtSession
from export.runtime.probes import in_file as file_probes


def seal(path: Path, contract: Contract) -> None:
    """Replace the contract in a model file that passed its gate, and add probes: images at S x S, and the CPU
    provider's probabilities for them.

    Every session is checked against them when it is opened (:mod:`export.runtime.probes.in_file`).
    """
    import onnx

    probes = file_probes.entry_for(contract, OrtSession(path, reference()).prob)
    write_model(onnx.load(path), contract, path, {file_probes.KEY: probes})

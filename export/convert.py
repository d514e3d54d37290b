"""From a checkpoint to a proved model file: export, measure, and only then move to the final path."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from export.calibration import Calibration
from export.contract import Contract
from export.errors import ContractError
from export.graph import FusedSegmenter, contract_for, fuse, write_contract, write_graph, write_model
from export.parity import CHUNK, ParityReport, check
from export.runtime import open_model
from export.samples import Sample, SampleSet
from export.sensitivity import PRECISION, Candidate, candidates
from seglab.checkpoints import Checkpoint
from seglab.files import replacing, sha256
from seglab.predict import Predictor


def convert(
    checkpoint: Checkpoint,
    out: Path,
    samples: SampleSet,
    *,
    licence: str = "not stated",
    fused: FusedSegmenter | None = None,
    calibration: Calibration | None = None,
    track: Callable[[Iterable[Sample]], Iterable[Sample]] = iter,
) -> ParityReport:
    """Export ``checkpoint`` to ``out`` if it passes the parity gate on the CPU provider: in fp32, or with images for a
    ``calibration`` in int8.

    The report's figures are in the model's contract, too. ``fused`` replaces the module that is exported (a test of the
    gate hands in wrong ones). Raises :class:`export.errors.ParityError` with the report where the gate fails; nothing
    is moved to ``out`` then, and what was there before stays.
    """
    contract = contract_for(checkpoint, licence)
    with replacing(out) as temporary:
        write_graph(fused or fuse(checkpoint), contract, temporary)

        def gate() -> ParityReport:
            model = open_model(temporary, "cpu", batch=CHUNK)
            return check(model, Predictor(checkpoint), samples, source=samples.source, track=track)

        if calibration is None:
            report = gate()
        else:
            contract, report = _quantise(temporary, contract, calibration, gate)
        report.require_passed()
        write_contract(temporary, dataclasses.replace(contract, parity=report.summary()))
        about = {**report.about, "model_sha256": sha256(temporary)}
        return dataclasses.replace(report, about=about)


def _quantise(
    path: Path, contract: Contract, calibration: Calibration, gate: Callable[[], ParityReport]
) -> tuple[Contract, ParityReport]:
    """Replace a float model by the first int8 one that passes the gate, else by the last one tried."""
    import onnx

    found: tuple[Contract, ParityReport] | None = None
    for candidate in candidates(onnx.load(path), calibration, contract.threshold):
        if found and not candidate.promising:
            continue  # the gate costs more than the calibration images do
        described = dataclasses.replace(contract, precision=PRECISION, quantisation=_describe(candidate, calibration))
        write_model(candidate.model, described, path)
        report = gate()
        report = dataclasses.replace(report, about={**report.about, "quantisation": described.quantisation})
        found = described, report
        if report.passed:
            break
    if found is None:  # not reached: there is always a candidate
        raise ContractError("There is no int8 model to try; expected one. Export it with --precision fp32.")
    return found


def _describe(candidate: Candidate, calibration: Calibration) -> dict[str, Any]:
    return {
        "calibration": calibration.source,
        "layers": candidate.layers,
        "float_layers": list(candidate.float_layers),
        "weights": "int8 per output channel, rounding corrected in the bias",
        "activations": "uint8 per tensor, smallest to largest value",
    }

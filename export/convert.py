"""From checkpoints to a proved model file: export, measure, and only then move to the final path."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from export.calibration import Calibration
from export.contract import Contract
from export.errors import ContractError
from export.graph import contract_for, segmenter
from export.parity import CHUNK, ParityReport, check
from export.runtime import Model, open_model
from export.samples import Sample, SampleSet
from export.sensitivity import Candidate, candidates
from export.writing import write_contract, write_model
from seglab.checkpoints import Checkpoint
from seglab.files import replacing, sha256
from seglab.predict import Predictor

if TYPE_CHECKING:
    from onnx import ModelProto

PRECISIONS = ("fp32", "fp16", "fp16-weights", "int8")


@dataclass(frozen=True)
class _Version:
    """A model to try. ``promising``: worth the gate, which costs more than making it."""

    model: ModelProto
    contract: Contract
    promising: bool = True


def convert(
    checkpoints: Sequence[Checkpoint],
    out: Path,
    samples: SampleSet,
    *,
    precision: str = "fp32",
    calibration: Calibration | None = None,
    licence: str = "not stated",
    fused: ModelProto | None = None,
    track: Callable[[Iterable[Sample]], Iterable[Sample]] = iter,
    look: Callable[[Model, Predictor, ParityReport], None] = lambda *_: None,
) -> ParityReport:
    """Export a checkpoint, or several as an ensemble, to ``out`` if it passes the parity gate on the CPU provider.

    ``precision``: one of :data:`PRECISIONS`; int8 needs a ``calibration``. The report's figures are in the model's
    contract, too. ``look`` is given what was measured, passed or not, while the model is open. ``fused`` replaces the
    fp32 graph that is exported (a test of the gate hands in wrong ones). Raises :class:`ContractError` for what cannot
    be exported, :class:`export.errors.ParityError` with the report where the gate fails; nothing is moved to ``out``
    then, and what was there before stays.
    """
    if (calibration is not None) != (precision == "int8"):
        raise ContractError(
            f"The precision is {precision} and there are {'' if calibration else 'no '}images to calibrate on; "
            "expected such images for int8, and for int8 only."
        )
    original = Predictor(*checkpoints)
    contract = contract_for(checkpoints, licence)
    with replacing(out) as temporary:
        tried: tuple[Contract, Model, ParityReport] | None = None
        for version in _versions(checkpoints, contract, precision, calibration, fused):
            if tried and not version.promising:
                continue
            write_model(version.model, version.contract, temporary)
            model = open_model(temporary, "cpu", batch=CHUNK)
            report = check(model, original, samples, source=samples.source, track=track)
            if version.contract.quantisation:
                report.about["quantisation"] = version.contract.quantisation
            tried = version.contract, model, report
            if report.passed:
                break
        if tried is None:  # not reached: there is always a version
            raise ContractError(f"There is no {precision} model to try; expected one. Export with --precision fp32.")
        contract, model, report = tried
        look(model, original, report)
        report.require_passed()
        write_contract(temporary, dataclasses.replace(contract, parity=report.summary()))
        about = {**report.about, "model_sha256": sha256(temporary)}
        return dataclasses.replace(report, about=about)


def _versions(
    checkpoints: Sequence[Checkpoint],
    contract: Contract,
    precision: str,
    calibration: Calibration | None,
    fused: ModelProto | None,
) -> Iterator[_Version]:
    """Yield the models to try, the best first: one, or in int8 with more and more layers in float."""
    described = dataclasses.replace(contract, precision=precision)
    if calibration is None:
        yield _Version(fused or segmenter(checkpoints, precision), described)
        return
    for candidate in candidates(fused or segmenter(checkpoints), calibration, contract.threshold):
        made = dataclasses.replace(described, quantisation=_describe(candidate, calibration))
        yield _Version(candidate.model, made, candidate.promising)


def _describe(candidate: Candidate, calibration: Calibration) -> dict[str, Any]:
    return {
        "calibration": calibration.source,
        "layers": candidate.layers,
        "float_layers": list(candidate.float_layers),
        "weights": "int8 per output channel, rounding corrected in the bias",
        "activations": "uint8 per tensor, smallest to largest value",
    }

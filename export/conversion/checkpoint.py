"""From checkpoints to a proved model file: export, measure, and only then move to the final path."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from export.contract import Contract
from export.conversion.build import contract_for, fused, segmenter, traced
from export.errors import ContractError
from export.graph.writing import write_contract, write_model
from export.precision.calibration import Calibration
from export.precision.half import layers_of
from export.precision.quantise import layer_names
from export.precision.sensitivity import Candidate, candidates
from export.proof.gate import CHUNK, ParityReport, check
from export.runtime.model import Model
from export.runtime.opening import open_model
from export.samples import Sample, SampleSet
from seglab.evaluation.original import Predictor
from seglab.files import replacing, sha256
from seglab.networks.checkpoints import Checkpoint

if TYPE_CHECKING:
    from onnx import ModelProto


SCREENED = 12
"""Images that an fp16 model with layers in fp32 has to pass before it is shown all."""


@dataclass(frozen=True)
class _Version:
    """A model to try. ``promising``: worth the gate, which costs more than making it; ``screen``: try a few images
    first.
    """

    model: ModelProto
    contract: Contract
    promising: bool = True
    screen: bool = False


def convert(
    checkpoints: Sequence[Checkpoint],
    out: Path,
    samples: SampleSet,
    *,
    precision: str = "fp32",
    calibration: Calibration | None = None,
    licence: str = "not stated",
    fused_model: ModelProto | None = None,
    track: Callable[[Iterable[Sample]], Iterable[Sample]] = iter,
    on_measured: Callable[[Model, Predictor, ParityReport], None] = lambda *_: None,
) -> ParityReport:
    """Export a checkpoint, or several as an ensemble, to ``out`` if it passes the parity gate on the CPU provider.

    ``precision``: one of :data:`PRECISIONS`; int8 needs a ``calibration``. In int8 and fp16 layers are put back into
    fp32 until the gate passes. The report's figures are in the model's contract, too. ``on_measured`` is given what was
    measured, passed or not, while the model is open. ``fused_model`` replaces the fp32 graph that is exported (a test
    of the gate hands in wrong ones). Raises :class:`ContractError` for what cannot be exported,
    :class:`export.errors.ParityError` with the report where the gate fails; nothing is moved to ``out`` then, and what
    was there before stays.
    """
    if (calibration is not None) != (precision == "int8"):
        raise ContractError(
            f"The precision is {precision} and there are {'' if calibration else 'no '}images to calibrate on; "
            "expected such images for int8, and for int8 only."
        )
    original = Predictor(*checkpoints)
    contract = contract_for(checkpoints, licence)
    with replacing(out) as temporary:
        versions = _versions(checkpoints, contract, precision, calibration, fused_model)
        contract, model, report = _first_that_passes(versions, temporary, original, samples, track)
        on_measured(model, original, report)
        report.require_passed()
        write_contract(temporary, dataclasses.replace(contract, parity=report.summary()))
        about = {**report.about, "model_sha256": sha256(temporary)}
        return dataclasses.replace(report, about=about)


def _first_that_passes(
    versions: Iterable[_Version],
    file: Path,
    original: Predictor,
    samples: SampleSet,
    track: Callable[[Iterable[Sample]], Iterable[Sample]],
) -> tuple[Contract, Model, ParityReport]:
    """Write one version after the other into the file until one passes; return that, or the last that was measured."""
    tried: tuple[Contract, Model, ParityReport] | None = None
    for version in versions:
        if tried and not version.promising:
            continue
        write_model(version.model, version.contract, file)
        model = open_model(file, "cpu", batch=CHUNK)
        if version.screen and not check(model, original, samples.some(SCREENED)).passed:
            continue
        report = check(model, original, samples, source=samples.source, track=track)
        if version.contract.quantisation:
            report.about["quantisation"] = version.contract.quantisation
        tried = version.contract, model, report
        if report.passed:
            break
    if tried is None:  # not reached: there is always a version
        raise ContractError("There is no model to try; expected one. Export with --precision fp32.")
    return tried


def _versions(
    checkpoints: Sequence[Checkpoint],
    contract: Contract,
    precision: str,
    calibration: Calibration | None,
    fused_model: ModelProto | None,
) -> Iterator[_Version]:
    """Yield the models to try, the best first: one, or in int8 and fp16 with more and more layers in fp32."""
    described = dataclasses.replace(contract, precision=precision)
    if fused_model is not None and calibration is None:
        yield _Version(fused_model, described)
    elif precision == "fp16":
        yield from _half_versions(checkpoints, described)
    elif calibration is None:
        yield _Version(segmenter(checkpoints, precision), described)
    else:
        for candidate in candidates(fused_model or segmenter(checkpoints), calibration, contract.threshold):
            made = dataclasses.replace(described, quantisation=_describe(candidate, calibration))
            yield _Version(candidate.model, made, candidate.promising)


def _half_versions(checkpoints: Sequence[Checkpoint], contract: Contract) -> Iterator[_Version]:
    """Yield fp16 models: with no layer in fp32, then with the first 1, 2, 4, ... up to half of them."""
    networks = traced(checkpoints)
    layers = layers_of(networks[0])
    count = 0
    while count <= len(layers) // 2:
        made = {"layers": len(layers), "float_layers": layer_names(layers[:count])}
        model = fused(checkpoints, networks, "fp16", count)
        yield _Version(model, dataclasses.replace(contract, quantisation=made), screen=count > 0)
        count = 2 * count or 1


def _describe(candidate: Candidate, calibration: Calibration) -> dict[str, Any]:
    return {
        "calibration": calibration.source,
        "layers": candidate.layers,
        "float_layers": list(candidate.float_layers),
        "weights": "int8 per output channel, rounding corrected in the bias",
        "activations": "uint8 per tensor, smallest to largest value",
    }

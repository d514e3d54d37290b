"""From checkpoints to a proved model file: export it, measure it, and move it to its final path if it passes."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from export.contract import Contract
from export.conversion.build import contract_for, fused, traced
from export.errors import ContractError
from export.graph.writing import write_model
from export.precision.calibration import Calibration
from export.precision.half import layers_of
from export.precision.learned import quantise_learned
from export.precision.quantise import layer_names, layers_in
from export.precision.sensitivity import Candidate, candidates
from export.proof.gate import CHUNK, ParityReport, check
from export.proof.report import ADVICE
from export.proof.sealing import seal
from export.proof.stages import require_same_stages
from export.proof.training_images import told_apart
from export.proof.weights import require_rounded_weights
from export.runtime.devices.cpu_features import computes_int8_exactly
from export.runtime.model import Model
from export.runtime.opening import open_model
from export.samples import Sample, SampleSet
from export.tolerances import SIMULATED
from seglab.evaluation.original import Predictor
from seglab.files import replacing, sha256
from seglab.networks.checkpoints import Checkpoint

if TYPE_CHECKING:
    from onnx import ModelProto


SCREENED = 12
"""Images on which an fp16 model with layers in fp32 must pass before it is measured on all."""


ADVICE_BELOW_FP32 = {
    "int8": "Its fp32 graph passed: calibrate on more images like those it will segment (--calibrate, "
    "--calibration-images), or export with --precision fp32.",
    "fp16": "Its fp32 graph passed: export with --precision fp16-weights or fp32.",
    "fp16-weights": "Its fp32 graph passed: export with --precision fp32.",
}
ADVICE_WITHOUT_VNNI = (
    "Its fp32 graph passed. This CPU has no VNNI instructions, without which engines compute int8 less exactly: export "
    "on a machine that has them, or with --precision fp32."
)


FIRST_LAYERS = (1, 2, 4)
SIMULATING = "the PyTorch original with the rounding of int8"
LEARNED = {
    "calibration": "none: the network learned with the rounding of int8",
    "weights": "int8 per output channel",
    "activations": "uint8 per tensor, the ranges that it learned with",
}


def has_learned_ranges(checkpoints: Sequence[Checkpoint]) -> bool:
    """Return whether all networks were trained with int8 rounding and so need no calibration."""
    return all(each.network.ranges for each in checkpoints)


@dataclass(frozen=True)
class _Version:
    """A model to try. ``promising``: whether it is worth the gate, which takes longer than making the model.
    ``screen``: whether to try a few images first. ``exact``: for networks trained with int8 rounding, the numbers of
    the tensors that stay in float.
    """

    model: ModelProto
    contract: Contract
    promising: bool = True
    screen: bool = False
    exact: frozenset[int] = frozenset()


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

    ``precision``: one of :data:`PRECISIONS`. int8 needs a ``calibration``, except for networks trained with int8
    rounding: those are also compared with the PyTorch original that simulates it. The fp32 graph must pass first, for
    every precision. Then everything outside the network must be the same, and the network is judged by the limits of
    the precision. For int8 and fp16, layers are put back into fp32 until the gate passes.

    The model's contract has the report's figures, too. ``on_measured`` gets the model, the original and the report
    while the model is open, whether it passed or not. ``fused_model`` replaces the fp32 graph to export (tests of the
    gate pass wrong ones). Raises :class:`ContractError` for a checkpoint that cannot be exported, and
    :class:`export.errors.ParityError` with the report if the gate fails; ``out`` is then left as it was.
    """
    if (calibration is not None) != (precision == "int8" and not has_learned_ranges(checkpoints)):
        raise ContractError(
            f"The precision is {precision}, and calibration images were {'' if calibration else 'not '}given; they "
            "calibrate int8, and a network that learned the ranges of int8 takes none."
        )
    import onnx

    contract = contract_for(checkpoints, licence)
    networks = traced(checkpoints)
    exact = fused_model or fused(checkpoints, networks, "fp32")
    known = told_apart(samples, checkpoints[0].training, checkpoints[0].path)
    gate = _Gate(Predictor(*checkpoints), known, track)
    with replacing(out) as temporary:
        made = gate.measure(_Version(exact, contract), temporary)
        if precision != "fp32" and made.report.passed:
            versions = _reduced(checkpoints, networks, exact, contract, precision, calibration)
            made = _first_that_passes(versions, exact, temporary, gate)
            if precision == "int8":
                require_rounded_weights(onnx.load(temporary), exact, is_learned=calibration is None)
        on_measured(made.model, gate.original, made.report)
        made.report.require_passed()
        if precision == "int8" and calibration is None:
            gate.require_as_simulated(made, checkpoints)
        seal(temporary, dataclasses.replace(made.contract, parity=made.report.summary()))
        about = {**made.report.about, "model_sha256": sha256(temporary)}
        return dataclasses.replace(made.report, about=about)


@dataclass(frozen=True)
class _Measured:
    version: _Version
    model: Model
    report: ParityReport

    @property
    def contract(self) -> Contract:
        return self.version.contract


@dataclass(frozen=True)
class _Gate:
    """The comparison that every version has to pass."""

    original: Predictor
    samples: SampleSet
    track: Callable[[Iterable[Sample]], Iterable[Sample]]

    def measure(self, version: _Version, file: Path) -> _Measured:
        """Write a version to ``file`` and compare it with the original on all samples.

        A version with ``screen`` is compared on a few samples first, and on these only if it fails there.
        """
        write_model(version.model, version.contract, file)
        model = open_model(file, "cpu", batch=CHUNK)
        advice = _advice(version.contract.precision)
        if version.screen:
            screened = check(model, self.original, self.samples.some(SCREENED), advice=advice)
            if not screened.passed:
                return _Measured(version, model, screened)
        report = check(model, self.original, self.samples, source=self.samples.source, track=self.track, advice=advice)
        if version.contract.quantisation:
            report.about["quantisation"] = version.contract.quantisation
        return _Measured(version, model, report)

    def require_as_simulated(self, made: _Measured, checkpoints: Sequence[Checkpoint]) -> None:
        """Raise :class:`ParityError` unless an int8 model matches the PyTorch original that simulates its rounding.

        This finds a wrongly stored weight, which the limits of int8 would hide.
        """
        original = Predictor(*checkpoints, simulates=True, exact=made.version.exact)
        check(
            made.model, original, self.samples, source=self.samples.source, track=self.track,
            original_name=SIMULATING, advice=_advice("int8"), limits=SIMULATED,
        ).require_passed()  # fmt: skip


def _first_that_passes(versions: Iterable[_Version], exact: ModelProto, file: Path, gate: _Gate) -> _Measured:
    """Measure one version after another until one passes. Return it, or else the last one measured on all samples.

    In every version, everything outside the network must be as in the fp32 graph ``exact``.
    """
    tried: _Measured | None = None
    for version in versions:
        if tried and not version.promising:
            continue
        require_same_stages(version.model, exact, f"The {version.contract.precision} model", "its fp32 graph")
        measured = gate.measure(version, file)
        if tried is None or measured.report.passed or not version.screen:
            tried = measured
        if measured.report.passed:
            break
    if tried is None:  # not reached: there is always a version
        raise ContractError("There is no model to try; expected one. Export with --precision fp32.")
    return tried


def _reduced(
    checkpoints: Sequence[Checkpoint],
    networks: Sequence[ModelProto],
    exact: ModelProto,
    contract: Contract,
    precision: str,
    calibration: Calibration | None,
) -> Iterator[_Version]:
    """Yield the models to try, the best first. In int8 and fp16, each has more layers in fp32 than the one before."""
    described = dataclasses.replace(contract, precision=precision)
    if precision == "int8" and calibration is None:
        yield from _learned_versions(checkpoints, exact, described)
    elif calibration is not None:
        for candidate in candidates(exact, calibration, contract.threshold):
            made = dataclasses.replace(described, quantisation=_describe(candidate, calibration))
            yield _Version(candidate.model, made, candidate.promising)
    elif precision == "fp16":
        yield from _half_versions(checkpoints, networks, described)
    else:
        yield _Version(fused(checkpoints, networks, precision), described)


def _learned_versions(checkpoints: Sequence[Checkpoint], exact: ModelProto, contract: Contract) -> Iterator[_Version]:
    """Yield int8 models: with no layer in float, then with the first 1, 2 and 4 of each network in float.

    The rounding errors of these layers pass through all the others.
    """
    ranges = [range for each in checkpoints for range in each.network.ranges]
    layers = list(layers_in(exact))
    networks = [list(group) for _, group in itertools.groupby(layers, lambda node: node.name.partition(".")[0])]
    for count in (0, *FIRST_LAYERS):
        kept = [node for network in networks for node in network[:count]]
        model, numbers = quantise_learned(exact, ranges, [node.name for node in kept])
        made = {"layers": len(layers), "float_layers": layer_names(kept), **LEARNED}
        yield _Version(model, dataclasses.replace(contract, quantisation=made), exact=numbers)


def _half_versions(
    checkpoints: Sequence[Checkpoint], networks: Sequence[ModelProto], contract: Contract
) -> Iterator[_Version]:
    """Yield fp16 models: with no layer in fp32, then with the first 1, 2, 4, ... up to half of the layers."""
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


def _advice(precision: str) -> str:
    """Return what to do if the gate fails in this precision."""
    if precision == "int8" and not computes_int8_exactly():
        return ADVICE_WITHOUT_VNNI
    return ADVICE_BELOW_FP32.get(precision, ADVICE)

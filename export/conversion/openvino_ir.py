"""From a model file to OpenVINO's own format (IR), for programs that use OpenVINO alone.

The IR has only the part of the graph that computes ``prob`` at S x S, because OpenVINO's ``Resize`` ignores
antialiasing. The contract is in the .xml as ``rt_info``: ``seglab/<field>``, with JSON values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.contract import PREFIX
from export.errors import ParityError
from export.proof.gate import CHUNK
from export.proof.probabilities import ProbReport, compare_probs
from export.runtime.engines.failures import mapped
from export.runtime.engines.openvino import HINTS, OTHERWISE, core, cut_to_prob, load
from export.runtime.masks import drop_single_class
from export.runtime.model import Model
from export.runtime.opening import open_model
from export.samples import Sample, SampleSet
from export.tolerances import tolerance_for
from seglab.files import replacing
from seglab.words import counted

DEVICE = "openvino"
WEIGHTS = {"fp32": "fp32", "fp16": "fp16-weights"}
"""How weights are stored, and the precision whose limits apply."""


def to_ir(
    source: Path,
    out: Path,
    samples: SampleSet,
    *,
    weights: str = "fp32",
    track: Callable[[Iterable[Sample]], Iterable[Sample]] = iter,
) -> ProbReport:
    """Write the model ``source`` to ``out`` (.xml) and its weights beside it (.bin), if it passes the gate.

    The gate compares the written files, run by OpenVINO in fp32, with ``prob`` of the model on the CPU provider. The
    limits are those of fp32, of ``fp16-weights``, or of the model's own precision if that is lower. Either both files
    are written or neither. Raises :class:`ParityError` if the gate fails, :class:`export.errors.ContractError` for a
    file that is not a model, and :class:`export.errors.DeviceError` if OpenVINO is missing or rejects the graph.
    """
    model = open_model(source, "cpu", batch=CHUNK)
    size, precision = model.contract.size, model.contract.precision
    limits = tolerance_for(WEIGHTS[weights] if precision == "fp32" else precision)
    with replacing(out) as xml, replacing(out.with_suffix(".bin")) as binary:
        with mapped(DEVICE, f"converting {source}", OTHERWISE):
            _write(model, xml, binary, is_half=weights == "fp16")
        report = compare_probs(
            _runner(xml, size),
            model.prob,
            track(samples),
            size=size,
            threshold=model.contract.threshold,
            limits=limits,
        )
        if report.beyond:
            listed = "".join(f"\n  {text}" for text in report.beyond)
            raise ParityError(
                f"OpenVINO's results for {source} do not match the CPU provider, measured on "
                f"{counted(len(report.rows), 'image')} ({samples.source}):{listed}\nUse the .onnx file with "
                "onnxruntime, or --weights fp32.",
                report,
            )
    return report


def _write(model: Model, xml: Path, binary: Path, *, is_half: bool) -> None:
    size = model.contract.size
    graph = cut_to_prob(model.path, [-1, size, size, 3])
    for name, value in model.contract.to_metadata().items():
        graph.set_rt_info(value, ["seglab", name.removeprefix(PREFIX)])
    load().save_model(graph, str(xml), compress_to_fp16=is_half)
    xml.with_suffix(".bin").replace(binary)


def _runner(xml: Path, size: int) -> Callable[[NDArray[np.uint8]], NDArray[np.float32]]:
    """Open the written files. Return a function from images at S x S to probabilities."""
    with mapped(DEVICE, "reading the files that were written", OTHERWISE):
        graph: Any = core().read_model(str(xml))
        graph.reshape({graph.input(0): [-1, size, size, 3]})
        compiled = core().compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": HINTS["fp32"]})

    def run(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        with mapped(DEVICE, f"running the model on {images.shape}"):
            return drop_single_class(np.array(compiled(images)[0]))

    return run

"""From a checkpoint to a proved model file: export, measure, and only then move to the final path."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from pathlib import Path

from export.graph import FusedSegmenter, contract_for, fuse, write_contract, write_graph
from export.parity import CHUNK, ParityReport, check
from export.runtime import open_model
from export.samples import Sample, SampleSet
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
    track: Callable[[Iterable[Sample]], Iterable[Sample]] = iter,
) -> ParityReport:
    """Export ``checkpoint`` to ``out`` in fp32, if it passes the parity gate on the CPU provider.

    The report's figures are in the model's contract, too. ``fused`` replaces the module that is exported (a test of the
    gate hands in wrong ones). Raises :class:`export.errors.ParityError` with the report where the gate fails; nothing
    is moved to ``out`` then, and what was there before stays.
    """
    contract = contract_for(checkpoint, licence)
    with replacing(out) as temporary:
        write_graph(fused or fuse(checkpoint), contract, temporary)
        model = open_model(temporary, "cpu", batch=CHUNK)
        report = check(model, Predictor(checkpoint), samples, source=samples.source, track=track)
        report.require_passed()
        write_contract(temporary, dataclasses.replace(contract, parity=report.summary()))
        return dataclasses.replace(report, about={**report.about, "model_sha256": sha256(temporary)})

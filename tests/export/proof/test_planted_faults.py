"""Faults planted in files of every precision: each is found as the file is opened, by its stages, or by the gate."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from export.conversion.build import segmenter
from export.runtime.devices.cpu_features import computes_int8_exactly
from export.samples import Sample
from export.tolerances import PRECISIONS
from seglab.evaluation.original import Predictor
from seglab.networks.checkpoints import Checkpoint
from tests.support.artefact import tiny_checkpoint
from tests.support.faults_around import AROUND, OF_VARIANTS
from tests.support.faults_within import OF_INT8, WITHIN
from tests.support.planted_faults import RESTATED, exported, found_by, pictures, restated, three_classes, variant

pytestmark = pytest.mark.usefixtures("traced_once")

QUICK = {("fp32", name) for name in ("a layer of zeros", "a bias of zeros")} | {("int8", "a zero point off by 20")}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("faults")


@pytest.fixture(scope="module")
def checkpoint(folder: Path) -> Checkpoint:
    return tiny_checkpoint(folder / "c.pt")


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    return pictures()


def test_there_are_forty_at_least() -> None:
    assert len(AROUND) + len(OF_VARIANTS) + len(WITHIN) + len(OF_INT8) + len(RESTATED) >= 60


@pytest.mark.parametrize("precision", PRECISIONS)
def test_faults_around_the_network_are_found_without_running_it(
    folder: Path, checkpoint: Checkpoint, precision: str
) -> None:
    model, original = exported(precision), Predictor(checkpoint)
    found = {
        name: found_by(fault, model, checkpoint, original, [], folder / f"{precision}.onnx")
        for name, fault in AROUND.items()
    }
    assert not [name for name, by in found.items() if not by.startswith(("opening", "stages", "written"))]


@pytest.mark.slow
@pytest.mark.parametrize("name", OF_VARIANTS)
def test_faults_of_other_models_are_found(
    folder: Path, checkpoint: Checkpoint, samples: list[Sample], name: str
) -> None:
    kind, fault = OF_VARIANTS[name]
    chosen = variant(checkpoint, kind, three_classes())
    assert found_by(fault, segmenter([chosen]), chosen, Predictor(chosen), samples, folder / "variant.onnx")


@pytest.mark.parametrize("precision", PRECISIONS)
def test_contracts_that_say_something_else_are_found(folder: Path, checkpoint: Checkpoint, precision: str) -> None:
    other = "fp32" if precision == "int8" else "int8"
    for name, fields in RESTATED.items():
        chosen = {field: other if value == "other" else value for field, value in fields.items()}
        model = onnx.ModelProto()
        model.CopyFrom(exported(precision))
        assert restated(model, checkpoint, folder / "restated.onnx", **chosen), name


CASES = [(precision, name) for precision in PRECISIONS for name in (WITHIN | (OF_INT8 if precision == "int8" else {}))]


@pytest.mark.parametrize(
    ("precision", "name"), [pytest.param(*case, marks=() if case in QUICK else pytest.mark.slow) for case in CASES]
)
def test_faults_within_the_network_are_found(
    folder: Path, checkpoint: Checkpoint, samples: list[Sample], precision: str, name: str
) -> None:
    if precision == "int8" and not computes_int8_exactly():
        pytest.skip("this CPU has no VNNI: int8 is not exact")
    model = exported(precision)
    fault = (WITHIN | OF_INT8)[name]
    assert found_by(fault, model, checkpoint, Predictor(checkpoint), samples, folder / f"within-{precision}.onnx")

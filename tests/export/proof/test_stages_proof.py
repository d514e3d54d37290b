"""What stands around the network: the same to the last bit in every precision, and what the checkpoint asks for."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from click.testing import CliRunner, Result
from onnx import TensorProto, helper, numpy_helper

from export.cli import main
from export.contract import Contract
from export.contract.onnx_file import parse
from export.conversion.build import contract_for, segmenter, stages_of
from export.errors import ParityError
from export.graph.writing import write_model
from export.precision.calibration import Calibration
from export.precision.quantise import calibrate, quantise
from export.proof.stages import require_same_stages, stage_differences
from seglab.networks.checkpoints import Checkpoint
from tests.support.artefact import TINY_SIZE, blobs, tiny_checkpoint

pytestmark = pytest.mark.usefixtures("traced_once")

PRECISIONS = ("fp32", "fp16", "fp16-weights", "int8")
Edit = Callable[[onnx.ModelProto], None]


def in_precision(checkpoint: Checkpoint, precision: str) -> onnx.ModelProto:
    if precision != "int8":
        return segmenter([checkpoint], precision)
    rng = np.random.default_rng(0)
    images = np.stack([blobs(rng, TINY_SIZE, TINY_SIZE)[0] for _ in range(2)])
    return quantise(calibrate(segmenter([checkpoint]), Calibration("blobs", images)))


def node(model: onnx.ModelProto, output: str) -> onnx.NodeProto:
    found: onnx.NodeProto = next(entry for entry in model.graph.node if entry.output[0] == output)
    return found


def times(name: str, factor: float) -> Edit:
    def edit(model: onnx.ModelProto) -> None:
        entry = next(entry for entry in model.graph.initializer if entry.name == name)
        values = numpy_helper.to_array(entry)
        entry.CopyFrom(numpy_helper.from_array((values * factor).astype(values.dtype), name))

    return edit


def without_antialias(model: onnx.ModelProto) -> None:
    next(entry for entry in node(model, "resized").attribute if entry.name == "antialias").i = 0


def strict_comparison(model: onnx.ModelProto) -> None:
    node(model, "lesion").op_type = "Greater"


def rounded_probabilities(model: onnx.ModelProto) -> None:
    """Probabilities go through fp16 on their way to the mask."""
    at = next(index for index, entry in enumerate(model.graph.node) if entry.output[0] == "full")
    model.graph.node[at].input[0] = "back"
    model.graph.node.insert(at, helper.make_node("Cast", ["half"], ["back"], to=TensorProto.FLOAT))
    model.graph.node.insert(at, helper.make_node("Cast", ["prob"], ["half"], to=TensorProto.FLOAT16))


def sigmoid_twice(model: onnx.ModelProto) -> None:
    at = next(index for index, entry in enumerate(model.graph.node) if entry.output[0] == "prob")
    given = model.graph.node[at].input[0]
    model.graph.node[at].input[0] = "once"
    model.graph.node.insert(at, helper.make_node("Sigmoid", [given], ["once"]))


@pytest.mark.parametrize("tta", ["none", "flips"])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_reduced_precision_has_the_stages_of_fp32(tmp_path: Path, precision: str, tta: str) -> None:
    checkpoint = dataclasses.replace(tiny_checkpoint(tmp_path / "c.pt"), tta=tta)
    model = in_precision(checkpoint, precision)
    assert list(stage_differences(model, segmenter([checkpoint]))) == []
    assert list(stage_differences(model, stages_of([checkpoint]))) == []


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_change_around_the_network_is_named(tmp_path: Path, precision: str) -> None:
    checkpoint = tiny_checkpoint(tmp_path / "c.pt")
    made = in_precision(checkpoint, precision)
    for edit, named in (
        (times("scale", 1.0001), "the constant 'scale'"),
        (times("threshold", 0.999), "the constant 'threshold'"),
        (without_antialias, "'resized' .Resize. has other attributes"),
        (strict_comparison, "'lesion' is Greater, not GreaterOrEqual"),
        (rounded_probabilities, "'full' .Resize. reads 'back', not 'prob'"),
        (sigmoid_twice, "'prob' .Sigmoid. reads 'once'"),
    ):
        model = onnx.ModelProto()
        model.CopyFrom(made)
        edit(model)
        with pytest.raises(ParityError, match=f"m.onnx does not do around its network what .*: {named}"):
            require_same_stages(model, stages_of([checkpoint]), "m.onnx")


def test_hair_removal_survives_int8(tmp_path: Path) -> None:
    """onnxruntime's sorting passed over what loops read from around them, and the file did not load."""
    checkpoint = dataclasses.replace(tiny_checkpoint(tmp_path / "c.pt"), hair="dullrazor")
    model = in_precision(checkpoint, "int8")
    onnx.checker.check_model(model, full_check=True)
    assert list(stage_differences(model, stages_of([checkpoint]))) == []


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for index in range(3):
        assert cv2.imwrite(str(folder / f"{index}.png"), blobs(np.random.default_rng(index), 90, 120)[0][..., ::-1])
    return folder


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_a_file_never_chooses_its_own_limits(tmp_path: Path, pictures: Path) -> None:
    """A deviation 2 % off in graph and contract, and the label of the precision that may differ most."""
    checkpoint = tiny_checkpoint(tmp_path / "c.pt")
    wrong = dataclasses.replace(checkpoint, std=(0.229 * 1.02, 0.224 * 1.02, 0.225 * 1.02))
    path = tmp_path / "m.onnx"
    write_model(segmenter([wrong]), dataclasses.replace(contract_for([wrong]), precision="int8"), path)
    assert Contract.from_metadata(parse(path.read_bytes()).metadata).precision == "fp32"  # that of the graph
    model = onnx.load(path)
    entries = {entry.key: entry.value for entry in model.metadata_props}
    helper.set_model_props(model, {**entries, "seglab.precision": json.dumps("int8")})
    onnx.save(model, tmp_path / "labelled.onnx")
    options = ("--images", pictures, "--device", "cpu")
    labelled = run("check", tmp_path / "labelled.onnx", tmp_path / "c.pt", *options)
    assert labelled.exit_code == 1
    assert "precision is int8 in its contract and fp32 in its graph" in labelled.stderr
    result = run("check", path, tmp_path / "c.pt", *options)
    assert result.exit_code == 1
    assert "the constant 'scale' has other values; expected the same to the last bit" in result.stderr


def test_int8_does_not_excuse_a_wrong_deviation(tmp_path: Path, pictures: Path) -> None:
    checkpoint = tiny_checkpoint(tmp_path / "c.pt")
    wrong = dataclasses.replace(checkpoint, std=(0.229 * 1.02, 0.224 * 1.02, 0.225 * 1.02))
    path = tmp_path / "m.onnx"
    write_model(in_precision(wrong, "int8"), contract_for([wrong]), path)
    result = run("check", path, tmp_path / "c.pt", "--images", pictures, "--device", "cpu")
    assert result.exit_code == 1
    assert "the constant 'scale' has other values" in result.stderr

"""Where truth is at hand a wrong way of feeding is called out; and an adopted model can be proved again."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from onnx import NodeProto, TensorProto, helper

from export.cli import main
from export.contract import read_contract
from tests.support import foreign
from tests.support.foreign import SIDE, dark, value, write

STEEP = {"dark_weight": np.full((1, 3, 1, 1), -4, np.float32), "dark_bias": np.array([-3], np.float32)}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return foreign.photographs(tmp_path_factory.mktemp("photos"))


def node(kind: str, inputs: list[str], output: str, **settings: object) -> NodeProto:
    return helper.make_node(kind, inputs, [output], **settings)  # type: ignore[arg-type]


def run(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def adopt(source: Path, pictures: Path, *options: str) -> Result:
    return run("adopt", source, *options, "--out", source.with_name("m.onnx"), "--parity", pictures)


def check(source: Path, model: Path, pictures: Path) -> Result:
    return run("check", model, source, "--images", pictures, "--device", "cpu")


def test_a_better_normalisation_is_named(tmp_path: Path, pictures: Path) -> None:
    source = write(tmp_path / "net.onnx", [dark()], constants=STEEP)
    result = adopt(source, pictures, "--mean", "0-1")
    assert "WARNING: against the truth on 3 images" in result.stderr
    assert re.search(r"mean Dice of \S+'s masks is 0.00; with --mean (imagenet|-1..1) it is 0.9\d\.", result.stderr)
    right = adopt(source, pictures, "--mean", "imagenet")
    assert right.exit_code == 0
    assert "WARNING" not in right.stderr


def test_masks_that_have_little_to_do_with_the_truth_are_called_out(tmp_path: Path, pictures: Path) -> None:
    source = write(tmp_path / "net.onnx", [dark(), node("Neg", ["logits"], "y")], given=value("y", "b", 1, SIDE, SIDE))
    result = adopt(source, pictures, "--mean", "imagenet")
    assert "the mean Dice of" in result.stderr
    assert (
        "which is low. Is it fed as in training (--mean, --channels, --size), and is --output right?" in result.stderr
    )


def test_check_feeds_the_network_as_the_contract_says(tmp_path: Path, pictures: Path) -> None:
    """Grey pixels with the channels last, an inner tensor of a quarter of the size, the second of two classes."""
    nodes = [
        node("Cast", ["in"], "floats", to=TensorProto.FLOAT),
        node("Transpose", ["floats"], "plane", perm=[0, 3, 1, 2]),
        node("Div", ["plane", "scale"], "scaled"),
        node("Concat", ["scaled", "scaled", "scaled"], "x", axis=1),
        dark(),
        node("Add", ["logits", "three"], "moved"),
        node("AveragePool", ["moved"], "small", kernel_shape=[4, 4], strides=[4, 4]),
        node("Neg", ["small"], "skin"),
        node("Concat", ["skin", "small"], "both", axis=1),
        node("ArgMax", ["both"], "labels", axis=1),
    ]
    taken = value("in", "b", SIDE, SIDE, 1, kind=TensorProto.UINT8)
    given = value("labels", "b", 1, SIDE // 4, SIDE // 4, kind=TensorProto.INT64)
    constants = {"scale": np.array(50, np.float32), "three": np.array(3, np.float32)}
    source = write(tmp_path / "net.onnx", nodes, taken, given, constants)
    adopted = adopt(source, pictures, "--output", "both", "--lesion-class", "1", "--threshold", "0.4")
    assert adopted.exit_code == 0, adopted.output
    contract = read_contract(tmp_path / "m.onnx")
    assert contract.adopted["from"] == "net.onnx"
    assert contract.adopted["sha256"] == contract.checkpoint_sha256
    assert contract.adopted["input"]["layout"] == "NHWC"
    assert contract.adopted["output"]["name"] == "both"
    result = check(source, tmp_path / "m.onnx", pictures)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("PASSED: ")
    assert "measured          on cpu" in result.stdout
    assert "Note" not in result.stderr


def test_check_of_another_network_fails(tmp_path: Path, pictures: Path) -> None:
    source = write(tmp_path / "net.onnx", [dark()])
    assert adopt(source, pictures, "--mean", "imagenet").exit_code == 0
    other = write(tmp_path / "other.onnx", [dark()], constants={"dark_bias": np.array([0.2], np.float32)})
    result = check(other, tmp_path / "m.onnx", pictures)
    assert result.exit_code == 1
    assert "was exported from another file than" in result.stderr
    assert f"does not match {other} on cpu" in result.stderr
    assert "PyTorch" not in result.stderr


def test_check_says_which_file_it_wants(tmp_path: Path, pictures: Path) -> None:
    source = write(tmp_path / "net.onnx", [dark()])
    assert adopt(source, pictures, "--mean", "imagenet").exit_code == 0
    renamed = write(tmp_path / "renamed.onnx", [dark(to="result")], given=value("result", "b", 1, SIDE, SIDE))
    (tmp_path / "best.pt").write_bytes(b"PK\x03\x04")
    for file, message in {
        "renamed.onnx": f"{renamed} has no input 'x' or no output 'logits'",
        "best.pt": "m.onnx was adopted from net.onnx. ",
        "absent.onnx": "absent.onnx does not exist",
    }.items():
        result = check(tmp_path / file, tmp_path / "m.onnx", pictures)
        assert result.exit_code == 1
        assert isinstance(result.exception, SystemExit)
        assert message in result.stderr


def test_a_plain_network_is_sent_to_adopt(tmp_path: Path, pictures: Path) -> None:
    source = write(tmp_path / "net.onnx", [dark()])
    assert "seg-export adopt NET.onnx" in run("info", source).stderr
    assert "seg-export adopt NET.onnx" in check(source, source, pictures).stderr


def test_masks_that_are_all_empty_are_called_out_without_truth(tmp_path: Path, pictures: Path) -> None:
    source = write(tmp_path / "net.onnx", [dark()], constants=STEEP)
    result = adopt(source, pictures / "images", "--mean", "0-1")
    assert "masks are empty, or full, on all images; with --mean imagenet they are not." in result.stderr

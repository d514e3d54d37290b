"""Foreign files that cannot be adopted: what came, what was expected, what to do, and no file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner, Result
from onnx import NodeProto, TensorProto, helper, numpy_helper

from export.cli import main
from tests.support.foreign import SIDE, Array, dark, value, write

Build = Callable[[Path], object]
ONE = value("y", "b", 1, SIDE, SIDE)
TWO = value("y", "b", 2, SIDE, SIDE)
RATIO = {"ratio": np.array(0.5, np.float32)}
OPPOSITE = [
    helper.make_node("Neg", ["logits"], ["skin"]),
    helper.make_node("Concat", ["skin", "logits"], ["both"], axis=1),
]


def node(kind: str, inputs: list[str], output: str, **settings: object) -> NodeProto:
    return helper.make_node(kind, inputs, [output], **settings)  # type: ignore[arg-type]


def behind(*nodes: NodeProto, constants: dict[str, Array] | None = None, opset: int = 17, given: object = ONE) -> Build:
    """Return what writes the network with nodes behind it."""
    return lambda path: write(path, [dark(), *nodes], given=given, constants=constants, opset=opset)  # type: ignore[arg-type]


def before(taken: object, *nodes: NodeProto, constants: dict[str, Array] | None = None) -> Build:
    """Return what writes the network with nodes before it."""
    return lambda path: write(path, [*nodes, dark()], taken, constants=constants)  # type: ignore[arg-type]


def content(data: bytes) -> Build:
    return lambda path: path.write_bytes(data)


def without_weights(path: Path) -> None:
    write(path, [dark()])
    onnx.save(onnx.load(path), path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    path.with_name("weights.bin").unlink()


def custom(path: Path) -> None:
    sets = [helper.make_opsetid("", 17), helper.make_opsetid("acme", 1)]
    write(path, [dark(), node("Sharpen", ["logits"], "y", domain="acme")], given=ONE, opset_imports=sets)


TRAINED_BN = helper.make_node(
    "BatchNormalization", ["logits", "one", "none", "none", "one"], ["y", "m", "v"], training_mode=1
)
OLD_BN = helper.make_node("BatchNormalization", ["logits", "one", "none", "none", "one"], ["y", "m", "v", "sm", "sv"])
BN = {"one": np.ones(1, np.float32), "none": np.zeros(1, np.float32)}
ON = helper.make_node("Constant", [], ["on"], value=numpy_helper.from_array(np.array(True)))
CLASSES = (*OPPOSITE, node("Softmax", ["both"], "y", axis=1))
FREE = value("x", "b", 3, "h", "w")

REFUSED: dict[str, tuple[Build, tuple[str, ...], int, str]] = {
    "BatchNormalization in training": (behind(TRAINED_BN, constants=BN), (), 1, "in training mode: BatchNormalization"),
    "the same, long ago": (behind(OLD_BN, constants=BN, opset=11), (), 1, "Call model.eval() and export it again"),
    "Dropout in training": (
        behind(ON, node("Dropout", ["logits", "ratio", "on"], "y"), constants=RATIO), (), 1,
        "in training mode: Dropout",
    ),
    "statistics of the batch": (
        behind(node("ReduceMean", ["logits"], "m", axes=[0, 2, 3]), node("Sub", ["logits", "m"], "y")), (), 1,
        "images of one batch change each other's masks",
    ),
    "chance": (
        behind(node("RandomNormalLike", ["logits"], "n"), node("Add", ["logits", "n"], "y")), (), 1, "random numbers",
    ),
    "labels": (
        behind(*OPPOSITE, node("ArgMax", ["both"], "y", axis=1, keepdims=0),
               given=value("y", "b", SIDE, SIDE, kind=TensorProto.INT64)),
        (), 1, "holds labels or a finished mask (int64); expected logits or probabilities for each "
        "pixel. Use the tensor that it is made from: --output both.",
    ),
    "a mask as floats": (
        behind(node("Sigmoid", ["logits"], "p"), node("Greater", ["p", "ratio"], "g"),
               node("Cast", ["g"], "y", to=TensorProto.FLOAT), constants=RATIO),
        (), 1, "Use the tensor that it is made from: --output p.",
    ),
    "a mask of what is called logits": (
        behind(node("Greater", ["logits", "ratio"], "g"), node("Cast", ["g"], "y", to=TensorProto.FLOAT),
               constants=RATIO),
        ("--output", "logits"), 1, "made from: --output logits --output logits.",
    ),
    "not a number": (behind(node("Log", ["logits"], "y")), (), 1, "is NaN or infinite"),
    "two classes": (behind(*CLASSES, given=TWO), (), 1, "Use --lesion-class 1 (0 is usually the background)"),
    "three names": (behind(*CLASSES, given=TWO), ("--classes", "a,b,c"), 2, "has 2 classes, and --classes names 3"),
    "a class that is not there": (behind(*CLASSES, given=TWO), ("--lesion-class", "2"), 2, "Name one from 0 to 1."),
    "a class and names": (
        behind(*CLASSES, given=TWO), ("--lesion-class", "1", "--classes", "a,b"), 2, "expected one name",
    ),
    "labels that do not exclude each other": (
        behind(node("Concat", ["logits", "logits"], "b2", axis=1), node("Sigmoid", ["b2"], "y"), given=TWO),
        ("--classes", "a,b"), 1, "do not add up to 1",
    ),
    "a class of one": (behind(node("Identity", ["logits"], "y")), ("--lesion-class", "0"), 2, "Leave it out."),
    "names twice": (behind(node("Identity", ["logits"], "y")), ("--classes", "a,a"), 2, "empty or repeated name"),
    "logits that are said to be probabilities": (
        behind(node("Identity", ["logits"], "y")), ("--output", "probabilities"), 1, "Use --output logits",
    ),
    "two kinds": (
        behind(node("Identity", ["logits"], "y")), ("--output", "probabilities", "--output", "logits"), 2,
        "expected at most one output's name",
    ),
    "two outputs of a size": (
        behind(node("Neg", ["logits"], "y"), given=[value("logits", "b", 1, SIDE, SIDE), ONE]), (), 1,
        "has 2 outputs: logits (1, 1, 64, 64), y (1, 1, 64, 64); expected one, or one of the image's size. Name the "
        "one that holds the mask with --output NAME.",
    ),
    "an output that is not there": (
        behind(node("Neg", ["logits"], "y")), ("--output", "out"), 1, "no output or inner tensor 'out'",
    ),
    "a class for the whole image": (
        behind(node("GlobalAveragePool", ["logits"], "y"), given=value("y", "b", 1, 1, 1)), (), 1, "is (1, 1, 1, 1)",
    ),
    "planes laid flat": (
        behind(node("Neg", ["logits"], "n"), node("Flatten", ["n"], "y"), given=value("y", "b", SIDE * SIDE)), (), 1,
        "Use the tensor before it is flattened: --output n.",
    ),
    "two inputs": (
        before([value("x", "b", 3, SIDE, SIDE), value("k", 1)], node("Add", ["x", "k"], "s"), node("Neg", ["s"], "z")),
        (), 1, "has 2 inputs ('x' float32 (?, 3, 64, 64); 'k' float32 (1)); expected one, for images",
    ),
    "four channels": (before(value("x", "b", 4, SIDE, SIDE)), (), 1, "is (?, 4, 64, 64); expected 3 channels"),
    "a rectangle": (before(value("x", "b", 3, SIDE, 96)), (), 1, "is 64 x 96 (height x width); only square inputs"),
    "whole numbers": (
        before(value("in", "b", 3, SIDE, SIDE, kind=TensorProto.INT32),
               node("Cast", ["in"], "x", to=TensorProto.FLOAT)),
        (), 1, "is of type int32; expected one of float32, float16, float64, uint8",
    ),
    "no batch": (
        before(value("in", 3, SIDE, SIDE), node("Unsqueeze", ["in", "ax"], "x"), constants={"ax": np.array([0])}),
        (), 1, "is (3, 64, 64); expected four axes",
    ),
    "another size": (before(value("x", "b", 3, SIDE, SIDE)), ("--size", "96"), 1, "Leave out --size or use --size 64."),
    "no size": (before(FREE), (), 2, "Add --size S"),
    "an operator of somebody's": (custom, (), 1, "operators that are not ONNX's own (acme:Sharpen)"),
    "an operator set of the future": (
        behind(node("Neg", ["logits"], "y"), opset=99), (), 1, "opset 99 is newer than it knows",
    ),
    "weights that are missing": (without_weights, (), 1, "and weights.bin is missing beside it"),
    "nothing": (content(b""), (), 1, "net.onnx is empty"),
    "a checkpoint": (content(b"PK\x03\x04\0\0"), (), 1, "`seg-export onnx` takes checkpoints"),
    "a Keras file": (content(b"\x89HDF\r\n\x1a\n"), (), 1, "export it with tf2onnx"),
    "a pointer": (content(b"version https://git-lfs.github.com/spec/v1\n"), (), 1, "git lfs pull"),
    "a text": (content(b"hello, this is some text"), (), 1, "cannot be read as ONNX"),
}  # fmt: skip


def adopt(path: Path, *options: str) -> Result:
    return CliRunner().invoke(main, ["adopt", str(path), *options, "--out", str(path.with_name("m.onnx"))])


@pytest.mark.parametrize("name", REFUSED)
def test_it_says_what_came_and_what_to_do(tmp_path: Path, name: str) -> None:
    build, options, code, message = REFUSED[name]
    build(tmp_path / "net.onnx")
    result = adopt(tmp_path / "net.onnx", "--mean", "imagenet", *options)
    assert isinstance(result.exception, SystemExit), result.output
    assert result.exit_code == code
    assert message in result.stderr
    assert result.stdout == ""
    assert not [path.name for path in tmp_path.iterdir() if path.name not in ("net.onnx", "weights.bin")]


def test_how_pixels_are_normalised_has_to_be_said(tmp_path: Path) -> None:
    result = adopt(write(tmp_path / "net.onnx", [dark()]))
    assert result.exit_code == 2
    for preset in ("imagenet", "0-1", "0-255", "-1..1", "caffe-bgr"):
        assert f"--mean {preset} " in result.stderr


@pytest.mark.parametrize("options", [("--mean", "imagenet"), ("--input-range", "0-255"), ("--mean", "0", "--std", "1")])
def test_pixels_are_not_normalised(tmp_path: Path, options: tuple[str, ...]) -> None:
    taken = value("in", "b", 3, SIDE, SIDE, kind=TensorProto.UINT8)
    source = write(tmp_path / "net.onnx", [node("Cast", ["in"], "x", to=TensorProto.FLOAT), dark()], taken)
    result = adopt(source, *options)
    assert result.exit_code == 2
    assert "takes pixels 0-255 (its input 'in' is uint8)" in result.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--mean", "imagenet"), "expected one number for --mean"),
        (("--mean", "0-1", "--channels", "bgr"), "which have no channel order"),
    ],
)
def test_grey_has_one_mean_and_no_order(tmp_path: Path, options: tuple[str, ...], message: str) -> None:
    taken = value("in", "b", 1, SIDE, SIDE)
    source = write(tmp_path / "net.onnx", [node("Concat", ["in", "in", "in"], "x", axis=1), dark()], taken)
    result = adopt(source, *options)
    assert result.exit_code == 2
    assert message in result.stderr

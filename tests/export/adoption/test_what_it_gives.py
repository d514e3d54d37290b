"""Foreign networks that give their masks in other ways: each one's masks are those that numpy works out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from onnx import NodeProto, TensorProto, ValueInfoProto, helper
from PIL import Image

from export.cli import main
from export.contract import read_contract
from export.runtime.opening import open_model
from seglab.images.reader import read_image
from tests.support import foreign
from tests.support.foreign import SIDE, Array, dark, dice, fitted, full_mask, logits, normalised, sigmoid, value, write

QUARTER = SIDE // 4


@dataclass(frozen=True)
class Case:
    """Nodes behind the network, what it gives, the options, and what numpy makes of its logits ``(S, S)``."""

    nodes: list[NodeProto]
    given: ValueInfoProto | list[ValueInfoProto]
    expected: Callable[[Array], Array] = sigmoid
    constants: dict[str, Array] = field(default_factory=dict)
    options: tuple[str, ...] = ()
    remark: str = ""


def node(kind: str, inputs: list[str], output: str, **settings: object) -> NodeProto:
    return helper.make_node(kind, inputs, [output], **settings)  # type: ignore[arg-type]


def enlarged(plane: Array) -> Array:
    picture = Image.fromarray(plane.astype(np.float32)).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    return np.asarray(picture)


def pooled(plane: Array, times: int = 4) -> Array:
    side = SIDE // times
    return np.asarray(plane.reshape(side, times, side, times).mean(axis=(1, 3)))


ONE = value("y", "b", 1, SIDE, SIDE)
ACTIVATED = node("Sigmoid", ["logits"], "prob1")
BYTE = {"byte": np.array(255, np.float32)}
OPPOSITE = [node("Neg", ["logits"], "skin"), node("Concat", ["skin", "logits"], "both", axis=1)]
POOL = node("AveragePool", ["logits"], "small", kernel_shape=[4, 4], strides=[4, 4])
THIRDS = [*OPPOSITE, node("Concat", ["both", "skin"], "three", axis=1)]
NAMED_LOGITS = value("logits", "b", 1, SIDE, SIDE)
POOLED = [node("GlobalAveragePool", ["logits"], "whole")]

CASES = {
    "a sigmoid": Case([node("Sigmoid", ["logits"], "y")], ONE, remark="taken as probabilities"),
    "a sigmoid with something behind it": Case([ACTIVATED, node("Identity", ["prob1"], "y")], ONE),
    "a sigmoid, cut off": Case(
        [ACTIVATED, node("Clip", ["prob1", "low", "high"], "y")], ONE,
        constants={"low": np.array(1e-6, np.float32), "high": np.array(1 - 1e-6, np.float32)},
    ),
    "a tanh": Case(
        [node("Tanh", ["logits"], "y")], ONE, lambda plane: sigmoid(np.tanh(plane)), remark="If it ends in a tanh"
    ),
    "times 255": Case(
        [ACTIVATED, node("Mul", ["prob1", "byte"], "y")], ONE, constants=BYTE, remark="divided by 255"
    ),
    "bytes": Case(
        [ACTIVATED, node("Mul", ["prob1", "byte"], "bytes"), node("Cast", ["bytes"], "y", to=TensorProto.UINT8)],
        value("y", "b", 1, SIDE, SIDE, kind=TensorProto.UINT8),
        lambda plane: np.floor(sigmoid(plane) * 255) / 255, BYTE, remark="divided by 255",
    ),
    "without classes": Case(
        [node("Squeeze", ["logits", "one"], "y")], value("y", "b", SIDE, SIDE), constants={"one": np.array([1])}
    ),
    "channels last": Case(
        [ACTIVATED, node("Transpose", ["prob1"], "y", perm=[0, 2, 3, 1])], value("y", "b", SIDE, SIDE, 1)
    ),
    "a quarter of the size": Case(
        [node("Identity", ["small"], "y")], value("y", "b", 1, QUARTER, QUARTER),
        lambda plane: sigmoid(enlarged(pooled(plane))), remark="resized to 64 x 64",
    ),
    "a quarter of the size, free axes": Case(
        [node("Identity", ["small"], "y")], value("y", "b", 1, "h", "w"), lambda plane: sigmoid(enlarged(pooled(plane)))
    ),
    "a quarter of the size, probabilities": Case(
        [node("Sigmoid", ["small"], "y")], value("y", "b", 1, QUARTER, QUARTER),
        lambda plane: enlarged(sigmoid(pooled(plane))),
    ),
    "no whole part of the size": Case(
        [node("Resize", ["logits", "", "", "odd"], "y", mode="linear")], value("y", "b", 1, 51, 51),
        lambda plane: sigmoid(enlarged(smaller(plane, 51))), {"odd": np.array([1, 1, 51, 51])},
    ),
    "double": Case(
        [node("Cast", ["logits"], "y", to=TensorProto.DOUBLE)],
        value("y", "b", 1, SIDE, SIDE, kind=TensorProto.DOUBLE),
    ),
    "fp16": Case(
        [node("Cast", ["logits"], "y", to=TensorProto.FLOAT16)],
        value("y", "b", 1, SIDE, SIDE, kind=TensorProto.FLOAT16),
    ),
    "two classes, softmax": Case(
        [*OPPOSITE, node("Softmax", ["both"], "y", axis=1)], value("y", "b", 2, SIDE, SIDE),
        lambda plane: sigmoid(2 * plane), options=("--lesion-class", "1"), remark="taken as probabilities",
    ),
    "two classes, logits": Case(
        [*OPPOSITE, node("Identity", ["both"], "y")], value("y", "b", 2, SIDE, SIDE),
        lambda plane: sigmoid(2 * plane), options=("--lesion-class", "1"), remark="softmax over 2 classes",
    ),
    "two classes, channels last": Case(
        [*OPPOSITE, node("Transpose", ["both"], "t", perm=[0, 2, 3, 1]), node("Softmax", ["t"], "y", axis=-1)],
        value("y", "b", SIDE, SIDE, 2), lambda plane: sigmoid(2 * plane), options=("--lesion-class", "1"),
    ),
    "three labels that do not exclude each other": Case(
        [*THIRDS, node("Sigmoid", ["three"], "y")], value("y", "b", 3, SIDE, SIDE), options=("--lesion-class", "1")
    ),
    "a softmax of which one class was taken": Case(
        [*OPPOSITE, node("Softmax", ["both"], "s", axis=1), node("Gather", ["s", "lesion"], "y", axis=1)], ONE,
        lambda plane: sigmoid(2 * plane), {"lesion": np.array([1])},
    ),
    "a second output": Case(
        POOLED, [NAMED_LOGITS, value("whole", "b", 1, 1, 1)], remark="Taking output 'logits', the only one"
    ),
    "an auxiliary head": Case(
        [node("Neg", ["logits"], "aux")], [value("aux", "b", 1, SIDE, SIDE), NAMED_LOGITS],
        options=("--output", "logits"),
    ),
    "a tensor inside": Case(
        [node("Greater", ["logits", "zero"], "y")], value("y", "b", 1, SIDE, SIDE, kind=TensorProto.BOOL),
        constants={"zero": np.array(0, np.float32)}, options=("--output", "logits"),
    ),
    "logits that lie between 0 and 1": Case(
        [node("Sigmoid", ["logits"], "s"), node("Sub", ["s", "half"], "c"), node("Max", ["c", "zero"], "y")], ONE,
        lambda plane: sigmoid(np.maximum(sigmoid(plane) - 0.5, 0)),
        {"half": np.array(0.5, np.float32), "zero": np.array(0, np.float32)},
        ("--output", "logits", "--threshold", "0.52"), "as --output says",
    ),
}  # fmt: skip


def smaller(plane: Array, side: int) -> Array:
    """Return a plane resized bilinearly without antialiasing, at half-pixel centres."""
    at = np.clip((np.arange(side) + 0.5) * SIDE / side - 0.5, 0, SIDE - 1)
    low, part = np.floor(at).astype(int), at % 1
    high = np.minimum(low + 1, SIDE - 1)
    rows = plane[low] * (1 - part)[:, None] + plane[high] * part[:, None]
    return np.asarray(rows[:, low] * (1 - part) + rows[:, high] * part)


@pytest.mark.parametrize("name", CASES)
def test_its_masks_are_what_numpy_works_out(tmp_path: Path, name: str) -> None:
    case, pictures = CASES[name], foreign.photographs(tmp_path / "photos")
    source = write(tmp_path / "net.onnx", [dark(), POOL, *case.nodes], given=case.given, constants=case.constants)
    out = tmp_path / "m.onnx"
    words = ["adopt", str(source), "--mean", "imagenet", *case.options, "--out", str(out), "--parity", str(pictures)]
    result = CliRunner().invoke(main, [*words, "--parity-images", "1"])
    assert result.exit_code == 0, result.output
    assert case.remark in result.stderr
    contract = read_contract(out)
    assert contract.classes == 1
    model = open_model(out, "cpu")
    for path in sorted((pictures / "images").iterdir()):
        image = read_image(path)
        expected = case.expected(logits(normalised(fitted(image))))
        assert dice(model.mask(image[None])[0], full_mask(expected, image, contract.threshold)) >= 0.999
    words = ["check", str(out), str(source), "--images", str(pictures), "--device", "cpu", "--parity-images", "1"]
    again = CliRunner().invoke(main, words)
    assert again.exit_code == 0, again.output

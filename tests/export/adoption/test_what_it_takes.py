"""Foreign networks that take their images in other ways: each one's masks are those that numpy works out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from onnx import NodeProto, TensorProto, helper

from export.cli import main
from export.contract import read_contract
from export.runtime.opening import open_model
from seglab.images.reader import read_image
from tests.support import foreign
from tests.support.foreign import SIDE, Array, dark, dice, fitted, full_mask, logits, normalised, sigmoid, value, write

MEAN, STD = (np.reshape(np.array(values, np.float32), (1, 3, 1, 1)) for values in foreign.IMAGENET)
UNEVEN = (-0.9, -0.2, -0.1)
"""Weights of red, green and blue that tell them apart."""
UNEVEN_WEIGHTS = {"dark_weight": np.reshape(np.array(UNEVEN, np.float32), (1, 3, 1, 1))}
TAKEN = ("x", "b", 3, SIDE, SIDE)


@dataclass(frozen=True)
class Case:
    """Nodes before the network, its input, the options, and what numpy makes of an image's planes ``(3, S, S)``."""

    nodes: list[NodeProto]
    taken: tuple[str | int | None, ...]
    kind: int
    options: tuple[str, ...]
    expected: Callable[[Array], Array]
    constants: dict[str, Array] = field(default_factory=dict)
    remark: str = ""


def node(kind: str, inputs: list[str], output: str, **settings: object) -> NodeProto:
    return helper.make_node(kind, inputs, [output], **settings)  # type: ignore[arg-type]


def usual(planes: Array) -> Array:
    return logits(normalised(planes))


SCALED = [
    node("Cast", ["pixels"], "floats", to=TensorProto.FLOAT),
    node("Div", ["floats", "byte"], "scaled"),
    node("Sub", ["scaled", "mean"], "centred"),
    node("Div", ["centred", "std"], "x"),
]
SCALES = {"byte": np.array(255, np.float32), "mean": MEAN, "std": STD}
TO_FLOAT = [node("Cast", ["in"], "x", to=TensorProto.FLOAT)]
CHANNELS_FIRST = [node("Transpose", ["in"], "x", perm=[0, 3, 1, 2])]
THREE_TIMES = [node("Concat", ["in", "in", "in"], "x", axis=1)]
LUMA = (0.299, 0.587, 0.114)


def luma(planes: Array) -> Array:
    return np.stack([np.tensordot(np.array(LUMA), planes, axes=1)] * 3)


CASES = {
    "normalised floats": Case([], TAKEN, TensorProto.FLOAT, ("--mean", "imagenet"), usual, remark="(imagenet)"),
    "double": Case(TO_FLOAT, ("in", *TAKEN[1:]), TensorProto.DOUBLE, ("--mean", "imagenet"), usual),
    "fp16": Case(TO_FLOAT, ("in", *TAKEN[1:]), TensorProto.FLOAT16, ("--mean", "imagenet"), usual),
    "channels last": Case(CHANNELS_FIRST, ("in", "b", SIDE, SIDE, 3), TensorProto.FLOAT, ("--mean", "imagenet"), usual),
    "free axes": Case([], ("x", "b", 3, "h", "w"), TensorProto.FLOAT, ("--mean", "imagenet", "--size", "64"), usual),
    "all axes free, channels last": Case(
        CHANNELS_FIRST, ("in", None, None, None, None), TensorProto.FLOAT, ("--mean", "imagenet", "--size", "64"), usual
    ),
    "batch of one": Case([], ("x", 1, 3, SIDE, SIDE), TensorProto.FLOAT, ("--mean", "imagenet"), usual),
    "pixels": Case(
        SCALED, ("pixels", *TAKEN[1:]), TensorProto.UINT8, (), lambda planes: usual(np.round(planes)), SCALES,
        "fed pixels 0-255, not normalised",
    ),
    "pixels, channels last, blue first": Case(
        [node("Transpose", ["in"], "pixels", perm=[0, 3, 1, 2]), *SCALED],
        ("in", "b", SIDE, SIDE, 3), TensorProto.UINT8, ("--channels", "bgr"),
        lambda planes: logits(normalised(np.round(planes[::-1])), UNEVEN),
        {**SCALES, **UNEVEN_WEIGHTS}, "BGR",
    ),
    "floats 0-255": Case(
        SCALED, ("pixels", *TAKEN[1:]), TensorProto.FLOAT, ("--input-range", "0-255"), usual, SCALES, "(0-255)"
    ),
    "numbers on 0-255": Case(
        [], TAKEN, TensorProto.FLOAT,
        ("--mean", "123.675,116.28,103.53", "--std", "58.395,57.12,57.375", "--input-range", "0-255"), usual,
    ),
    "blue first": Case(
        [], TAKEN, TensorProto.FLOAT, ("--mean", "imagenet", "--channels", "bgr"),
        lambda planes: logits(normalised(planes)[::-1], UNEVEN), UNEVEN_WEIGHTS,
    ),
    "Caffe's": Case(
        [node("Div", ["in", "fifty"], "x")], ("in", *TAKEN[1:]), TensorProto.FLOAT, ("--mean", "caffe-bgr"),
        lambda planes: logits((planes[::-1] - np.reshape([103.939, 116.779, 123.68], (3, 1, 1))) / 50, UNEVEN),
        {**UNEVEN_WEIGHTS, "fifty": np.array(50, np.float32)}, "BGR",
    ),
    "grey": Case(
        THREE_TIMES, ("in", "b", 1, SIDE, SIDE), TensorProto.FLOAT, ("--mean", "0.5", "--std", "0.25"),
        lambda planes: logits((luma(planes) / 255 - 0.5) / 0.25), remark="grey, by luma",
    ),
    "grey pixels, channels last": Case(
        [
            node("Cast", ["in"], "floats", to=TensorProto.FLOAT),
            node("Sub", ["floats", "middle"], "centred"),
            node("Div", ["centred", "width"], "scaled"),
            node("Transpose", ["scaled"], "plane", perm=[0, 3, 1, 2]),
            node("Concat", ["plane", "plane", "plane"], "x", axis=1),
        ],
        ("in", "b", SIDE, SIDE, 1), TensorProto.UINT8, (),
        lambda planes: logits((np.round(luma(np.round(planes))) - 128) / 64),
        {"middle": np.array(128, np.float32), "width": np.array(64, np.float32)},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_its_masks_are_what_numpy_works_out(tmp_path: Path, name: str) -> None:
    case, pictures = CASES[name], foreign.photographs(tmp_path / "photos")
    taken = value(*case.taken, kind=case.kind)  # type: ignore[arg-type]
    batch, free = case.taken[1], None if case.taken[2] in ("h", None) else SIDE
    given = value("logits", batch, 1, free, free)
    source = write(tmp_path / "net.onnx", [*case.nodes, dark()], taken, given, case.constants)
    words = ["adopt", str(source), *case.options, "--out", str(tmp_path / "m.onnx"), "--parity", str(pictures)]
    result = CliRunner().invoke(main, [*words, "--parity-images", "1"])
    assert result.exit_code == 0, result.output
    assert case.remark in result.stderr
    assert read_contract(tmp_path / "m.onnx").size == SIDE
    model = open_model(tmp_path / "m.onnx", "cpu")
    for path in sorted((pictures / "images").iterdir()):
        image = read_image(path)
        expected = full_mask(sigmoid(case.expected(fitted(image))), image)
        assert dice(model.mask(image[None])[0], expected) >= 0.999

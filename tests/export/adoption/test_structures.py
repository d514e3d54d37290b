"""Foreign graphs of other build: subgraphs, functions, old and new operator sets, names like ours."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner, Result
from onnx import NodeProto, TensorProto, helper

from export.cli import main
from export.contract import read_contract
from export.runtime.opening import open_model
from seglab.images.reader import read_image
from tests.support import foreign
from tests.support.foreign import SIDE, dark, dice, fitted, full_mask, logits, normalised, sigmoid, value, write

ONE = value("y", "b", 1, SIDE, SIDE)
HALVED = helper.make_node("AveragePool", ["logits"], ["s"], kernel_shape=[2, 2], strides=[2, 2])
DOUBLED = {"doubled": np.array([1, 1, 2, 2], np.float32)}


def node(kind: str, inputs: list[str], output: str, **settings: object) -> NodeProto:
    return helper.make_node(kind, inputs, [output], **settings)  # type: ignore[arg-type]


def branches(source: str, channels: int) -> dict[str, onnx.GraphProto]:
    """Return the branches of an If that read a tensor from outside: its negative, and itself."""
    shape = (1, channels, SIDE, SIDE)
    return {
        "then_branch": helper.make_graph([node("Neg", [source], "t")], "then", [], [value("t", *shape)]),
        "else_branch": helper.make_graph([node("Identity", [source], "e")], "else", [], [value("e", *shape)]),
    }


def choosing(path: Path) -> Path:
    """A subgraph reads the network's input, another its result."""
    first, last = branches("x", 3), branches("logits", 1)
    nodes = [node("If", ["no"], "xx", **first), dark("xx"), node("If", ["no"], "y", **last)]
    return write(path, nodes, given=ONE, constants={"no": np.array(False)}, opset=13)


def with_function(path: Path) -> Path:
    sets = [helper.make_opsetid("", 17), helper.make_opsetid("local", 1)]
    function = helper.make_function("local", "End", ["a"], ["b"], [node("Sigmoid", ["a"], "b")], sets[:1])
    call = node("End", ["logits"], "y", domain="local")
    return write(path, [dark(), call], given=ONE, functions=[function], opset_imports=sets)


def named_like_ours(path: Path) -> Path:
    names = ["image", "resized", "prob"]
    nodes = [node("Identity", [before], after) for before, after in itertools.pairwise(names)]
    nodes += [
        dark("prob", "mask"),
        node("Identity", ["mask"], "network.x"),
        node("Identity", ["network.x"], "adapted_1"),
    ]
    given = value("adapted_1", "b", 1, SIDE, SIDE)
    return write(path, nodes, value("image", "b", 3, SIDE, SIDE), given)


def weights_elsewhere(path: Path) -> Path:
    write(path, [dark()])
    onnx.save(onnx.load(path), path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    return path


def weights_among_the_inputs(path: Path) -> Path:
    taken = [value("x", 1, 3, SIDE, SIDE), value("dark_weight", 1, 3, 1, 1), value("dark_bias", 1)]
    return write(path, [dark()], taken, opset=9, ir_version=3)


BUILDS: dict[str, Callable[[Path], Path]] = {
    "subgraphs": choosing,
    "functions": with_function,
    "nodes in disorder": lambda path: write(path, [node("Sigmoid", ["logits"], "y"), dark()], given=ONE),
    "names like ours": named_like_ours,
    "weights elsewhere": weights_elsewhere,
    "weights among the inputs": weights_among_the_inputs,
    "an input that nothing reads": lambda path: write(
        path, [dark()], [value("x", "b", 3, SIDE, SIDE), value("training", kind=TensorProto.BOOL)]
    ),
    "an output that is read inside": lambda path: write(
        path, [dark(), node("Neg", ["logits"], "whole")], given=[value("logits", "b", 1, SIDE, SIDE)]
    ),
    "Dropout that is off": lambda path: write(
        path, [dark(), node("Dropout", ["logits", "ratio", "off"], "y")], given=ONE,
        constants={"ratio": np.array(0.5, np.float32), "off": np.array(False)},
    ),
    "opset 7": lambda path: write(path, [dark(), node("Sigmoid", ["logits"], "y")], given=ONE, opset=7),
    "opset 21": lambda path: write(path, [dark(), node("Sigmoid", ["logits"], "y")], given=ONE, opset=21),
    "opset 24": lambda path: write(
        path, [dark(), node("Sigmoid", ["logits"], "y")], given=ONE, opset=24, ir_version=11
    ),
    "onnxruntime's own operators": lambda path: write(
        path,
        [node("FusedConv", ["x", "dark_weight", "dark_bias"], "y", domain="com.microsoft", activation="Sigmoid")],
        given=ONE,
        opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)],
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return foreign.photographs(tmp_path_factory.mktemp("photos"))


def adopt(source: Path, pictures: Path, *options: str) -> Result:
    words = ["adopt", str(source), "--mean", "imagenet", *options, "--parity", str(pictures)]
    return CliRunner().invoke(main, [*words, "--parity-images", "1", "--out", str(source.with_name("m.onnx"))])


@pytest.mark.parametrize("build", BUILDS)
def test_its_masks_are_what_numpy_works_out(tmp_path: Path, pictures: Path, build: str) -> None:
    result = adopt(BUILDS[build](tmp_path / "net.onnx"), pictures)
    assert result.exit_code == 0, result.output
    image = read_image(min((pictures / "images").iterdir()))
    model = open_model(tmp_path / "m.onnx", "cpu")
    expected = full_mask(sigmoid(logits(normalised(fitted(image)))), image)
    assert dice(model.mask(image[None])[0], expected) >= 0.999


@pytest.mark.parametrize(
    ("opset", "resize", "constants"),
    [
        (7, node("Upsample", ["s"], "y", mode="nearest", scales=[1.0, 1.0, 2.0, 2.0]), {}),
        (9, node("Upsample", ["s", "doubled"], "y", mode="linear"), DOUBLED),
        (10, node("Resize", ["s", "doubled"], "y", mode="linear"), DOUBLED),
        (11, node("Resize", ["s", "roi", "doubled"], "y", mode="linear"), {**DOUBLED, "roi": np.zeros(0, np.float32)}),
    ],
)
def test_old_resizes_keep_their_coordinates(
    tmp_path: Path, pictures: Path, opset: int, resize: NodeProto, constants: dict[str, foreign.Array]
) -> None:
    """The gate, which runs the untouched file, fails where the conversion to a newer operator set moves pixels."""
    source = write(tmp_path / "net.onnx", [dark(), HALVED, resize], given=ONE, constants=constants, opset=opset)
    result = adopt(source, pictures)
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize("axes", [None, [0], [0, 1]])
def test_a_batch_axis_of_one_may_be_squeezed_away(tmp_path: Path, pictures: Path, axes: list[int] | None) -> None:
    constants = {} if axes is None else {"axes": np.array(axes)}
    squeeze = node("Squeeze", ["logits", *constants], "y")
    given = value("y", 1, SIDE, SIDE) if axes == [0] else value("y", SIDE, SIDE)
    source = write(tmp_path / "net.onnx", [dark(), squeeze], value("x", 1, 3, SIDE, SIDE), given, constants)
    result = adopt(source, pictures)
    assert result.exit_code == 0, result.output
    image = read_image(min((pictures / "images").iterdir()))
    expected = full_mask(sigmoid(logits(normalised(fitted(image)))), image)
    assert dice(open_model(tmp_path / "m.onnx", "cpu").mask(image[None])[0], expected) >= 0.999


def test_a_newer_operator_set_is_said(tmp_path: Path, pictures: Path) -> None:
    source = write(tmp_path / "net.onnx", [dark()], opset=20, ir_version=9)
    assert adopt(source, pictures).exit_code == 0
    assert read_contract(tmp_path / "m.onnx").opset == 20
    assert {entry.domain: entry.version for entry in onnx.load(tmp_path / "m.onnx").opset_import} == {"": 20}

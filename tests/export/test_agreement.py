"""Contract and graph of a file: what was changed in one of them is noticed when the file is opened."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import helper, numpy_helper

from benchmarks.support.places import INT8_MODEL
from export.cli import main
from export.contract import read_contract
from export.contract.onnx_file import parse
from export.conversion.build import contract_for, segmenter
from export.errors import ContractError
from export.graph.stages import Member, Stages, fuse
from export.graph.writing import write_model
from export.runtime.bundled import bundled_model
from tests.support.artefact import colour_model, tiny_checkpoint, tiny_model

PLAIN = """<ir_version: 10, opset_import: ["" : 18]>
g (float[N, 3, 64, 64] x) => (float[N, 3, 64, 64] y) { y = Neg (x) }"""


def restated(path: Path, **fields: object) -> Path:
    """Change what a file's contract says, and nothing else."""
    model = onnx.load(path)
    entries = {entry.key: entry.value for entry in model.metadata_props}
    helper.set_model_props(model, entries | {f"seglab.{name}": json.dumps(value) for name, value in fields.items()})
    onnx.save(model, path)
    return path


def without_digest(path: Path) -> Path:
    """Make it a file of format 2, which had none."""
    return restated(path, graph_sha256="", format_version=2)


def refused(path: Path, message: str) -> None:
    with pytest.raises(ContractError, match=message) as raised:
        read_contract(path)
    assert str(path) in str(raised.value)
    assert "seg-export onnx" in str(raised.value)
    assert "Traceback" not in str(raised.value)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("threshold", 0.2, r"threshold is 0.2 in its contract and 0.5 in its graph; expected the same"),
        ("size", 256, r"prob is \[1, 256, 256\] in its contract and \[1, 64, 64\] in its graph"),
        ("mean", [123.675, 116.28, 103.53], r"mean is .* expected three numbers for pixels on the scale 0-1"),
        ("mean", [0.5, 0.456, 0.406], r"mean is \[0.5, 0.456, 0.406\] in its contract and \[0.485, 0.456, 0.406\] in"),
        ("std", [0.229, 0.224, 0.23], r"std is \[0.229, 0.224, 0.23\] in its contract and \[0.229, 0.224, 0.225\] in"),
        ("precision", "int8", "precision is int8 in its contract and fp32 in its graph"),
        ("precision", "fp16", "precision is fp16 in its contract and fp32 in its graph"),
        ("tta", "flips", "tta is flips in its contract and none in its graph"),
        ("tta", "symmetries", "tta is symmetries in its contract and none in its graph"),
        ("hair_removal", True, "hair_removal is True in its contract and False in its graph"),
        ("channels", "bgr", "channels is bgr in its contract and rgb in its graph"),
        ("output", "probabilities", "output is probabilities in its contract and logits in its graph"),
        ("lesion_class", 1, "lesion_class is 1 in its contract and None in its graph"),
        ("opset", 19, "opset is 19 in its contract and 18 in its graph"),
        ("class_names", ["skin", "lesion"], r"prob is \[2, 64, 64\] in its contract and \[1, 64, 64\] in its graph"),
        ("graph_sha256", "0" * 64, "graph_sha256 is 0000.* in its contract"),
        ("graph_sha256", "", "graph_sha256 is missing in its contract"),
    ],
)
def test_a_contract_that_says_something_else_is_refused(
    tmp_path: Path, field: str, value: object, message: str
) -> None:
    refused(restated(tiny_model(tmp_path / "m.onnx"), **{field: value}), message)


def constant(model: onnx.ModelProto, name: str) -> onnx.TensorProto:
    found: onnx.TensorProto = next(entry for entry in model.graph.initializer if entry.name == name)
    return found


def changed(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Callable[[onnx.ModelProto], None]:
    def apply(model: onnx.ModelProto) -> None:
        entry = constant(model, name)
        entry.CopyFrom(numpy_helper.from_array(change(numpy_helper.to_array(entry)), name))

    return apply


def compared_otherwise(model: onnx.ModelProto) -> None:
    next(node for node in model.graph.node if node.op_type == "GreaterOrEqual").op_type = "Greater"


def passed_by(model: onnx.ModelProto) -> None:
    """The normalisation is there, and nobody reads it."""
    scaled = next(node for node in model.graph.node if node.name == "normalised")
    scaled.op_type = "Identity"
    del scaled.input[1]


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (changed("threshold", lambda value: value * np.float32(0.4)), "threshold is 0.5 in its contract and 0.2 in"),
        (changed("planes_shape", lambda value: value * 2), "size is 64 in its contract and .128, 128. in its graph"),
        (changed("scale", lambda value: value / np.float32(1.02)), "std is .* in its contract and .0.23358"),
        (changed("offset", lambda value: value / np.float32(255)), "mean is .0.485, .* and .0.00190196"),
        (compared_otherwise, "threshold is 0.5 in its contract and no comparison"),
        (passed_by, r"std is .* in its contract and .*0.00392"),
    ],
)
def test_a_graph_that_was_changed_is_refused_without_its_digest_too(
    tmp_path: Path, edit: Callable[[onnx.ModelProto], None], message: str
) -> None:
    path = without_digest(tiny_model(tmp_path / "m.onnx"))
    read_contract(path)
    model = onnx.load(path)
    edit(model)
    onnx.save(model, path)
    refused(path, message)


def test_any_change_of_the_graph_is_noticed_by_its_digest(tmp_path: Path) -> None:
    path = tiny_model(tmp_path / "m.onnx")
    model = onnx.load(path)
    entry = constant(model, "network.head.weight")
    entry.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(entry) * np.float32(1.0001), entry.name))
    onnx.save(model, path)
    refused(path, "graph_sha256 is ")


def test_names_of_classes_can_be_changed_for_they_are_not_in_the_graph(tmp_path: Path) -> None:
    path = restated(colour_model(tmp_path / "m.onnx"), class_names=["a", "b", "c"])
    assert read_contract(path).class_names == ("a", "b", "c")


def test_files_of_older_versions_open(tmp_path: Path) -> None:
    assert read_contract(INT8_MODEL).precision == "int8"
    refused(restated(copied(INT8_MODEL, tmp_path), precision="fp32"), "precision is fp32 in its contract and int8 in")


def copied(path: Path, folder: Path) -> Path:
    copy = folder / path.name
    copy.write_bytes(path.read_bytes())
    return copy


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "fp16", "fp16-weights"])
@pytest.mark.parametrize("tta", ["none", "flips", "symmetries"])
def test_what_is_exported_opens_and_says_its_precision(tmp_path: Path, precision: str, tta: str) -> None:
    import dataclasses

    checkpoint = dataclasses.replace(tiny_checkpoint(tmp_path / "c.pt"), tta=tta)
    path = tmp_path / "m.onnx"
    write_model(segmenter([checkpoint], precision), contract_for([checkpoint]), path)
    assert (read_contract(path).precision, read_contract(path).tta) == (precision, tta)


@pytest.mark.parametrize(
    ("output", "channels", "lesion_class"),
    [("logits", "bgr", None), ("probabilities", "rgb", None), ("logits", "rgb", 2), ("probabilities", "bgr", 0)],
)
def test_other_kinds_of_networks_open_as_what_they_are(
    tmp_path: Path, output: str, channels: str, lesion_class: int | None
) -> None:
    import dataclasses

    network = onnx.parser.parse_model(PLAIN)
    classes = 3 if lesion_class is None else 1
    stages = Stages(64, classes=classes, hair="dullrazor")
    model = fuse([Member(network, (0, 0, 0), (1, 1, 1), output, channels, lesion_class)], stages)
    names = ("skin", "a", "b") if classes == 3 else ("lesion",)
    checkpoint = tiny_checkpoint(tmp_path / "c.pt")
    contract = dataclasses.replace(
        contract_for([checkpoint]), mean=(0, 0, 0), std=(1, 1, 1), class_names=names, hair_removal=True,
        output=output, channels=channels, lesion_class=lesion_class,
    )  # fmt: skip
    path = tmp_path / "m.onnx"
    write_model(model, contract, path)
    found = read_contract(path)
    assert (found.output, found.channels, found.lesion_class) == (output, channels, lesion_class)
    refused(restated(path, hair_removal=False), "hair_removal is False in its contract and True in its graph")


def test_the_command_says_it_in_a_sentence(tmp_path: Path) -> None:
    path = restated(tiny_model(tmp_path / "m.onnx"), threshold=0.2)
    result = CliRunner().invoke(main, ["info", str(path)])
    assert result.exit_code == 1
    assert result.stderr.startswith(f"Error: {path} cannot be trusted: threshold is 0.2 in its contract and 0.5 in its")


def test_the_reader_finds_what_onnx_finds() -> None:
    content = INT8_MODEL.read_bytes()
    found, expected = parse(content), onnx.load_from_string(content)
    assert [(node.name, node.operator, node.inputs, node.outputs) for node in found.nodes] == [
        (node.name, node.op_type, tuple(node.input), tuple(node.output)) for node in expected.graph.node
    ]
    assert found.metadata == {entry.key: entry.value for entry in expected.metadata_props}
    for entry in expected.graph.initializer:
        values = found.constant(entry.name)
        assert values is not None
        np.testing.assert_array_equal(values, numpy_helper.to_array(entry))


def test_numbers_are_read_however_a_tensor_holds_them() -> None:
    model = onnx.parser.parse_model(PLAIN)
    for name, kind, values in (("f", 1, [0.5, -2.0]), ("i", 7, [-3, 1 << 40]), ("b", 3, [-1, 7]), ("h", 2, [200])):
        model.graph.initializer.append(helper.make_tensor(name, kind, [len(values)], values))
    found = parse(model.SerializeToString())
    for entry in model.graph.initializer:
        read = found.constant(entry.name)
        assert read is not None
        np.testing.assert_array_equal(read, numpy_helper.to_array(entry))


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_torn_file_is_noticed_wherever_it_ends(tmp_path: Path, share: float) -> None:
    whole = bundled_model().read_bytes()
    path = tmp_path / "m.onnx"
    path.write_bytes(whole[: int(len(whole) * share)])
    refused(path, "cannot be opened as an ONNX model|damaged contract|without a contract|in its graph")

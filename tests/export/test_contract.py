"""The contract in a model file: what goes in comes out, and what is not ours is refused with a way out."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from export.contract import FORMAT_VERSION, Contract, read_contract
from export.errors import ContractError
from export.graph.writing import write_contract
from tests.support.artefact import TINY_SIZE, tiny_model


def a_contract(**changes: object) -> Contract:
    contract = Contract(
        arch="unet",
        encoder="mobilenet_v2",
        size=256,
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
        threshold=0.5,
        opset=18,
        checkpoint_sha256="ab" * 32,
        training={"data": ["isic2018", "isic2017"], "dice": 0.9, "naïve": None},
        parity={
            "passed": True,
            "images": 8,
            "source": "s",
            "device": "cpu",
            "precision": "fp32",
            "whole_on": "cpu",
            "figures": {"whole": {"mean_dice": 1.0, "worst_dice": 0.9}},
        },
        tools={"torch": "2.15.0"},
        licence="CC0-1.0",
    )
    return dataclasses.replace(contract, **changes)  # type: ignore[arg-type]


def bare_model(path: Path, entries: dict[str, str]) -> Path:
    """Write the smallest ONNX model there is, with these metadata entries."""
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    same = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "bare", [value], [same])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    helper.set_model_props(model, entries)
    onnx.save(model, path)
    return path


def test_a_contract_survives_the_way_through_a_file(tmp_path: Path) -> None:
    path = tiny_model(tmp_path / "m.onnx")
    contract = dataclasses.replace(
        read_contract(path), training=a_contract().training, parity=a_contract().parity, licence="CC0-1.0"
    )
    write_contract(path, contract)
    assert read_contract(path) == contract


@pytest.mark.slow
@given(
    size=st.integers(1, 4096),
    mean=st.tuples(*[st.floats(-10, 10)] * 3),
    std=st.tuples(*[st.floats(1e-6, 10)] * 3),
    threshold=st.floats(1e-9, 1 - 1e-9),
    encoder=st.none() | st.text(),
    names=st.lists(st.text(min_size=1).filter(str.strip), min_size=1, unique=True).map(tuple),
)
def test_no_value_changes_on_the_way(
    size: int,
    mean: tuple[float, float, float],
    std: tuple[float, float, float],
    threshold: float,
    encoder: str | None,
    names: tuple[str, ...],
) -> None:
    contract = a_contract(size=size, mean=mean, std=std, threshold=threshold, encoder=encoder, class_names=names)
    assert Contract.from_metadata(contract.to_metadata()) == contract


def test_entries_of_other_writers_and_of_later_versions_are_passed_over() -> None:
    metadata = {**a_contract().to_metadata(), "author": "somebody", "seglab.unheard_of": "1"}
    assert Contract.from_metadata(metadata) == a_contract()


def test_every_entry_is_json_that_any_viewer_shows() -> None:
    metadata = a_contract().to_metadata()
    assert {name: json.loads(value) for name, value in metadata.items()}["seglab.size"] == 256
    assert json.loads(a_contract().to_json())["licence"] == "CC0-1.0"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path, "does not exist"),
        (lambda path: path.mkdir() or path, "is a folder"),
        (lambda path: path.write_text("not a model") and path, "cannot be opened as an ONNX model"),
        (lambda path: path.touch() or path, "cannot be opened as an ONNX model"),
        (
            lambda path: path.write_bytes(b"PK\x03\x04 and weights") and path,
            "looks like a PyTorch checkpoint",
        ),
        (lambda path: bare_model(path, {}), "without a contract"),
        (lambda path: bare_model(path, {"seglab.format_version": "one"}), "contract format 'one'"),
        (
            lambda path: bare_model(path, a_contract(format_version=FORMAT_VERSION + 1).to_metadata()),
            "Install a newer seglab",
        ),
        (lambda path: bare_model(path, {"seglab.format_version": "1"}), "damaged contract"),
        (
            lambda path: bare_model(path, {**a_contract().to_metadata(), "seglab.mean": "[0.5"}),
            "damaged contract",
        ),
    ],
)
def test_what_is_not_our_model_is_refused_with_a_way_out(tmp_path: Path, make: object, message: str) -> None:
    path = make(tmp_path / "m.onnx")  # type: ignore[operator]
    with pytest.raises(ContractError, match=message) as raised:
        read_contract(path)
    assert str(path) in str(raised.value)
    assert "seg-export onnx" in str(raised.value) or "newer seglab" in str(raised.value)


def test_a_torn_model_is_refused(tmp_path: Path) -> None:
    whole = tiny_model(tmp_path / "m.onnx").read_bytes()
    torn = tmp_path / "torn.onnx"
    torn.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ContractError, match="cannot be opened as an ONNX model"):
        read_contract(torn)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("size", 0),
        ("mean", (0.5,)),
        ("std", (0.1, 0.0, 0.1)),
        ("std", (float("inf"), 1.0, 1.0)),
        ("mean", (float("nan"), 0.5, 0.5)),
        ("mean", (123.675, 116.28, 103.53)),
        ("mean", ("0.5", 0.5, 0.5)),
        ("size", 64.0),
        ("size", True),
        ("threshold", 1.0),
        ("threshold", 0.0),
        ("threshold", "0.5"),
        ("class_names", ("lesion", "lesion")),
        ("class_names", ("",)),
        ("class_names", (1, 2)),
        ("arch", None),
        ("precision", "fp8"),
        ("tta", "rotations"),
        ("hair_removal", "yes"),
        ("channels", "grb"),
        ("output", "labels"),
        ("lesion_class", -1),
        ("opset", "18"),
        ("ensemble", ({"arch": "unet"}, {"arch": "unet"})),
        ("quantisation", {"layers": "many"}),
        ("parity", {"passed": "yes"}),
        ("tools", {"torch": 2}),
        ("training", ["isic"]),
        ("graph_sha256", "abc"),
        ("colour_space", "Adobe RGB"),
    ],
)
def test_a_contract_cannot_say_what_no_model_is(name: str, value: object) -> None:
    with pytest.raises(ContractError, match=rf"The contract's {name} is .*; expected .*seg-export onnx"):
        a_contract(**{name: value})


def test_one_class_of_several_is_one_class() -> None:
    with pytest.raises(ContractError, match="lesion class 1 and a mask of 2 classes"):
        a_contract(lesion_class=1, class_names=("skin", "lesion"))


def test_the_contract_of_an_export_tells_what_is_in_the_graph(tmp_path: Path) -> None:
    path = tiny_model(tmp_path / "m.onnx")
    contract = read_contract(path)
    assert (contract.arch, contract.size, contract.precision, contract.licence) == (
        "unet-scratch",
        TINY_SIZE,
        "fp32",
        "MIT",
    )
    assert len(contract.checkpoint_sha256) == 64
    assert contract.tools.keys() >= {"torch", "onnx", "python"}
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    prob, _ = session.run(None, {"image": np.zeros((1, 5, 7, 3), np.uint8)})
    assert prob.shape == (1, 1, contract.size, contract.size)


def test_reading_a_contract_loads_neither_torch_nor_onnx(tmp_path: Path, repo_root: Path) -> None:
    path = tiny_model(tmp_path / "m.onnx")
    code = (
        "import sys; from pathlib import Path; from export.contract import read_contract; "
        "read_contract(Path(sys.argv[1])); print([name for name in ('torch', 'onnx') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], cwd=repo_root, capture_output=True, text=True, check=True
    )
    assert (done.stdout.strip(), done.stderr) == ("[]", "")

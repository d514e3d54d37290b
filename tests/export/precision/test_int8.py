"""int8: really quantised, only the network, proved by the gate, and refused where calibration was wrong."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from onnx import helper, numpy_helper

from export import cli
from export.commands import onnx as onnx_command
from export.contract import read_contract, read_model
from export.conversion import checkpoint as conversion
from export.conversion.checkpoint import convert
from export.errors import ContractError, ParityError
from export.precision import sensitivity
from export.precision.calibration import DEFAULT_IMAGES, Calibration, calibration_set, measure
from export.precision.quantise import LAYERS, calibrate, network_nodes, quantise
from export.precision.rounding import LEVELS, to_grid
from export.precision.sensitivity import Candidate, candidates
from export.proof.gate import CHUNK, check
from export.runtime.opening import open_model
from export.runtime.probes import in_file as file_probes
from export.samples import sample_set
from seglab.errors import DataError
from seglab.evaluation.original import Predictor
from seglab.files import sha256
from tests.support.artefact import TINY_SIZE, blobs, tiny_checkpoint, tiny_model
from tests.support.int8 import needs_exact_int8
from tests.support.planted_faults import opened

pytestmark = pytest.mark.usefixtures("traced_once")

QUANTISERS = ("QuantizeLinear", "DequantizeLinear")


def pictures(count: int, seed: int) -> Calibration:
    rng = np.random.default_rng(seed)
    return Calibration("blobs", np.stack([blobs(rng, TINY_SIZE, TINY_SIZE)[0] for _ in range(count)]))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("int8")


@pytest.fixture(scope="module")
def blob_folder(folder: Path) -> Path:
    import cv2

    root = folder / "blobs"
    for index in range(6):
        image, mask = blobs(np.random.default_rng(index), 120 + 7 * index, 150)
        for name, pixels in (("images", image[..., ::-1]), ("masks", mask)):
            (root / name).mkdir(parents=True, exist_ok=True)
            assert cv2.imwrite(str(root / name / f"p{index}.png"), pixels)
    return root


@pytest.fixture(scope="module")
def float_model(folder: Path) -> onnx.ModelProto:
    return onnx.load(tiny_model(folder / "fp32.onnx"))


@pytest.fixture(scope="module")
def made(folder: Path, blob_folder: Path) -> Path:
    """An int8 model that passed the gate."""
    out = folder / "made" / "m.onnx"
    convert(
        [tiny_checkpoint(folder / "t.pt")], out, sample_set(blob_folder), precision="int8", calibration=pictures(32, 9)
    )
    return out


def upstream(model: onnx.ModelProto, tensor: str) -> set[str]:
    """Names of all nodes that a tensor is computed from."""
    producers = {name: node for node in model.graph.node for name in node.output}
    found, open_tensors = set(), [tensor]
    while open_tensors:
        node = producers.get(open_tensors.pop())
        if node is not None and node.name not in found:
            found.add(node.name)
            open_tensors += node.input
    return found


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli.main, [str(argument) for argument in arguments])


def test_the_network_is_quantised_and_nothing_else(made: Path) -> None:
    model = onnx.load(made)
    nodes = {node.name: node for node in model.graph.node}
    constants = {entry.name: numpy_helper.to_array(entry) for entry in model.graph.initializer}
    producers = {name: node for node in model.graph.node for name in node.output}
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    assert len(convolutions) > 5
    for node in convolutions:
        feeds = [producers[name] for name in node.input[:2]]
        assert [feed.op_type for feed in feeds] == ["DequantizeLinear"] * 2
        weights, scales = (constants[name] for name in feeds[1].input[:2])
        assert weights.dtype == np.int8
        assert scales.shape == (len(weights),)
    before = upstream(model, convolutions[0].input[0]) - upstream(model, convolutions[0].input[1])
    assert [nodes[name].op_type for name in before if nodes[name].op_type in QUANTISERS].count("QuantizeLinear") == 1
    first_resize = next(node for node in model.graph.node if node.op_type == "Resize")
    assert not {nodes[name].op_type for name in upstream(model, first_resize.output[0])} & set(QUANTISERS)
    inside = upstream(model, "prob")
    assert not {node.op_type for node in model.graph.node if node.name not in inside} & set(QUANTISERS)


def test_the_contract_says_so(made: Path, folder: Path) -> None:
    contract = read_contract(made)
    assert contract.precision == "int8"
    assert contract.parity["precision"] == "int8"
    assert contract.quantisation["calibration"] == "blobs"
    assert contract.quantisation["float_layers"] == []
    assert [path.name for path in made.parent.iterdir()] == ["m.onnx"]
    probes = len(read_model(made).metadata[file_probes.KEY])
    assert made.stat().st_size - probes < 0.7 * (tiny_model(folder / "fp32.onnx")).stat().st_size
    info = run("info", made).stdout
    assert re.search("quantised +calibrated on blobs", info)
    assert "0 of 13 layers in fp32" in info


@pytest.mark.parametrize("shape", [(1, TINY_SIZE, TINY_SIZE), (3, 91, 140), (2, 1, 1), (5, 300, 32)])
def test_sizes_and_batches_stay_free(made: Path, shape: tuple[int, int, int]) -> None:
    session = onnxruntime.InferenceSession(str(made), providers=["CPUExecutionProvider"])
    prob, mask = session.run(None, {"image": np.full((*shape, 3), 128, np.uint8)})
    assert prob.shape == (shape[0], 1, TINY_SIZE, TINY_SIZE)
    assert mask.shape == shape


@needs_exact_int8
@pytest.mark.parametrize("device", ["cpu", "openvino"])
def test_every_device_passes_in_int8(made: Path, folder: Path, blob_folder: Path, device: str) -> None:
    model = open_model(made, device, batch=CHUNK)
    assert model.device.precision == "int8"
    report = check(model, Predictor(tiny_checkpoint(folder / "c.pt")), sample_set(blob_folder))
    assert report.passed, report.failures
    assert report.figures["batch"]["max_prob"] > 1e-3  # it is not the float model
    assert [limits.name for limits in report.tolerances()] == ["int8"]


def test_calibration_on_black_images_fails_and_leaves_nothing(
    folder: Path, blob_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its first layers are the ones that lose; without the search, nothing saves it."""

    def first(*arguments: Any) -> Iterator[Candidate]:
        return itertools.islice(candidates(*arguments), 1)

    monkeypatch.setattr(conversion, "candidates", first)
    black = Calibration("black", np.zeros((4, TINY_SIZE, TINY_SIZE, 3), np.uint8))
    out = folder / "black" / "m.onnx"
    with pytest.raises(ParityError, match=r"batch\.mean_dice") as raised:
        convert([tiny_checkpoint(folder / "b.pt")], out, sample_set(blob_folder), precision="int8", calibration=black)
    assert raised.value.report
    assert raised.value.report.precision == "int8"
    assert list(out.parent.iterdir()) == []


def test_a_scale_that_is_wrong_fails_the_gate(made: Path, folder: Path, blob_folder: Path) -> None:
    model = onnx.load(made)
    layer = [node for node in model.graph.node if node.op_type == "Conv"][2]
    source = next(node for node in model.graph.node if layer.input[1] in node.output)
    scale = next(entry for entry in model.graph.initializer if entry.name == source.input[1])
    scale.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(scale) * np.float32(4), scale.name))
    path = folder / "scale.onnx"
    onnx.save(model, path)
    report = check(opened(path), Predictor(tiny_checkpoint(folder / "s.pt")), sample_set(blob_folder))
    assert {failure.figure for failure in report.failures} >= {"batch.mean_prob"}


def test_layers_kept_in_float_have_their_own_weights_and_read_no_rounded_input(float_model: onnx.ModelProto) -> None:
    network = calibrate(float_model, pictures(4, 1))
    kept = [layer.name for layer in network.layers[2:4]]
    model = quantise(network, kept)
    onnx.checker.check_model(model, full_check=True)
    constants = {entry.name: numpy_helper.to_array(entry) for entry in model.graph.initializer}
    originals = {entry.name: numpy_helper.to_array(entry) for entry in float_model.graph.initializer}
    producers = {name: node.op_type for node in model.graph.node for name in node.output}
    for node in model.graph.node:
        if node.name in kept:
            np.testing.assert_array_equal(constants[node.input[1]], originals[node.input[1]])
            assert producers[node.input[0]] != "DequantizeLinear"


def test_onnxruntime_computes_float_layers_in_float(float_model: onnx.ModelProto) -> None:
    """Left between two quantisers, its optimiser would round their weights with one scale for all channels."""
    network = calibrate(float_model, pictures(4, 1))
    model = quantise(network, [layer.name for layer in network.layers[1::2]])
    images = pictures(2, 3).images
    results = []
    for level in (
        onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL,
        onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL,
    ):
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = level
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        results.append(session.run(["prob"], {"image": images})[0])
    np.testing.assert_allclose(results[0], results[1], atol=0.05)


def test_the_search_keeps_more_and_more_layers_in_float(
    float_model: onnx.ModelProto, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = list(candidates(float_model, pictures(8, 2), 0.5))
    counts = [len(candidate.float_layers) for candidate in found]
    assert counts == [count for count in (0, 1, 2, 4, 8, 16) if count <= found[0].layers // 2]
    for fewer, more in itertools.pairwise(found):
        assert set(fewer.float_layers) < set(more.float_layers)
    monkeypatch.setattr(sensitivity, "rank", lambda *_: pytest.fail("ranked before it was needed"))
    next(candidates(float_model, pictures(8, 2), 0.5))


@needs_exact_int8
def test_the_first_candidate_that_passes_is_taken(
    folder: Path, blob_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A layer that does harm is found and stays in float."""
    from export.precision import quantise as module

    def harmful(model: onnx.ModelProto, nodes: set[str], ranges: object) -> None:
        victim = [node for node in model.graph.node if node.op_type == "Conv"][3]
        if victim.name in nodes:
            entry = next(entry for entry in model.graph.initializer if entry.name == victim.input[1])
            entry.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(entry) * np.float32(-1), entry.name))

    monkeypatch.setattr(module, "round_weights", harmful)
    out = folder / "searched" / "m.onnx"
    report = convert(
        [tiny_checkpoint(folder / "h.pt")], out, sample_set(blob_folder), precision="int8", calibration=pictures(16, 9)
    )
    made = read_contract(out).quantisation
    assert len(made["float_layers"]) == 1
    assert report.passed
    assert json.loads(report.to_json())["quantisation"] == made
    assert report.about["model_sha256"] == sha256(out)


def test_ranges_are_those_of_the_tensors(float_model: onnx.ModelProto) -> None:
    images = pictures(3, 4).images
    tensor = next(network_nodes(float_model)).output[0]
    opened = onnx.ModelProto()
    opened.CopyFrom(float_model)
    opened.graph.output.append(helper.make_tensor_value_info(tensor, onnx.TensorProto.FLOAT, None))
    session = onnxruntime.InferenceSession(opened.SerializeToString(), providers=["CPUExecutionProvider"])
    (values,) = session.run([tensor], {"image": images})
    found = measure(float_model, images, [tensor])[tensor]
    np.testing.assert_allclose([found.low, found.high], [values.min(), values.max()], rtol=1e-4)
    np.testing.assert_allclose(found.mean, values.mean(axis=(0, 2, 3)), atol=1e-4)


def test_only_layers_and_what_is_between_them_are_quantised(float_model: onnx.ModelProto) -> None:
    nodes = list(network_nodes(float_model))
    assert nodes[0].op_type in LAYERS
    assert sum(node.op_type in LAYERS for node in nodes) == sum(n.op_type in LAYERS for n in float_model.graph.node)


@given(
    hnp.arrays(
        np.float64,
        hnp.array_shapes(min_dims=4, max_dims=4, max_side=4),
        elements=st.floats(-10, 10).map(lambda value: 0.0 if abs(value) < 1e-6 else value),
    )
)
def test_weights_on_the_grid_are_near_and_filters_keep_their_sum(weights: np.ndarray) -> None:
    rounded = to_grid(weights)
    steps = np.abs(weights).max(axis=(1, 2, 3), keepdims=True) / LEVELS
    assert (np.abs(rounded - weights) <= 1.5 * steps + 1e-12).all()
    again = np.round(rounded / np.where(steps == 0, 1, steps))
    np.testing.assert_allclose(again * steps, rounded, atol=1e-9)
    if weights.shape[1] == 1:
        drift = np.abs((rounded - weights).sum(axis=(2, 3)))
        # Half a step, but where a tap would have to leave the range.
        assert (drift <= 2.0 * steps[:, :, 0, 0] + 1e-12).all()


def test_calibration_images_come_to_size_evenly_spaced(blob_folder: Path, tmp_path: Path) -> None:
    found = calibration_set(blob_folder, 3, 48)
    assert found.images.shape == (3, 48, 48, 3)
    assert found.source == "3 of 6 images of blobs"
    drawn = calibration_set(None, 2, 32)
    assert (drawn.source, drawn.images.shape) == ("2 synthetic images", (2, 32, 32, 3))
    with pytest.raises(DataError, match="No images below"):
        calibration_set(tmp_path, 3, 48)


def test_the_command_makes_an_int8_model(folder: Path, blob_folder: Path) -> None:
    tiny_checkpoint(folder / "cli" / "best.pt")
    out = folder / "cli" / "m.onnx"
    options = ("--precision", "int8", "--calibrate", blob_folder, "--parity", blob_folder, "--calibration-images", 5)
    result = run("onnx", folder / "cli" / "best.pt", "--out", out, *options)
    assert result.exit_code == 0, result.output
    assert result.stdout == f"{out}\n"
    assert "on cpu in int8" in result.stderr
    assert result.stderr.count("PASSED: ") == 1
    assert json.loads(run("info", out, "--json").stdout)["quantisation"]["calibration"] == "5 of 6 images of blobs"
    assert sorted(path.name for path in out.parent.iterdir()) == ["best.pt", "m.onnx", "m.parity.json"]


def test_int8_and_calibration_belong_together(folder: Path, blob_folder: Path) -> None:
    checkpoint = tiny_checkpoint(folder / "together.pt")
    with pytest.raises(ContractError, match="The precision is fp32, and calibration images were given"):
        convert([checkpoint], folder / "x.onnx", sample_set(blob_folder), calibration=pictures(2, 1))
    with pytest.raises(ContractError, match="The precision is int8, and calibration images were not given"):
        convert([checkpoint], folder / "x.onnx", sample_set(blob_folder), precision="int8")


def test_calibration_is_for_int8(folder: Path, blob_folder: Path) -> None:
    result = run("onnx", folder / "absent.pt", "--calibrate", blob_folder)
    assert result.exit_code == 2
    assert "--calibrate is for --precision int8; the precision is fp32." in result.stderr


def test_the_default_in_the_help_is_the_one_that_counts() -> None:
    assert onnx_command.DEFAULT_CALIBRATION_IMAGES == DEFAULT_IMAGES


def test_quantising_prints_nothing(folder: Path, blob_folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    out = folder / "quiet" / "m.onnx"
    convert(
        [tiny_checkpoint(folder / "q.pt")], out, sample_set(blob_folder), precision="int8", calibration=pictures(8, 9)
    )
    assert capfd.readouterr() == ("", "")

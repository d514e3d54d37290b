"""int8 of a network that learned with its rounding: every layer, by the ranges it learned with, and proved."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from click.testing import CliRunner
from onnx import numpy_helper

from export import cli
from export.contract import read_contract
from export.conversion import checkpoint as conversion
from export.conversion.build import segmenter
from export.conversion.checkpoint import convert
from export.errors import ContractError, ParityError
from export.precision.calibration import Calibration
from export.precision.learned import quantise_learned
from export.runtime.opening import open_model
from export.samples import SampleSet, sample_set
from seglab.evaluation.original import Predictor
from seglab.networks.build import build_network
from seglab.networks.checkpoints import Checkpoint, NetworkSpec, load_checkpoint, save_checkpoint
from tests.support.artefact import TINY_SIZE, blobs, tiny_checkpoint, with_ranges
from tests.support.int8 import needs_exact_int8


def fitted(count: int, seed: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    rng = np.random.default_rng(seed)
    return np.stack([blobs(rng, TINY_SIZE, TINY_SIZE)[0] for _ in range(count)])


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    path = tmp_path_factory.mktemp("learned") / "q.pt"
    save_checkpoint(with_ranges(tiny_checkpoint(path.with_name("t.pt"))), path)
    return load_checkpoint(path)


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> SampleSet:
    import cv2

    root = tmp_path_factory.mktemp("blobs")
    for index in range(6):
        image, _ = blobs(np.random.default_rng(index), 120 + 7 * index, 150)
        assert cv2.imwrite(str(root / f"p{index}.png"), image[..., ::-1])
    return sample_set(root)


@pytest.fixture(scope="module")
def made(checkpoint: Checkpoint, samples: SampleSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("made") / "m.onnx"
    convert([checkpoint], out, samples, precision="int8")
    return out


def test_every_convolution_is_int8_and_the_contract_says_so(made: Path) -> None:
    model = onnx.load(made)
    makers = {name: node for node in model.graph.node for name in node.output}
    constants = {entry.name: numpy_helper.to_array(entry) for entry in model.graph.initializer}
    convolutions = [node for node in model.graph.node if node.op_type in ("Conv", "ConvTranspose")]
    assert len(convolutions) == 13
    for node in convolutions:
        pixels, weights, bias = (makers[name] for name in node.input)
        assert makers[pixels.input[0]].op_type == "QuantizeLinear"
        assert constants[weights.input[0]].dtype == np.int8
        assert constants[bias.input[0]].dtype == np.int32
    assert not [node for node in model.graph.node if node.op_type == "Clip" and node.name.startswith("network")]
    quantisation = read_contract(made).quantisation
    assert (quantisation["float_layers"], quantisation["layers"]) == ([], 13)
    info = CliRunner().invoke(cli.main, ["info", str(made)]).stdout
    assert "learned with the rounding of int8" in info
    assert "0 of 13 layers in fp32" in info


@needs_exact_int8
@pytest.mark.parametrize("device", ["cpu", "openvino"])
def test_it_computes_what_was_simulated(made: Path, checkpoint: Checkpoint, device: str) -> None:
    simulated, twin = (Predictor(checkpoint, simulates=on) for on in (True, False))
    images = fitted(8, 4)
    probs = open_model(made, device).prob(images)
    apart = np.abs(probs - np.stack([simulated.prob(image) for image in images])).mean()
    rounding = np.abs(probs - np.stack([twin.prob(image) for image in images])).mean()
    assert apart < 0.2 * rounding


@pytest.mark.slow
def test_first_layers_stay_in_float_where_int8_alone_does_not_pass(
    checkpoint: Checkpoint, samples: SampleSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = 2
    measure = conversion._Gate.measure

    def strict(gate: conversion._Gate, version: conversion._Version, file: Path) -> conversion._Measured:
        found = measure(gate, version, file)
        if version.contract.precision == "int8" and len(version.contract.quantisation["float_layers"]) < wanted:
            return dataclasses.replace(found, report=dataclasses.replace(found.report, unproved="too far"))
        return found

    monkeypatch.setattr(conversion._Gate, "measure", strict)
    convert([checkpoint], tmp_path / "m.onnx", samples, precision="int8")
    model = onnx.load(tmp_path / "m.onnx")
    makers = {name: node.op_type for node in model.graph.node for name in node.output}
    layers = [node for node in model.graph.node if node.op_type in ("Conv", "ConvTranspose")]
    kinds = [(makers.get(node.input[0]), makers.get(node.input[1])) for node in layers]
    assert kinds == [("Clip", None)] * wanted + [("DequantizeLinear", "DequantizeLinear")] * (len(layers) - wanted)
    assert len(read_contract(tmp_path / "m.onnx").quantisation["float_layers"]) == wanted


@pytest.mark.slow
def test_a_filter_of_no_weight_keeps_its_bias(checkpoint: Checkpoint) -> None:
    """Training leaves some: their weights have tiny steps, in which the bias would be beyond 32 bits."""
    state = {name: tensor.clone() for name, tensor in checkpoint.state.items()}
    names = [name for name, tensor in state.items() if name.endswith("weight") and tensor.dim() == 4][:3]
    for name in names:
        state[name][0] = 1e-25
        state[name.replace("weight", "bias")][0] = 2.5
    model, _ = quantise_learned(segmenter([dataclasses.replace(checkpoint, state=state)]), checkpoint.network.ranges)
    constants = {entry.name: numpy_helper.to_array(entry) for entry in model.graph.initializer}
    biases = [name.removesuffix("_steps") for name in constants if name.endswith("_bias_steps")][:3]
    for name in biases:
        assert constants[f"{name}_steps"][0] * constants[f"{name}_scale"][0] == pytest.approx(2.5, rel=1e-5)


def off_by_a_step(model: onnx.ModelProto) -> None:
    change(model, "_weight_steps", lambda steps: np.where(steps < 127, steps + 1, steps))


def a_wrong_scale(model: onnx.ModelProto) -> None:
    change(model, "_weight_scale", lambda scales: scales * 1.02)


def a_wrong_bias(model: onnx.ModelProto) -> None:
    change(model, "_bias_steps", lambda steps: steps + np.abs(steps).max() // 10)


def change(model: onnx.ModelProto, ending: str, by: Callable[[np.ndarray], np.ndarray]) -> None:
    """Change the constants of the fifth convolution."""
    entry = [entry for entry in model.graph.initializer if entry.name.endswith(ending)][4]
    values = numpy_helper.to_array(entry)
    entry.CopyFrom(numpy_helper.from_array(by(values).astype(values.dtype), entry.name))


@pytest.mark.slow
@pytest.mark.parametrize("fault", [off_by_a_step, a_wrong_scale, a_wrong_bias])
def test_a_planted_fault_is_found(
    checkpoint: Checkpoint, samples: SampleSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    fault: Callable[[onnx.ModelProto], None],
) -> None:  # fmt: skip
    def faulty(*arguments: object) -> tuple[onnx.ModelProto, frozenset[int]]:
        model, exact = quantise_learned(*arguments)  # type: ignore[arg-type]
        fault(model)
        return model, exact

    monkeypatch.setattr(conversion, "quantise_learned", faulty)
    with pytest.raises(ParityError):
        convert([checkpoint], tmp_path / "m.onnx", samples, precision="int8")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_fp32_twin_clips_and_is_exported_as_it_is(
    checkpoint: Checkpoint, samples: SampleSet, made: Path, tmp_path: Path
) -> None:
    convert([checkpoint], tmp_path / "twin.onnx", samples)
    twin, int8 = open_model(tmp_path / "twin.onnx", "cpu"), open_model(made, "cpu")
    assert twin.contract.precision == "fp32"
    images = fitted(8, 5)
    expected = np.stack([Predictor(checkpoint).prob(image) for image in images])
    assert np.abs(twin.prob(images) - expected).max() < 1e-4
    assert np.abs(int8.prob(images) - expected).max() > 1e-3
    assert made.stat().st_size < (tmp_path / "twin.onnx").stat().st_size


def test_calibration_is_neither_needed_nor_taken(checkpoint: Checkpoint, samples: SampleSet, tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="calibrate"):
        convert(
            [checkpoint], tmp_path / "m.onnx", samples, precision="int8", calibration=Calibration("x", fitted(2, 1))
        )


@pytest.mark.slow
def test_ranges_that_are_not_the_graphs_are_refused(checkpoint: Checkpoint) -> None:
    ranges = list(checkpoint.network.ranges)
    ranges[3] = (ranges[3][0] * 1.5, ranges[3][1])
    with pytest.raises(ContractError, match="reads a tensor that is not clipped to a learned range"):
        quantise_learned(segmenter([checkpoint]), ranges)


@pytest.mark.parametrize(
    "spec",
    [
        NetworkSpec("unet", "mobilenet_v2", options={"decoder_channels": [8, 8, 8, 8, 8]}),
        NetworkSpec("fpn", "resnet18"),
        NetworkSpec("unet", "resnet18", options={"decoder_channels": [16, 8, 8], "encoder_depth": 3}),
        NetworkSpec("unetplusplus", "tu-tf_efficientnet_lite0", options={"decoder_channels": [8, 8, 8, 8, 8]}),
        NetworkSpec("unet", "tu-mobilenetv3_small_100", options={"decoder_channels": [8, 8, 8, 8, 8]}),
    ],
    ids=lambda spec: f"{spec.arch}-{spec.encoder}",
)
@pytest.mark.slow
def test_other_networks_too(spec: NetworkSpec, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = build_network(spec).eval()
    checkpoint = with_ranges(Checkpoint(spec, TINY_SIZE, network.state_dict()))
    model, _ = quantise_learned(segmenter([checkpoint]), checkpoint.network.ranges)
    onnx.checker.check_model(model, full_check=True)
    layers = [node for node in model.graph.node if node.op_type == "Conv" and node.name.startswith("network")]
    makers = {name: node for node in model.graph.node for name in node.output}
    assert all(makers[node.input[1]].op_type == "DequantizeLinear" for node in layers)

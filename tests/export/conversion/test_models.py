"""What a model can be besides one network in fp32: ensembles, flips, several classes, half precision."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import onnxruntime
import pytest
import torch
from click.testing import CliRunner, Result
from onnx import numpy_helper

from export.cli import main
from export.contract import read_contract
from export.conversion.build import contract_for, segmenter, traced
from export.conversion.checkpoint import convert
from export.errors import ContractError, ParityError
from export.graph.stages import Member, Stages, fuse
from export.precision.calibration import session
from export.precision.half import in_precision
from export.runtime.opening import open_model
from export.samples import Sample, SampleSet, edge_samples
from seglab.evaluation.original import Predictor
from seglab.networks.build import build_network
from seglab.networks.checkpoints import Checkpoint, NetworkSpec, save_checkpoint
from tests.support.artefact import TINY_SIZE, blobs, tiny_checkpoint

pytestmark = pytest.mark.usefixtures("traced_once")


class Pictures(SampleSet):
    """Blobs, and the edge cases."""

    def __init__(self) -> None:
        super().__init__("blobs")

    def __iter__(self):  # type: ignore[no-untyped-def]
        yield from edge_samples()
        for index, shape in enumerate([(150, 203), (91, 64), (64, 64)]):
            yield Sample(f"blob{index}", *blobs(np.random.default_rng(index), *shape))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def checkpoint(folder: Path) -> Checkpoint:
    return tiny_checkpoint(folder / "a.pt")


@pytest.fixture(scope="module")
def other(folder: Path, checkpoint: Checkpoint) -> Checkpoint:
    """The same network with other weights and another normalisation."""
    generator = torch.Generator().manual_seed(1)
    state = {
        name: value + 0.02 * torch.randn(value.shape, generator=generator) if value.is_floating_point() else value
        for name, value in checkpoint.state.items()
    }
    changed = dataclasses.replace(checkpoint, state=state, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
    save_checkpoint(changed, folder / "b.pt")
    return dataclasses.replace(changed, path=folder / "b.pt", sha256="b" * 64)


@pytest.fixture(scope="module")
def three_classes() -> Checkpoint:
    torch.manual_seed(5)
    spec = NetworkSpec("unet-scratch", classes=3, options={"widths": [4, 8]})
    network = build_network(spec).eval()
    head = network.get_submodule("head")
    assert isinstance(head, torch.nn.Conv2d)
    assert head.bias is not None
    with torch.no_grad():  # every class is the most probable one somewhere, with clear borders
        head.weight *= 30
        logits = network(torch.randn(1, 3, 32, 32))
        head.bias -= logits.mean(dim=(0, 2, 3))
    names = ("skin", "lesion", "hair")
    return Checkpoint(spec, 32, network.state_dict(), class_names=names, sha256="c" * 64)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.mark.slow
def test_an_ensemble_is_the_mean_of_its_networks(folder: Path, checkpoint: Checkpoint, other: Checkpoint) -> None:
    path = folder / "ensemble.onnx"
    assert convert([checkpoint, other], path, Pictures()).passed
    image = blobs(np.random.default_rng(9), 120, 90)[0]
    prob, _ = open_model(path, "cpu").prob_and_mask(image[None])
    alone = [Predictor(each).prob(image) for each in (checkpoint, other)]
    np.testing.assert_allclose(prob[0], np.mean(alone, axis=0), atol=1e-5)
    assert np.abs(alone[0] - alone[1]).max() > 0.01  # they are not alike, or nothing was shown
    contract = read_contract(path)
    assert contract.checkpoints == (checkpoint.sha256, other.sha256)
    assert [member["mean"][0] for member in contract.ensemble] == [0.485, 0.5]


def test_networks_that_do_not_go_together_are_refused(checkpoint: Checkpoint, three_classes: Checkpoint) -> None:
    with pytest.raises(ContractError, match=r"threshold is 0.3 in None and 0.5 in .*a.pt; expected the same"):
        segmenter([checkpoint, dataclasses.replace(checkpoint, threshold=0.3, path=None)])
    with pytest.raises(ContractError, match="size is 32 in None"):
        segmenter([checkpoint, three_classes])


@pytest.mark.slow
def test_several_classes_are_a_softmax_and_a_label_map(folder: Path, three_classes: Checkpoint) -> None:
    path = folder / "classes.onnx"
    report = convert([three_classes], path, Pictures())
    assert report.passed
    assert "truth" not in report.figures  # data sets hold lesion or not
    model = open_model(path, "cpu", batch=2)
    assert model.contract.class_names == ("skin", "lesion", "hair")
    image = blobs(np.random.default_rng(3), 50, 70)[0]
    prob, mask = model.prob_and_mask(image[None])
    expected_prob, expected_mask = Predictor(three_classes).prob_and_mask(image)
    assert prob.shape == (1, 3, 32, 32)
    np.testing.assert_allclose(prob[0], expected_prob, atol=1e-5)
    assert np.count_nonzero(mask[0] != expected_mask) <= 2
    assert len(np.unique(expected_mask)) > 1
    assert model.prob(np.zeros((0, 32, 32, 3), np.uint8)).shape == (0, 3, 32, 32)
    assert model.prob(np.zeros((3, 32, 32, 3), np.uint8)).shape == (3, 3, 32, 32)


def test_classes_that_are_mixed_up_fail_the_gate(folder: Path, three_classes: Checkpoint) -> None:
    model = segmenter([three_classes])
    bias = next(entry for entry in model.graph.initializer if entry.dims == [3] and "head" in entry.name)
    bias.CopyFrom(
        numpy_helper.from_array(numpy_helper.to_array(bias)[[0, 2, 1]] + np.array([0, 1, 0], np.float32), bias.name)
    )
    with pytest.raises(ParityError, match=r"whole\.flipped"):
        convert([three_classes], folder / "mixed.onnx", Pictures(), fused_model=model)


def test_classes_without_names_get_numbers(three_classes: Checkpoint) -> None:
    nameless = dataclasses.replace(three_classes, class_names=("lesion",))
    assert contract_for([nameless]).class_names == ("background", "class 1", "class 2")


@pytest.mark.parametrize("precision", ["fp16", "fp16-weights"])
@pytest.mark.parametrize("flips", [False, True])
def test_half_precision_passes_its_gate_and_halves_the_file(
    folder: Path, checkpoint: Checkpoint, precision: str, flips: bool
) -> None:
    path = folder / f"{precision}-{flips}.onnx"
    chosen = dataclasses.replace(checkpoint, tta="flips" if flips else "none")
    report = convert([chosen], path, Pictures(), precision=precision)
    assert report.passed
    assert (report.precision, read_contract(path).precision) == (precision, precision)
    assert report.figures["batch"]["max_prob"] > 1e-7  # it is another precision
    weights = {entry.data_type for entry in onnx.load(path).graph.initializer if np.prod(entry.dims) >= 1024}
    assert weights == {onnx.TensorProto.FLOAT16}


def test_a_network_in_half_precision_has_casts_at_its_ends_only(checkpoint: Checkpoint) -> None:
    casts = [node.name for node in segmenter([checkpoint], "fp16").graph.node if node.op_type == "Cast"]
    assert casts == ["floats", "halved", "logits"]


@pytest.mark.slow
def test_the_first_layers_stay_in_fp32_where_fp16_does_not_do(folder: Path, checkpoint: Checkpoint) -> None:
    """What the first layer gives lies around 300, where fp16 has steps of a quarter; the second takes it off again."""
    state = dict(checkpoint.state)
    state["stem.1.bias"] = state["stem.1.bias"] + 300
    state["stem.4.running_mean"] = state["stem.4.running_mean"] + 300 * state["stem.3.weight"].sum(dim=(1, 2, 3))
    path = folder / "rough.onnx"
    report = convert([dataclasses.replace(checkpoint, state=state)], path, Pictures(), precision="fp16")
    made = read_contract(path).quantisation
    assert report.passed
    assert made["float_layers"] == ["stem.0", "stem.3"]
    assert report.about["quantisation"] == made
    result = run("info", path)
    assert f"2 of {made['layers']} layers in fp32: stem.0, stem.3" in result.stdout
    types = {entry.name: entry.data_type for entry in onnx.load(path).graph.initializer}
    assert types["network.stem.3.weight"] == onnx.TensorProto.FLOAT
    assert types["network.down.0.0.weight_fp16"] == onnx.TensorProto.FLOAT16


def test_what_is_not_zero_stays_so_in_fp16() -> None:
    """A small constant in a denominator would become a division by zero."""
    text = """<ir_version: 10, opset_import: ["" : 18]>
    g (float[N, 3, 4, 4] x) => (float[N, 3, 4, 4] y) <float[1] small = {1e-9}> {
        squares = Mul (x, x)
        some = Add (squares, small)
        y = Div (x, some)
    }"""
    model = in_precision(onnx.parser.parse_model(text), "fp16")
    zeros = np.zeros((1, 3, 4, 4), np.float16)
    (result,) = session(model).run(None, {"x": zeros})
    assert np.array_equal(result, zeros)


def test_an_output_whose_type_is_not_known_is_refused_in_fp16() -> None:
    text = """<ir_version: 10, opset_import: ["" : 18, "elsewhere" : 1]>
    g (float[N, 3, 4, 4] x) => (float[N, 3, 4, 4] y) { inner = elsewhere.Foo (x) y = Relu (inner) }"""
    with pytest.raises(ContractError, match="Export with --precision fp32"):
        in_precision(onnx.parser.parse_model(text), "fp16")


@pytest.mark.slow
def test_weights_beyond_half_precision_are_refused(checkpoint: Checkpoint) -> None:
    state = {name: value * 1e6 if name.endswith("head.weight") else value for name, value in checkpoint.state.items()}
    with pytest.raises(ContractError, match="fp16 ends at 65504"):
        segmenter([dataclasses.replace(checkpoint, state=state)], "fp16")


@pytest.mark.slow
def test_openvino_runs_what_cpu_runs(folder: Path, checkpoint: Checkpoint, three_classes: Checkpoint) -> None:
    image = blobs(np.random.default_rng(4), TINY_SIZE, TINY_SIZE)[0][None]
    for name, chosen, precision in (
        ("flips", dataclasses.replace(checkpoint, tta="flips"), "fp32"),
        ("half", checkpoint, "fp16"),
        ("stored", checkpoint, "fp16-weights"),
        ("classes", three_classes, "fp32"),
    ):
        path = folder / f"openvino-{name}.onnx"
        convert([chosen], path, Pictures(), precision=precision)
        size = chosen.size
        expected = open_model(path, "cpu").prob(image[:, :size, :size])
        np.testing.assert_allclose(open_model(path, "openvino").prob(image[:, :size, :size]), expected, atol=0.05)


def test_what_a_device_computes_in_can_be_asked_for(folder: Path, checkpoint: Checkpoint) -> None:
    from export.errors import DeviceError

    path = folder / "compute.onnx"
    convert([checkpoint], path, Pictures())
    assert open_model(path, "openvino", compute="fp32").device.precision == "fp32"
    with pytest.raises(DeviceError, match="on this machine it computes in fp32, not in bf16"):
        open_model(path, "cpu", compute="bf16")


def test_the_graph_has_no_leftovers(checkpoint: Checkpoint) -> None:
    model = segmenter([dataclasses.replace(checkpoint, tta="flips")])
    used = {name for node in model.graph.node for name in node.input}
    outputs = {entry.name for entry in model.graph.output}
    assert all(set(node.output) & (used | outputs) for node in model.graph.node)
    assert {entry.name for entry in model.graph.initializer} <= used
    assert not any(node.op_type == "Identity" for node in model.graph.node)
    types = {entry.data_type for entry in model.graph.initializer}
    types |= {entry.type.tensor_type.elem_type for entry in model.graph.value_info}
    assert onnx.TensorProto.DOUBLE not in types
    shaped = {entry.name for entry in model.graph.value_info if entry.type.tensor_type.HasField("shape")}
    assert {name for node in model.graph.node for name in node.output} - outputs <= shaped


@pytest.mark.slow
def test_names_do_not_collide_in_an_ensemble(checkpoint: Checkpoint) -> None:
    model = segmenter([checkpoint, checkpoint, checkpoint])
    names = [node.name for node in model.graph.node]
    assert len(set(names)) == len(names)
    outputs = [name for node in model.graph.node for name in node.output]
    assert len(set(outputs)) == len(outputs)


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        (Stages(32), r"input 'x' is \(\?, 3, 64, 64\); expected \(N, 3, 32, 32\)"),
        (Stages(64, classes=4), r"output 'logits' is \(\?, 1, 64, 64\); expected \(N, 4, 64, 64\)"),
    ],
)
def test_a_network_of_another_shape_is_refused(checkpoint: Checkpoint, stages: Stages, message: str) -> None:
    (network,) = traced([checkpoint])
    with pytest.raises(ContractError, match=message):
        fuse([Member(network, checkpoint.mean, checkpoint.std)], stages)


@pytest.mark.slow
def test_the_command_exports_and_checks_an_ensemble(folder: Path, other: Checkpoint, checkpoint: Checkpoint) -> None:
    a, b, out = folder / "a.pt", folder / "b.pt", folder / "cli" / "both.onnx"
    options = ("--tta", "flips", "--precision", "fp16-weights", "--parity", _image_folder(folder))
    result = run("onnx", "--ensemble", a, b, *options, "--out", out)
    assert result.exit_code == 0, result.output
    sheet = run("info", out).stdout
    assert re.search("networks +2, averaged probabilities, fp16-weights", sheet)
    assert "mean over the image and its three mirror images" in sheet
    checked = run("check", out, a, b, "--images", _image_folder(folder), "--device", "cpu", "--json", "-")
    assert checked.exit_code == 0, checked.output
    assert json.loads(checked.stdout)["precision"] == "fp16-weights"
    wrong = run("check", out, b, "--images", _image_folder(folder), "--device", "cpu")
    assert wrong.exit_code == 1
    assert "was exported from another file" in wrong.stderr


def test_fp32_networks_are_left_as_they_are(checkpoint: Checkpoint) -> None:
    (network,) = traced([checkpoint])
    assert in_precision(network, "fp32") is network


def _image_folder(folder: Path) -> Path:
    from PIL import Image

    pictures = folder / "pictures"
    pictures.mkdir(exist_ok=True)
    for index in range(2):
        Image.fromarray(blobs(np.random.default_rng(index), 80, 100)[0]).save(pictures / f"{index}.png")
    return pictures


def test_sessions_of_the_onnx_file_need_nothing_of_ours(folder: Path, checkpoint: Checkpoint) -> None:
    path = folder / "plain.onnx"
    convert([dataclasses.replace(checkpoint, tta="flips")], path, Pictures())
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    image = blobs(np.random.default_rng(6), 77, 55)[0]
    prob, mask = session.run(None, {"image": image[None]})
    assert (prob.shape, mask.shape, mask.dtype) == ((1, 1, TINY_SIZE, TINY_SIZE), (1, 77, 55), np.uint8)

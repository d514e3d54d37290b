"""Foreign networks: wrapped by graph surgery, proved against themselves, refused where they do not fit."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
import torch
from click.testing import CliRunner, Result
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from export.adoption.adopt import adopt, open_foreign
from export.adoption.wrapping import Wrapping
from export.cli import main
from export.contract import read_contract
from export.errors import ContractError, ParityError
from export.runtime.opening import open_model
from export.samples import sample_set
from seglab.evaluation.original import Predictor
from seglab.networks.build import restore_network
from seglab.networks.normalisation import IMAGENET_MEAN, IMAGENET_STD
from tests.support.artefact import TINY_SIZE, blobs, tiny_checkpoint
from tests.support.planted_faults import no_antialias

WRAPPING = Wrapping(IMAGENET_MEAN, IMAGENET_STD)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("adopt")


@pytest.fixture(scope="module")
def original(folder: Path) -> Predictor:
    return Predictor(tiny_checkpoint(folder / "c.pt"))


@pytest.fixture(scope="module")
def pictures(folder: Path) -> Path:
    root = folder / "pictures"
    for index, shape in enumerate([(90, 120), (130, 77)]):
        image, mask = blobs(np.random.default_rng(index), *shape)
        for name, pixels in (("images", image[..., ::-1]), ("masks", mask)):
            (root / name).mkdir(parents=True, exist_ok=True)
            assert cv2.imwrite(str(root / name / f"p{index}.png"), pixels)
    return root


def exported(path: Path, network: nn.Module, *, free: bool = True, opset: int = 18) -> Path:
    """Export a network as its makers would, with nothing around it."""
    example = torch.zeros(2, 3, TINY_SIZE, TINY_SIZE)
    torch.onnx.export(
        network.eval(),
        (example,),
        str(path),
        input_names=["input.1"],
        output_names=["out"],
        dynamic_shapes=({0: "n"},) if free else None,
        opset_version=opset,
        dynamo=True,
        external_data=False,
        verbose=False,
    )
    return path


@pytest.fixture(scope="module")
def foreign(folder: Path, original: Predictor) -> Path:
    return exported(folder / "net.onnx", restore_network(original.checkpoint))


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def same_masks(path: Path, original: Predictor) -> None:
    model = open_model(path, "cpu")
    for index, shape in enumerate([(100, 81), (64, 64)]):
        image = blobs(np.random.default_rng(index), *shape)[0]
        prob, mask = model.prob_and_mask(image[None])
        expected_prob, expected_mask = original.prob_and_mask(image)
        np.testing.assert_allclose(prob[0], expected_prob, atol=1e-5)
        assert np.count_nonzero(mask[0] != expected_mask) <= 1


def test_a_plain_export_becomes_a_model(folder: Path, foreign: Path, pictures: Path, original: Predictor) -> None:
    out = folder / "adopted.onnx"
    numbers = (",".join(map(str, IMAGENET_MEAN)), ",".join(map(str, IMAGENET_STD)))
    words = ("--size", TINY_SIZE, "--mean", numbers[0], "--std", numbers[1], "--out", out, "--parity", pictures)
    result = run("adopt", foreign, *words, "--licence", "MIT")
    assert result.exit_code == 0, result.output
    assert result.stdout == f"{out}\n"
    assert json.loads(out.with_suffix(".parity.json").read_text())["passed"]
    contract = read_contract(out)
    assert (contract.arch, contract.licence, contract.parity["passed"]) == ("adopted", "MIT", True)
    assert contract.training == {"adopted_from": "net.onnx"}
    same_masks(out, original)


@pytest.mark.slow
@pytest.mark.parametrize("activation", [nn.Sigmoid, nn.Identity])
def test_a_sigmoid_at_the_end_is_not_applied_twice(
    pictures: Path, folder: Path, original: Predictor, activation: type[nn.Module]
) -> None:
    network = nn.Sequential(restore_network(original.checkpoint), activation())
    out = folder / f"{activation.__name__}.onnx"
    adopt(open_foreign(exported(folder / "activated.onnx", network)), out, WRAPPING, sample_set(pictures))
    same_masks(out, original)


def test_classes_are_told_apart(pictures: Path, folder: Path) -> None:
    class Colours(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.softmax(9 * x, dim=1)

    wrapping = Wrapping((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), class_names=("skin", "green", "blue"))
    out = folder / "colours.onnx"
    assert adopt(open_foreign(exported(folder / "rgb.onnx", Colours())), out, wrapping, sample_set(pictures)).passed
    image = np.zeros((1, 90, 90, 3), np.uint8)
    image[:, :, 45:, 2] = 255
    mask = open_model(out, "cpu").mask(image)[0]
    assert (mask[:, 80] == 2).all()
    assert read_contract(out).class_names == ("skin", "green", "blue")


def test_an_older_operator_set_is_converted(pictures: Path, folder: Path) -> None:
    """Opset 11, with the weights among the inputs, as exporters of 2019 wrote."""
    weights = np.random.default_rng(0).normal(size=(1, 3, 3, 3)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["y"], pads=[1, 1, 1, 1])],
        "old",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, TINY_SIZE, TINY_SIZE]),
            helper.make_tensor_value_info("w", TensorProto.FLOAT, [1, 3, 3, 3]),
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1, TINY_SIZE, TINY_SIZE])],
        [numpy_helper.from_array(weights, "w")],
    )
    source = folder / "old.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=6), source)
    assert adopt(open_foreign(source), folder / "renewed.onnx", WRAPPING, sample_set(pictures)).passed
    assert open_model(folder / "renewed.onnx", "cpu", batch=4).prob(np.zeros((5, 64, 64, 3), np.uint8)).shape[0] == 5


def test_wrong_stages_would_fail_the_gate(
    pictures: Path, folder: Path, foreign: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gate compares with an original that shares nothing with the graph but the network."""
    from export.adoption import adopt as module
    from export.graph.stages import Member, Stages, fuse

    def faulty(members: list[Member], stages: Stages) -> onnx.ModelProto:
        model = fuse(members, stages)
        no_antialias(model)
        return model

    monkeypatch.setattr(module, "fuse", faulty)
    out = folder / "wrong.onnx"
    with pytest.raises(ParityError, match=r"(?s)does not match .*net\.onnx.*whole\.max_prob.*--mean") as raised:
        adopt(open_foreign(foreign), out, WRAPPING, sample_set(pictures))
    assert "PyTorch" not in str(raised.value)
    assert not out.exists()


@pytest.mark.slow
@pytest.mark.parametrize("fixed", ["reshapes", "resizes"])
def test_a_batch_axis_that_is_fixed_inside_is_freed(pictures: Path, folder: Path, fixed: str) -> None:
    class Fixed(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            mean = x.reshape(2, 3, -1).mean(dim=1).reshape(2, 1, TINY_SIZE, TINY_SIZE)
            return nn.functional.interpolate(mean, (40, 40), mode="bilinear") if fixed == "resizes" else mean

    source = exported(folder / f"{fixed}.onnx", Fixed(), free=False)
    out = folder / f"freed-{fixed}.onnx"
    assert adopt(open_foreign(source), out, WRAPPING, sample_set(pictures)).passed
    assert open_model(out, "cpu", batch=4).prob(np.zeros((5, 64, 64, 3), np.uint8)).shape[0] == 5


@pytest.mark.slow
def test_a_batch_axis_that_cannot_be_freed_is_named(pictures: Path, folder: Path) -> None:
    class Fixed(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.cat([x[:1, :1], x[1:, 1:2]], dim=0)

    source = exported(folder / "fixed.onnx", Fixed(), free=False)
    with pytest.raises(ContractError, match=r"expected a network whose batch axis is free.*dynamic_axes"):
        adopt(open_foreign(source), folder / "x.onnx", WRAPPING, sample_set(pictures))


@pytest.mark.slow
def test_adopting_loads_no_torch(folder: Path, foreign: Path, repo_root: Path) -> None:
    code = (
        "import sys; from export.cli import main; main(sys.argv[1:], standalone_mode=False); "
        "print('torch' in sys.modules)"
    )
    words = ["adopt", str(foreign), "--mean", "imagenet", "--out", str(folder / "light.onnx")]
    done = subprocess.run(
        [sys.executable, "-c", code, *words], cwd=repo_root, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == [str(folder / "light.onnx"), "False"]

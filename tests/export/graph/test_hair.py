"""Hair removal inside the graph: the same pixels, bit for bit, as OpenCV's, and a model that contains it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from click.testing import CliRunner
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper, parser
from torch import nn

from export.cli import main
from export.contract import read_contract
from export.graph.hair import RESULT, hair_stage
from export.runtime.opening import open_model
from seglab.evaluation.original import Predictor
from seglab.images.hair import hair_mask, remove_hair
from seglab.networks.checkpoints import save_checkpoint
from tests.support.artefact import tiny_checkpoint

pytestmark = pytest.mark.usefixtures("traced_once")

BETWEEN = ("grey", "traced", "is_hair")
Pixels = NDArray[np.uint8]


def stage(size: int) -> onnxruntime.InferenceSession:
    """The stage as a graph of its own, whose outputs are :data:`BETWEEN` and the result."""
    text, constants = hair_stage(size)
    types = dict.fromkeys((RESULT, "grey", "traced"), TensorProto.FLOAT) | {"is_hair": TensorProto.BOOL}
    graph = helper.make_graph(
        parser.parse_graph(f"stage () => () {{ {text} }}").node,
        "hair",
        [helper.make_tensor_value_info("resized", TensorProto.FLOAT, ["N", 3, size, size])],
        [helper.make_tensor_value_info(name, types[name], ["N", None, size, size]) for name in (*BETWEEN, RESULT)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


def hairy(size: int, seed: int) -> Pixels:
    """Noisy skin with a lesion, straight and curled hairs, and dots: RGB ``(S, S, 3)``."""
    rng = np.random.default_rng(seed)
    image = np.full((size, size, 3), (205, 165, 145), np.uint8)
    cv2.circle(image, (size // 2, size // 2), size // 4, (110, 70, 55), -1)
    image = np.asarray(cv2.GaussianBlur(image, (0, 0), size / 60), np.uint8)
    for _ in range(int(rng.integers(1, 9))):
        ends = rng.integers(0, size, 4).tolist()
        cv2.line(image, ends[:2], ends[2:], (40, 25, 20), int(rng.integers(1, 4)), cv2.LINE_AA)
        cv2.ellipse(image, ends[2:], (size // 5, size // 8), 30, 0, int(rng.integers(20, 330)), (60, 40, 30), 1)
        cv2.circle(image, ends[:2], 2, (60, 40, 30), -1)
    noise = rng.normal(0, 5, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def run(session: onnxruntime.InferenceSession, *images: Pixels) -> list[NDArray[Any]]:
    batch = np.stack(images).transpose(0, 3, 1, 2).astype(np.float32)
    return [np.asarray(values) for values in session.run(None, {"resized": batch})]


@pytest.mark.parametrize("size", [48, 128, 192])
def test_every_step_is_opencvs_bit_for_bit(size: int) -> None:
    images = [hairy(size, seed) for seed in range(6)]
    grey, edges, hairs, filled = run(stage(size), *images)
    assert hairs.any()
    for k, image in enumerate(images):
        ours = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        assert np.array_equal(grey[k, 0], ours)
        assert np.array_equal(edges[k, 0] > 0, cv2.Canny(ours, 40, 120) > 0)
        assert np.array_equal(hairs[k, 0], hair_mask(image) > 0)
        assert np.array_equal(filled[k].transpose(1, 2, 0), remove_hair(image))


@pytest.mark.real
def test_photographs_too(data_dir: Path) -> None:
    session, hairs = stage(192), 0
    for path in sorted(data_dir.joinpath("isic2018").rglob("*.jpg"))[::150]:
        photo = cv2.imread(str(path))
        assert photo is not None
        image = np.asarray(cv2.resize(photo, (192, 192), interpolation=cv2.INTER_AREA)[..., ::-1], np.uint8)
        hairs += int(hair_mask(image).any())
        assert np.array_equal(run(session, image)[-1][0].transpose(1, 2, 0), remove_hair(image)), path.name
    assert hairs > 5


@pytest.mark.parametrize("value", [0, 128, 255])
def test_plain_images_stay_as_they_are(value: int) -> None:
    image = np.full((48, 48, 3), value, np.uint8)
    assert np.array_equal(run(stage(48), image)[-1][0].transpose(1, 2, 0), image)


def test_noise_where_everything_could_be_hair_ends() -> None:
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    assert np.array_equal(run(stage(64), image)[-1][0].transpose(1, 2, 0), remove_hair(image))


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("photographs")
    for seed in range(4):
        image = np.asarray(cv2.resize(hairy(160, seed), (200 + 31 * seed, 150)), np.uint8)
        assert cv2.imwrite(str(root / f"{seed}.png"), image[..., ::-1])
    return root


@pytest.mark.slow
def test_a_network_that_learned_without_hairs_gets_none(tmp_path: Path, photographs: Path) -> None:
    checkpoint = dataclasses.replace(tiny_checkpoint(tmp_path / "plain.pt"), hair="dullrazor")
    save_checkpoint(checkpoint, tmp_path / "c.pt")
    words = ["onnx", str(tmp_path / "c.pt"), "--parity", str(photographs), "--out", str(tmp_path / "m.onnx")]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 0, result.output
    assert read_contract(tmp_path / "m.onnx").hair_removal
    assert "hair removal" in CliRunner().invoke(main, ["info", str(tmp_path / "m.onnx")]).output
    model = open_model(tmp_path / "m.onnx", "cpu", batch=1)
    image = hairy(160, 7)
    shaved, _ = model.prob_and_mask(image[None])
    assert shaved[0] == pytest.approx(Predictor(checkpoint).prob(image), abs=1e-4)
    assert np.abs(shaved[0] - Predictor(dataclasses.replace(checkpoint, hair="none")).prob(image)).max() > 1e-3
    words = ["check", str(tmp_path / "m.onnx"), str(tmp_path / "plain.pt"), "--images", str(photographs)]
    for device in ("cpu", "openvino"):  # the model counts, not what the checkpoint says
        result = CliRunner().invoke(main, [*words, "--device", device])
        assert result.exit_code == 0, result.output


@pytest.mark.parametrize("tta", ["none", "flips"])
def test_it_can_be_asked_for(tmp_path: Path, photographs: Path, tta: str) -> None:
    tiny_checkpoint(tmp_path / "c.pt")
    words = ["onnx", str(tmp_path / "c.pt"), "--hair", "dullrazor", "--tta", tta, "--parity", str(photographs)]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 0, result.output
    assert read_contract(tmp_path / "c.onnx").hair_removal


@pytest.mark.slow
def test_adopted_networks_too(tmp_path: Path, photographs: Path) -> None:
    network = nn.Conv2d(3, 1, 5, padding=2)  # what is dark is lesion; how a pixel is rounded decides nothing
    nn.init.constant_(network.weight, -0.02)
    nn.init.constant_(network.bias, 0.3)  # type: ignore[arg-type]  # there is one
    torch.onnx.export(
        network.eval(), (torch.zeros(2, 3, 96, 96),), str(tmp_path / "net.onnx"), dynamic_shapes=({0: "n"},),
        dynamo=True, external_data=False, verbose=False,
    )  # fmt: skip
    words = ["adopt", str(tmp_path / "net.onnx"), "--mean", "imagenet", "--hair", "dullrazor"]
    result = CliRunner().invoke(
        main,
        [*words, "--parity", str(photographs), "--out", str(tmp_path / "m.onnx"), "--json", str(tmp_path / "r.json")],
    )
    assert result.exit_code == 0, result.output
    assert read_contract(tmp_path / "m.onnx").hair_removal
    assert json.loads((tmp_path / "r.json").read_text())["passed"]

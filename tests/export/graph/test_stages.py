"""The fused graph against the PyTorch original and against Pillow, on images that break careless graphs."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator
from PIL import Image
from torch import Tensor, nn

from export.conversion.build import describe_training
from export.graph.stages import Stages
from seglab.evaluation.original import Predictor
from tests.support.artefact import TINY_SIZE, blobs, fused_model, tiny_checkpoint, tiny_model

MEAN, STD, THRESHOLD = (0.6, 0.5, 0.4), (0.3, 0.2, 0.25), 0.45
WEIGHTS = (0.7, -0.5, 0.3)
SIZE = 48


class Mixture(nn.Module):
    """A network that can be worked out by hand: the logit is a weighted sum of the normalised channels."""

    weights: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("weights", torch.tensor(WEIGHTS).view(1, 3, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return (x * self.weights).sum(dim=1, keepdim=True)


@pytest.fixture(scope="module")
def mixture(tmp_path_factory: pytest.TempPathFactory) -> onnxruntime.InferenceSession:
    path = fused_model(tmp_path_factory.mktemp("mixture") / "m.onnx", Mixture(), Stages(SIZE, THRESHOLD), MEAN, STD)
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tiny")


@pytest.fixture(scope="module")
def original(folder: Path) -> Predictor:
    return Predictor(tiny_checkpoint(folder / "tiny.pt"))


@pytest.fixture(scope="module")
def session(folder: Path) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(str(tiny_model(folder / "tiny.onnx")), providers=["CPUExecutionProvider"])


def pillow_prob(image: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Work the mixture out with Pillow, whose BILINEAR is an antialiased, half-pixel triangle filter."""
    logit = np.zeros((SIZE, SIZE))
    for channel, (mean, std, weight) in enumerate(zip(MEAN, STD, WEIGHTS, strict=True)):
        plane = Image.fromarray(image[..., channel].astype(np.float32))
        small = np.asarray(plane.resize((SIZE, SIZE), Image.Resampling.BILINEAR), np.float64)
        logit += weight * (small / 255 - mean) / std
    return 1 / (1 + np.exp(-logit))


def noisy(height: int, width: int) -> NDArray[np.uint8]:
    rng = np.random.default_rng(height * 10_000 + width)
    smooth = cv2.resize(rng.random((4, 4, 3)), (width, height), interpolation=cv2.INTER_LINEAR).reshape(
        height, width, 3
    )
    return np.asarray((smooth * 200 + rng.random((height, width, 3)) * 55).clip(0, 255), np.uint8)


SHAPES = [(1, 1), (3, 2), (48, 48), (47, 49), (97, 61), (150, 90), (32, 400), (400, 32), (333, 517)]


@pytest.mark.parametrize("shape", SHAPES)
def test_resize_and_normalisation_are_those_of_pillow(
    mixture: onnxruntime.InferenceSession, shape: tuple[int, int]
) -> None:
    image = noisy(*shape)
    (prob,) = mixture.run(["prob"], {"image": image[None]})
    np.testing.assert_allclose(prob[0, 0], pillow_prob(image), atol=2e-6)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_mask_is_the_probability_map_brought_back_by_opencv(
    mixture: onnxruntime.InferenceSession, shape: tuple[int, int]
) -> None:
    prob, mask = mixture.run(["prob", "mask"], {"image": noisy(*shape)[None]})
    full = cv2.resize(prob[0, 0], shape[::-1], interpolation=cv2.INTER_LINEAR).reshape(shape)
    clear = np.abs(full - THRESHOLD) > 1e-5
    assert mask.dtype == np.uint8
    assert set(np.unique(mask)) <= {0, 255}
    np.testing.assert_array_equal((mask[0] == 255)[clear], (full >= THRESHOLD)[clear])


def test_a_pixel_at_the_threshold_is_lesion(tmp_path: Path) -> None:
    """Half is half: a logit of 0 gives a probability of exactly 0.5, and >= is the rule."""

    class Zero(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x[:, :1] * 0

    path = fused_model(tmp_path / "zero.onnx", Zero(), Stages(8), MEAN, STD)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (mask,) = session.run(["mask"], {"image": noisy(8, 8)[None]})
    assert (mask == 255).all()


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((75, 50, 3), np.uint8),
        np.full((75, 50, 3), 255, np.uint8),
        np.full((1, 1, 3), 90, np.uint8),
        noisy(64, 64),
        noisy(32, 1000),
        noisy(1000, 32),
        blobs(np.random.default_rng(1), 133, 201)[0],
        blobs(np.random.default_rng(2), 601, 450)[0],
    ],
    ids=["black", "white", "1x1", "at size", "wide", "thin", "odd", "portrait"],
)
def test_the_graph_computes_what_the_original_computes(
    session: onnxruntime.InferenceSession, original: Predictor, image: NDArray[np.uint8]
) -> None:
    prob, mask = session.run(None, {"image": image[None]})
    expected_prob, expected_mask = original.prob_and_mask(image)
    np.testing.assert_allclose(prob[0, 0], expected_prob, atol=1e-5)
    assert np.count_nonzero(mask[0] != expected_mask) <= image.shape[0] * image.shape[1] * 1e-4


def test_images_in_one_batch_do_not_touch_each_other(session: onnxruntime.InferenceSession) -> None:
    images = np.stack([noisy(90, 70), np.zeros((90, 70, 3), np.uint8), blobs(np.random.default_rng(3), 90, 70)[0]])
    prob, mask = session.run(None, {"image": images})
    for index in range(3):
        alone_prob, alone_mask = session.run(None, {"image": images[index : index + 1]})
        np.testing.assert_allclose(prob[index], alone_prob[0], atol=1e-6)
        assert np.count_nonzero(mask[index] != alone_mask[0]) <= 2


def test_the_reference_implementation_of_onnx_agrees(folder: Path) -> None:
    """The file means the same to a runtime that shares no code with onnxruntime."""
    path = tiny_model(folder / "reference.onnx")
    image = blobs(np.random.default_rng(4), TINY_SIZE, TINY_SIZE)[0][None]
    prob, mask = map(np.asarray, ReferenceEvaluator(str(path)).run(None, {"image": image}))
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    ours_prob, ours_mask = session.run(None, {"image": image})
    np.testing.assert_allclose(ours_prob, prob, atol=1e-5)
    assert np.count_nonzero(ours_mask != mask) <= 1


def test_the_file_is_self_contained_and_tells_nothing_of_the_machine(folder: Path, repo_root: Path) -> None:
    path = tiny_model(folder / "alone.onnx")
    model = onnx.load(path, load_external_data=False)
    assert not any(entry.external_data for entry in model.graph.initializer)
    assert not any(node.metadata_props or node.doc_string for node in model.graph.node)
    content = path.read_bytes()
    assert str(repo_root).encode() not in content
    assert b"site-packages" not in content
    assert [entry.name for entry in model.graph.input] == ["image"]
    assert [entry.name for entry in model.graph.output] == ["prob", "mask"]
    axes = model.graph.input[0].type.tensor_type.shape.dim
    assert [axis.dim_param or axis.dim_value for axis in axes] == ["batch", "height", "width", 3]


def test_the_networks_own_resizes_have_fixed_scales(tmp_path: Path) -> None:
    """Without them onnxruntime leaves its blocked layout between convolutions (a third slower on CPU)."""

    class Doubling(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            small = nn.functional.avg_pool2d(x, 2)
            return nn.functional.interpolate(small, scale_factor=2, mode="nearest")[:, :1]

    model = onnx.load(fused_model(tmp_path / "doubling.onnx", Doubling(), Stages(16), MEAN, STD))
    constants = {entry.name: numpy_helper.to_array(entry) for entry in model.graph.initializer}
    resizes = [node for node in model.graph.node if node.op_type == "Resize"]
    scales = [constants[node.input[2]].tolist() for node in resizes if len(node.input) == 3]
    assert scales == [[1, 1, 2, 2]]
    assert len(resizes) == 3
    image = noisy(16, 16)  # at size: only the network's own resizes change it
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (prob,) = session.run(["prob"], {"image": image[None]})
    red = (image[..., 0] / 255 - MEAN[0]) / STD[0]
    means = red.reshape(8, 2, 8, 2).mean(axis=(1, 3)).repeat(2, axis=0).repeat(2, axis=1)
    np.testing.assert_allclose(prob[0, 0], 1 / (1 + np.exp(-means)), atol=1e-6)


def test_exporting_prints_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    fused_model(tmp_path / "quiet.onnx", Mixture(), Stages(16), MEAN, STD)
    assert capfd.readouterr() == ("", "")


def test_the_contract_says_little_of_the_training_and_nothing_of_the_machine() -> None:
    training = {
        "recipe": {"encoder_weights": "/home/somebody/weights/mobilenet.pth", "widths": (8, 16)},
        "history": [{"epoch": 1, "val_dice": 0.8}, {"epoch": 2, "val_dice": 0.9}],
    }
    assert describe_training(training) == {
        "recipe": {"encoder_weights": "mobilenet.pth", "widths": [8, 16]},
        "last_epoch": {"epoch": 2, "val_dice": 0.9},
    }

"""What :class:`export.Segmenter` does not take, and says so in a sentence."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from export import Segmenter
from export.errors import ContractError
from seglab.errors import ConfigError, ImageError
from tests.support.artefact import blobs, colour_model

PICTURE = blobs(np.random.default_rng(0), 90, 70)[0]


def png_of(image: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="module")
def segmenter(model_file: Path) -> Segmenter:
    return Segmenter(model_file, "cpu")


NOISE = np.random.default_rng(0).normal(0, 1, (8, 9, 3)).astype(np.float32)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((0, 5, 3), np.uint8), r"uint8 \(0, 5, 3\), without pixels; expected .H, W, 3."),
        (np.zeros((3, 5, 7), np.uint8), r"channels first; .* image.transpose\(1, 2, 0\)"),
        (np.zeros((4, 5, 2), np.uint8), r"uint8 \(4, 5, 2\); expected"),
        (np.zeros(7, np.uint8), r"uint8 \(7,\); expected"),
        (np.zeros((4, 5, 3), np.int64), r"int64 \(4, 5, 3\); expected uint8.*astype\(np.uint8\)"),
        (np.zeros((4, 5, 3), complex), "complex128"),
        (np.array([["a", "b"]]), r"<U1 \(1, 2\); expected pixels. For a table, pass its column of paths"),
        (PICTURE.astype(np.float32), "values up to .*; expected floats from 0 to 1: image / 255"),
        (NOISE, "before any normalisation"),
        (np.full((4, 5, 3), np.nan), "holds NaN or infinity"),
        (np.full((2, 4, 5, 3), np.nan), "holds NaN or infinity"),
        (torch.zeros(3, 5, 3), "channels may be the first axis or the last"),
        (torch.zeros(3, 5, 6).to_sparse(), "does not become an array"),
        (torch.full((3, 5, 6), 200.0), "image / 255"),
        (Image.new("RGB", (0, 4)), "at least one pixel"),
        (Image.open(io.BytesIO(png_of(PICTURE)[:999])), "mode RGB, 70 x 90, which cannot be converted to RGB"),
        (7, "of type int; expected a path, the bytes"),
        (None, "The image is None; expected"),
        ({"a": 1}, "of type dict"),
        (io.StringIO("text"), r"gives str; expected bytes. Open it with open\(path, 'rb'\)"),
        (b"no image", "The encoded image: "),
        (io.BytesIO(), r"The file BytesIO has nothing left to read; expected an image.*file.seek\(0\)"),
        ("a\0b.png", "is not a path"),
        ("absent.png", "absent.png"),
        ("/", "/ is a folder; expected an image file. Pass a list of its files"),
        ("", "The image is an empty string; expected a path"),
        ("/dev/zero", "/dev/zero: It is a device; expected an image file"),
        ("https://a.org/x.jpg", "https://a.org/x.jpg is a URL; expected a file. Download it first, or pass it"),
        (np.array([["a.png", 3]], object), "expected pixels. For a table, pass its column of paths"),
    ],
)
def test_other_things_are_refused_in_a_sentence(segmenter: Segmenter, image: Any, message: str) -> None:
    with pytest.raises(ImageError, match=message) as raised:
        segmenter(image)
    assert "\n" not in str(raised.value)


def test_a_file_that_is_closed_is_refused(segmenter: Segmenter, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png_of(PICTURE))
    with (tmp_path / "a.png").open("rb") as file, Image.open(tmp_path / "a.png") as picture:
        pass
    for closed in (file, picture):
        with pytest.raises(ImageError, match=r"closed|expected an open"):
            segmenter(closed)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"model": 123}, "model is 123; expected the path"),
        ({"model": b"m.onnx"}, "model is b'm.onnx'; expected the path"),
        ({"device": None}, "device is None; expected auto|cpu"),
        ({"device": "gpu"}, "There is no device 'gpu'"),
        ({"threads": "2"}, "threads is '2'; expected a whole number"),
        ({"threads": -1}, "threads is -1; expected a whole number"),
        ({"compute": 16}, "compute is 16; expected fp32 or bf16 or int8"),
        ({"exact": 1}, "exact is 1; expected True or False"),
        ({"model": ""}, "model is ''; expected the path"),
        ({"model": "https://a.org/m.onnx"}, "model is 'https://a.org/m.onnx'; expected the path"),
    ],
)
def test_odd_arguments_are_refused_in_a_sentence(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        Segmenter(**arguments)
    assert message in str(raised.value)


def test_a_file_that_is_no_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="does not exist"):
        Segmenter(tmp_path / "absent.onnx")


@pytest.mark.slow
def test_more_classes_than_a_mask_can_number_are_refused(tmp_path: Path) -> None:
    most = colour_model(tmp_path / "most.onnx", [f"c{number}" for number in range(256)])
    assert Segmenter(most, "cpu")(PICTURE).mask.max() <= 2
    more = colour_model(tmp_path / "more.onnx", [f"c{number}" for number in range(257)])
    with pytest.raises(ContractError, match="has 257 classes; expected at most 256"):
        Segmenter(more, "cpu")

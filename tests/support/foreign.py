"""Networks of other people, made by hand as ONNX graphs, and their masks worked out by Pillow and numpy alone.

All of them take what is dark for lesion; they differ in what they take and give.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper
from PIL import Image, ImageDraw, ImageFilter

SIDE = 64
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
WEIGHT, BIAS = -0.4, -0.3
"""Of each channel, and of the sum: probabilities are not near 0 or 1, so that a second sigmoid would show."""

Array = NDArray[Any]


def value(name: str, *shape: int | str | None, kind: int = TensorProto.FLOAT) -> ValueInfoProto:
    """Return an input or output; its batch axis is named by a string."""
    return helper.make_tensor_value_info(name, kind, list(shape))


def dark(source: str = "x", to: str = "logits") -> NodeProto:
    """Return the network itself: ``(N, 3, S, S)`` to logits ``(N, 1, S, S)``."""
    return helper.make_node("Conv", [source, "dark_weight", "dark_bias"], [to])


def write(
    path: Path,
    nodes: Sequence[NodeProto],
    taken: ValueInfoProto | Sequence[ValueInfoProto] | None = None,
    given: ValueInfoProto | Sequence[ValueInfoProto] | None = None,
    constants: dict[str, Array] | None = None,
    opset: int = 17,
    **settings: Any,
) -> Path:
    """Write a graph of ``nodes``; without more, it takes ``x`` ``(b, 3, S, S)`` and gives ``logits`` of one class."""
    taken = taken if taken is not None else value("x", "b", 3, SIDE, SIDE)
    given = given if given is not None else value("logits", "b", 1, SIDE, SIDE)
    weights = {
        "dark_weight": np.full((1, 3, 1, 1), WEIGHT, np.float32),
        "dark_bias": np.array([BIAS], np.float32),
        **(constants or {}),
    }
    graph = helper.make_graph(
        list(nodes),
        "foreign",
        [taken] if isinstance(taken, ValueInfoProto) else list(taken),
        [given] if isinstance(given, ValueInfoProto) else list(given),
        [numpy_helper.from_array(entry, name) for name, entry in weights.items()],
    )
    settings = {"ir_version": 8, "opset_imports": [helper.make_opsetid("", opset)], **settings}
    onnx.save(helper.make_model(graph, **settings), path)
    return path


def photographs(folder: Path) -> Path:
    """Write three pictures of a dark spot, with its mask, and return the folder."""
    for index, (width, height) in enumerate(((160, 120), (130, 170), (200, 150))):
        box = (0.3 * width, 0.3 * height, 0.7 * width, 0.75 * height)
        image, mask = Image.new("RGB", (width, height), (224, 180, 160)), Image.new("L", (width, height))
        ImageDraw.Draw(image).ellipse(box, fill=(70 + 10 * index, 55, 45))
        ImageDraw.Draw(mask).ellipse(box, fill=255)
        for name, drawn in (("images", image.filter(ImageFilter.GaussianBlur(3))), ("masks", mask)):
            (folder / name).mkdir(parents=True, exist_ok=True)
            drawn.save(folder / name / f"p{index}.png")
    return folder


def fitted(image: Array, size: int = SIDE) -> Array:
    """Return an image ``(H, W, 3)`` as float planes ``(3, S, S)`` on 0-255, by Pillow."""
    planes = [Image.fromarray(plane.astype(np.float32)) for plane in np.moveaxis(image, 2, 0)]
    return np.stack([np.asarray(plane.resize((size, size), Image.Resampling.BILINEAR)) for plane in planes])


def normalised(planes: Array, mean: Sequence[float] = IMAGENET[0], std: Sequence[float] = IMAGENET[1]) -> Array:
    """Return planes ``(3, S, S)`` on 0-255 less mean, divided by std, both on the scale 0-1."""
    return np.asarray((planes / 255 - np.reshape(mean, (-1, 1, 1))) / np.reshape(std, (-1, 1, 1)))


def logits(planes: Array, weights: Sequence[float] = (WEIGHT, WEIGHT, WEIGHT), bias: float = BIAS) -> Array:
    """Return what the network makes of planes ``(3, S, S)``: ``(S, S)``."""
    return np.asarray(np.tensordot(np.array(weights), planes, axes=1) + bias)


def sigmoid(values: Array) -> Array:
    """Return the sigmoid."""
    return np.asarray(1 / (1 + np.exp(-values)))


def full_mask(prob: Array, image: Array, threshold: float = 0.5) -> Array:
    """Return the mask ``(H, W)`` of probabilities ``(S, S)``: enlarged by Pillow, which is bilinear then."""
    height, width = image.shape[:2]
    plane = Image.fromarray(prob.astype(np.float32)).resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(np.where(np.asarray(plane) >= threshold, 255, 0), np.uint8)


def dice(mask: Array, expected: Array) -> float:
    """Return the Dice of two masks; both have to hold some lesion and some skin."""
    for each in (mask, expected):
        assert set(np.unique(each)) == {0, 255}
    common = np.count_nonzero(np.logical_and(mask, expected))
    return 2 * common / (np.count_nonzero(mask) + np.count_nonzero(expected))

"""From probabilities to mask files: our own PNG and the 8-bit way back, beside what libraries do."""

from __future__ import annotations

import io
from collections.abc import Callable

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pytest_benchmark.fixture import BenchmarkFixture

from batch.outputs.png import encode_mask
from batch.steps.masks import mask_of
from seglab.images.masks import read_mask
from seglab.synth import synthesise

SIZES = [(450, 600), (2848, 4288)]
THRESHOLD = 0.5
MOST_FLIPPED = 1e-3

Mask = NDArray[np.uint8]


def by_opencv(mask: Mask) -> bytes:
    """Encode with OpenCV's bilevel mode, its quickest settings."""
    options = [cv2.IMWRITE_PNG_BILEVEL, 1, cv2.IMWRITE_PNG_COMPRESSION, 1]
    return bytes(cv2.imencode(".png", mask, options)[1].tobytes())


def by_pillow(mask: Mask) -> bytes:
    """Encode with Pillow's mode ``1``."""
    buffer = io.BytesIO()
    Image.fromarray(mask).convert("1").save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def by_float(prob: NDArray[np.float32], threshold: float, size: tuple[int, int]) -> Mask:
    """Resize the probabilities as they are, then threshold."""
    full = cv2.resize(prob, size[::-1], interpolation=cv2.INTER_LINEAR)
    return np.where(full >= threshold, np.uint8(255), np.uint8(0))


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("encode", [encode_mask, by_opencv, by_pillow])
def test_png(benchmark: BenchmarkFixture, encode: Callable[[Mask], bytes], size: tuple[int, int]) -> None:
    mask = synthesise(*size, seed=3).mask
    benchmark.group = f"PNG {size}"
    data = benchmark(encode, mask)
    assert np.array_equal(read_mask(data), mask)


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("enlarge", [mask_of, by_float])
def test_way_back(
    benchmark: BenchmarkFixture,
    enlarge: Callable[[NDArray[np.float32], float, tuple[int, int]], Mask],
    size: tuple[int, int],
) -> None:
    lesion = synthesise(192, 192, seed=3).mask.astype(np.float32) / 255
    prob = np.asarray(cv2.GaussianBlur(lesion, (0, 0), 3), np.float32)  # (S, S), soft at the border
    benchmark.group = f"way back {size}"
    mask = benchmark(enlarge, prob, THRESHOLD, size)
    assert np.mean(mask != by_float(prob, THRESHOLD, size)) < MOST_FLIPPED

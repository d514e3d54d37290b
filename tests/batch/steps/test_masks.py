"""From probabilities to masks: against floats, Pillow, OpenCV and SciPy."""

from __future__ import annotations

import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from sklearn.metrics import f1_score

from batch.outputs.png import decode_mask, encode_mask
from batch.steps.masks import figures_of, mask_of, to_levels
from export.runtime.masks import confidence
from seglab.errors import ImageError

SHAPES = ((1, 1), (1, 9), (7, 1), (8, 8), (33, 17), (120, 251))


def soft_blob(seed: int, size: int = 64) -> NDArray[np.float32]:
    """A probability map with a border as soft as networks make them."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:size, :size]
    angle = np.arctan2(rows - size / 2, columns - size / 2)
    radius = size * (0.25 + 0.05 * np.sin(angle * rng.integers(2, 7) + rng.uniform(0, 6)))
    distance = np.hypot(rows - size / 2, columns - size / 2) - radius
    return np.asarray(1 / (1 + np.exp(distance / rng.uniform(0.3, 2))), np.float32)


def f1_score_of(prob: NDArray[np.float32], lesion: NDArray[np.bool_]) -> float:
    """The Dice of a mask to a truth, of which each pixel holds ``prob``, by scikit-learn: a pixel counts for both."""
    truth = np.repeat([True, False], lesion.size)
    weights = np.concatenate([prob.ravel(), 1 - prob.ravel()])
    return float(f1_score(truth, np.tile(lesion.ravel(), 2), sample_weight=weights))


@pytest.mark.parametrize("bits", [1, 8])
@pytest.mark.parametrize("shape", SHAPES)
def test_png_reads_back_by_pillow_and_opencv(shape: tuple[int, int], bits: int) -> None:
    mask = np.random.default_rng(shape[1]).choice(np.array([0, 255], np.uint8), shape)
    data = encode_mask(mask, bits)
    with Image.open(io.BytesIO(data)) as image:
        image.verify()
    with Image.open(io.BytesIO(data)) as image:
        assert image.mode == ("1" if bits == 1 else "L")
        np.testing.assert_array_equal(np.asarray(image.convert("L")), mask)
    np.testing.assert_array_equal(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED), mask)


@pytest.mark.parametrize("threshold", [0.05, 0.3, 0.5, 0.77, 0.999])
def test_levels_decide_as_the_floats_do(threshold: float) -> None:
    prob = np.linspace(0, 1, 100_001, dtype=np.float32).reshape(1, -1)
    levels = to_levels(prob, threshold)
    differ = prob[(levels >= 128) != (prob >= threshold)]
    assert np.all(np.abs(differ - threshold) < 1e-6)
    assert np.all(np.diff(levels.astype(int)) >= 0)  # the map is monotonous
    assert np.ptp(levels) >= 127  # and uses the range


def test_a_probability_of_exactly_the_threshold_is_lesion() -> None:
    assert to_levels(np.full((2, 2), 0.5, np.float32), 0.5).min() == 128


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 1000), threshold=st.floats(0.2, 0.8), height=st.integers(20, 700), width=st.integers(20, 700)
)
def test_masks_differ_from_the_float_path_on_the_contour_only(
    seed: int, threshold: float, height: int, width: int
) -> None:
    prob = soft_blob(seed)
    resized = cv2.resize(prob, (width, height), interpolation=cv2.INTER_LINEAR)
    differ = mask_of(prob, threshold, (height, width)) != np.where(resized >= threshold, 255, 0)
    level = max(threshold, 1 - threshold) / 127.5  # one uint8 step, as a probability: rounded twice, half a step each
    assert np.all(np.abs(resized[differ] - threshold) < 1.5 * level)
    assert np.count_nonzero(differ) <= max(10, 4e-3 * differ.size)  # few pixels of a tiny image are a large share


def test_the_share_of_flipped_pixels_is_small() -> None:
    flipped = []
    for seed in range(10):
        prob = soft_blob(seed, 256)
        resized = cv2.resize(prob, (600, 450), interpolation=cv2.INTER_LINEAR)
        flipped.append(np.mean((mask_of(prob, 0.5, (450, 600)) > 0) != (resized >= 0.5)))
    assert np.mean(flipped) < 1e-4


@pytest.mark.parametrize("seed", range(4))
def test_figures_against_scipy(seed: int) -> None:
    rng = np.random.default_rng(seed)
    mask = np.zeros((40, 60), np.uint8)
    y, x = int(rng.integers(0, 30)), int(rng.integers(0, 50))
    mask[y : y + 7, x : x + 5] = 255
    prob = rng.random((32, 32), np.float32)
    figures = figures_of(mask, prob, 0.5)
    rows, columns = ndimage.find_objects((mask > 0).astype(int))[0]
    assert figures.bbox == (columns.start, rows.start, columns.stop, rows.stop)
    assert figures.lesion_area == ndimage.sum_labels(mask > 0) == 35
    assert figures.lesion_fraction == pytest.approx(35 / 2400)
    assert (figures.height, figures.width) == (40, 60)
    lesion = prob >= 0.5
    assert figures.confidence == pytest.approx(f1_score_of(prob, lesion), abs=1e-6)


def test_an_empty_mask_has_no_box() -> None:
    figures = figures_of(np.zeros((5, 6), np.uint8), np.zeros((4, 4), np.float32), 0.5)
    assert (figures.lesion_area, figures.bbox, figures.confidence) == (0, None, 0.0)


def test_confidence_by_hand() -> None:
    assert confidence(np.full((8, 8), 0.5, np.float32), 0.5) == pytest.approx(2 * 32 / (32 + 64))  # all of it is mask
    prob = np.array([[0.8, 0.6], [0.4, 0.0]], np.float32)
    assert confidence(prob, 0.5) == pytest.approx(2 * 1.4 / (1.8 + 2))
    assert confidence(prob, 0.7) == pytest.approx(2 * 0.8 / (1.8 + 1))
    assert confidence(prob, 0.9) == 0.0


def test_confidence_is_the_dice_of_truths_drawn_from_the_map() -> None:
    """On a map of many pixels, the mean Dice to truths whose pixels are drawn with its probabilities."""
    prob = soft_blob(4)
    mask = (prob >= 0.5).ravel()
    truths = np.random.default_rng(0).random((200, prob.size)) < prob.ravel()
    dice = np.mean([f1_score(truth, mask) for truth in truths])
    assert confidence(prob, 0.5) == pytest.approx(dice, abs=2e-3)


def test_confidence_of_two_classes_is_that_of_lesion_or_not() -> None:
    prob = soft_blob(7)
    assert confidence(np.stack([1 - prob, prob]), 0.5) == pytest.approx(confidence(prob, 0.5), abs=1e-5)


@pytest.mark.parametrize("size", [(33, 70), (16, 16), (200, 9)])
@pytest.mark.parametrize("steps", [3, 1000])
def test_labels_are_numbers_of_the_likeliest_class(size: tuple[int, int], steps: int) -> None:
    drawn = np.random.default_rng(steps).integers(0, steps, (5, 16, 16))  # some are equal
    prob = drawn.astype(np.float32) / np.float32(steps)
    before = prob.copy()
    planes = [cv2.resize(plane, size[::-1], interpolation=cv2.INTER_LINEAR) for plane in prob]
    labels = mask_of(prob, 0.5, size)
    assert labels.dtype == np.uint8
    np.testing.assert_array_equal(labels, np.argmax(planes, axis=0))
    np.testing.assert_array_equal(prob, before)


def test_figures_of_labels_by_hand() -> None:
    labels = np.zeros((4, 6), np.uint8)
    labels[1, 2], labels[2, 4] = 1, 7
    prob = np.array([[[0.5, 0.1]], [[0.3, 0.8]], [[0.2, 0.1]]], np.float32)
    figures = figures_of(labels, prob, 0.5)
    assert (figures.lesion_area, figures.bbox) == (2, (2, 1, 5, 3))
    assert figures.confidence == pytest.approx(2 * 0.8 / (0.3 + 0.8 + 0.2 + 0.1 + 1))  # the first pixel is background


def test_label_maps_are_read_as_they_were_written() -> None:
    labels = np.random.default_rng(0).integers(0, 256, (9, 11), np.uint8)
    np.testing.assert_array_equal(decode_mask(encode_mask(labels), 256), labels)


@pytest.mark.parametrize("mode", ["RGB", "1", "I;16", "P", "LA"])
def test_other_pictures_are_no_label_maps(mode: str) -> None:
    buffer = io.BytesIO()
    Image.new(mode, (4, 4)).save(buffer, "png")
    with pytest.raises(ImageError, match=r"Not the label map of these classes: .*; expected one channel of 8-bit grey"):
        decode_mask(buffer.getvalue(), 3)


@pytest.mark.parametrize("bits", [1, 8])
def test_png_is_what_zlib_writes_too(bits: int) -> None:
    """So masks do not depend on how zlib-ng was built, and those of earlier releases have the same bytes."""
    mask = np.where(soft_blob(5, 300) > 0.5, np.uint8(255), np.uint8(0))
    rows = np.packbits(mask, axis=1) if bits == 1 else mask
    plain = np.pad(rows, ((0, 0), (1, 0))).tobytes()
    deflate = zlib.compressobj(1, zlib.DEFLATED, zlib.MAX_WBITS, zlib.DEF_MEM_LEVEL, zlib.Z_RLE)
    data = encode_mask(mask, bits)
    length = struct.unpack_from(">I", data, 33)[0]
    packed = data[41 : 41 + length]
    assert zlib.decompress(packed) == plain
    assert abs(len(packed) - len(deflate.compress(plain) + deflate.flush())) <= 16

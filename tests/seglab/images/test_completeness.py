"""Copies that are still in progress are refused, and black borders are not."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from seglab.errors import ImageError
from seglab.images.reader import read_photo
from tests.support.partial_copies import BLOCK, HEIGHT, WHOLE, WIDTH, cut, encoded


@pytest.mark.parametrize("name", WHOLE)
def test_a_copy_under_way_is_refused_and_the_whole_one_is_not(name: str) -> None:
    whole = WHOLE[name]()
    assert read_photo(whole).size == (HEIGHT, WIDTH)
    blocks = [BLOCK, 512] if len(whole) > 4 * BLOCK else [512]
    for data in [cut(whole, share, block) for share in (0.31, 0.55, 0.83) for block in (1, *blocks)]:
        with pytest.raises(ImageError, match=r"zeros instead of image data|Damaged image"):
            read_photo(data)


def bordered(kind: str, size: tuple[int, int]) -> NDArray[np.uint8]:
    """A photograph with an exactly black border below, as a scan, a dermatoscope or a mosaic leaves it."""
    height, width = size
    rows, columns = np.mgrid[:height, :width]
    inside = {
        "black": np.zeros(size, bool),
        "straight": rows < height * 0.7,
        "frame": (rows < height * 0.8) & (rows > 5) & (columns > 9) & (columns < width - 9),
        "round": np.hypot(rows - height * 0.4, columns - width / 2) < 0.5 * height,
        "slanting": rows < height * 0.7 - 0.02 * columns,
        "slanting back": rows < height * 0.5 + 0.3 * columns,
        "corner cut": (rows < height * 0.8) & (rows + columns < height * 0.75 + width),
        "half": (rows < height * 0.6) & (columns < width * 0.6),
    }[kind]
    skin = np.random.default_rng(height).normal(170, 8, (*size, 3)).clip(60, 255)
    return np.asarray(skin * inside[..., None], np.uint8)


SHAPES = ("black", "straight", "frame", "round", "slanting", "slanting back", "corner cut", "half")


@pytest.mark.parametrize("shape", SHAPES)
def test_a_genuine_black_border_is_no_copy_under_way(shape: str) -> None:
    for size in ((90, 120), (128, 256), (201, 333), (256, 1024)):
        image = Image.fromarray(bordered(shape, size))
        for upright in (image, image.transpose(Image.Transpose.FLIP_TOP_BOTTOM)):
            files = [
                encoded("BMP", upright), encoded("BMP", upright.convert("L")), encoded("TIFF", upright),
                encoded("TIFF", upright, compression="packbits"), encoded("PNG", upright), encoded("WEBP", upright),
                encoded("WEBP", upright, lossless=True, quality=0, method=0),
            ]  # fmt: skip
            assert [read_photo(data).size for data in files] == [size] * len(files)


def test_a_black_webp_ends_in_zeros_that_it_needs() -> None:
    data = encoded("WEBP", Image.new("RGB", (3000, 2000)))
    assert data[-300:] == bytes(300)
    assert read_photo(data).size == (2000, 3000)

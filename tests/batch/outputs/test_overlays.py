"""Pictures of outlines: what they say in their corner."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from batch.outputs.overlays import draw_overlay
from seglab.images.pictures import caption_of

LIGHT, DARK = (240, 215, 200), (60, 40, 32)


def drawn(
    tmp_path: Path, colour: tuple[int, int, int], size: tuple[int, int], *, has_lesion: bool
) -> NDArray[np.uint8]:
    """Draw the picture of a photograph of one colour, ``size`` (W, H); return it, uint8 (H, W, 3)."""
    data = io.BytesIO()
    Image.new("RGB", size, colour).save(data, "PNG")
    mask = np.zeros(size[::-1], np.uint8)
    if has_lesion:
        mask[size[1] // 3 : size[1] // 2, size[0] // 3 : size[0] // 2] = 255
    draw_overlay(data.getvalue(), mask, tmp_path, "a.png")
    with Image.open(next(tmp_path.glob("a.*"))) as picture:
        return np.asarray(picture.convert("RGB"))


def corner(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the lower left tenth of a picture's height, as wide as a third of it: grey."""
    height, width = picture.shape[:2]
    return np.asarray(picture[-height // 10 :, : width // 3].mean(axis=2), np.uint8)


@pytest.mark.parametrize("colour", [LIGHT, DARK])
@pytest.mark.parametrize(("size", "has_lesion"), [((600, 450), False), ((3000, 2000), False), ((3000, 2000), True)])
def test_the_corner_is_read_on_every_skin(
    tmp_path: Path, colour: tuple[int, int, int], size: tuple[int, int], has_lesion: bool
) -> None:
    picture = drawn(tmp_path, colour, size, has_lesion=has_lesion)
    found = corner(picture)
    assert (found < 20).mean() > 0.1  # the field
    assert (found > 235).sum() > 0.02 * (found < 20).sum()  # letters
    outside = picture[: picture.shape[0] // 4]
    assert np.abs(outside.astype(int) - colour).max() < 12  # as it was, but for JPEG


@pytest.mark.parametrize("colour", [LIGHT, DARK])
def test_a_picture_that_shows_all_says_nothing(tmp_path: Path, colour: tuple[int, int, int]) -> None:
    found = corner(drawn(tmp_path, colour, (600, 450), has_lesion=True))
    assert np.abs(found.astype(float) - np.mean(colour)).max() < 12


def test_a_picture_that_is_too_small_for_letters_is_not_covered(tmp_path: Path) -> None:
    picture = drawn(tmp_path, LIGHT, (24, 18), has_lesion=False)
    assert np.abs(picture.astype(int) - LIGHT).max() < 12


@pytest.mark.parametrize(
    ("is_empty", "scale", "caption"),
    [
        (False, 1.0, ""),
        (True, 1.0, "no lesion found"),
        (False, 0.25, "1:4"),
        (False, 1024 / 4288, "1:4.2"),
        (True, 0.5, "no lesion found, 1:2"),
        (False, 1024 / 1030, ""),
    ],
)
def test_captions(is_empty: bool, scale: float, caption: str) -> None:
    assert caption_of(np.full((2, 2), 0 if is_empty else 255, np.uint8), scale) == caption

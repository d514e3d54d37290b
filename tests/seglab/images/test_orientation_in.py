"""What an image file says of its orientation, in every format, is what the reader turns it by."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from seglab.images.pixels.orientation import orientation_in, upright
from seglab.images.reader import read_image

PIXELS = np.zeros((40, 60, 3), np.uint8)
PIXELS[:20, :30] = (250, 60, 60)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_reader_turns_by_the_same(tmp_path: Path, suffix: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"image{suffix}"
    options: dict[str, Any] = {"quality": 95} if suffix != ".png" else {}
    Image.fromarray(PIXELS).save(path, exif=exif, **options)
    assert orientation_in(path) == orientation
    turned = upright(PIXELS, orientation_in(path)).astype(int)
    assert np.abs(read_image(path) - turned).mean() < 6


@pytest.mark.parametrize("content", [b"", b"text", b"\xff\xd8\xff\xe1"])
def test_what_cannot_be_read_has_none(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "image.jpg"
    path.write_bytes(content)
    assert orientation_in(path) == 1
    assert orientation_in(tmp_path / "gone.jpg") == 1

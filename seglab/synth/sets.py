"""Folders of synthetic images with their masks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from seglab.errors import ConfigError, SeglabError
from seglab.files import write_bytes
from seglab.synth.scene import synthesise

_JPEG = [cv2.IMWRITE_JPEG_QUALITY, 90]


def write_set(out: Path, count: int, sizes: Sequence[tuple[int, int]], seed: int) -> list[Path]:
    """Write ``count`` images and masks, and return the images' paths.

    They are ``out/images/synth_00000.jpg`` (JPEG, quality 90) and ``out/masks/synth_00000.png`` (8 bit, 0/255), and
    so on. Image ``i`` has the ``i``-th of ``sizes = [(H, W), ...]``, which go round. The same arguments give the same
    bytes, and a longer set begins with the shorter one.

    Raises:
        ConfigError: no size, a size too small, or a negative count or seed.
    """
    if not sizes or count < 0 or seed < 0:
        raise ConfigError(
            f"cannot draw {count} images of {len(sizes)} sizes with seed {seed}: "
            "give at least one size, and a count and a seed from 0 up"
        )
    return [_write_pair(out, index, sizes[index % len(sizes)], seed) for index in range(count)]


def _write_pair(out: Path, index: int, size: tuple[int, int], seed: int) -> Path:
    own = int(np.random.SeedSequence([seed, index]).generate_state(1, np.uint64)[0])
    pair = synthesise(*size, own)
    image, mask = out / "images" / f"synth_{index:05d}.jpg", out / "masks" / f"synth_{index:05d}.png"
    write_bytes(mask, _encode(".png", pair.mask, []))
    write_bytes(image, _encode(".jpg", np.ascontiguousarray(pair.image[..., ::-1]), _JPEG))
    return image


def _encode(suffix: str, pixels: NDArray[np.uint8], options: Sequence[int]) -> bytes:
    done, data = cv2.imencode(suffix, pixels, list(options))
    if not done:
        raise SeglabError(f"OpenCV could not encode a {suffix} file of shape {pixels.shape}; try a smaller size")
    return data.tobytes()

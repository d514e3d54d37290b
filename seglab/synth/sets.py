"""Folders of synthetic images with their masks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from seglab.errors import ConfigError, SeglabError, WriteError
from seglab.files import write_bytes
from seglab.synth.scene import synthesise

_JPEG = [cv2.IMWRITE_JPEG_QUALITY, 90]


def write_set(out: Path, count: int, sizes: Sequence[tuple[int, int]], seed: int) -> list[Path]:
    """Write ``count`` images and masks, and return the images' paths.

    The files are ``out/images/synth_00000.jpg`` (JPEG, quality 90), ``out/masks/synth_00000.png`` (8 bit, 0/255), and
    so on. The ``sizes = [(H, W), ...]`` are used in turn. The same arguments give the same bytes, and a longer set
    begins with the shorter one.

    Raises:
        ConfigError: no size, a size too small, or a negative count or seed.
        WriteError: one of the files exists with other content; then nothing is written.
    """
    if not sizes or count < 0 or seed < 0:
        raise ConfigError(
            f"There are {len(sizes)} sizes, the count is {count} and the seed {seed}; expected at least one size, and "
            "a count and a seed from 0."
        )

    def files(index: int) -> dict[Path, bytes]:
        return _pair(out, index, sizes[index % len(sizes)], seed)

    begun = [index for index in range(count) if any(path.exists() for path in _paths(out, index))]
    for index in begun:  # check all before the first is written
        _require_equal(files(index))
    whole = {index for index in begun if all(path.exists() for path in _paths(out, index))}
    for index in range(count):
        if index not in whole:
            for path, data in files(index).items():
                write_bytes(path, data)
    return [_paths(out, index)[1] for index in range(count)]


def _paths(out: Path, index: int) -> tuple[Path, Path]:
    """Return where mask and image go."""
    return out / "masks" / f"synth_{index:05d}.png", out / "images" / f"synth_{index:05d}.jpg"


def _pair(out: Path, index: int, size: tuple[int, int], seed: int) -> dict[Path, bytes]:
    own = int(np.random.SeedSequence([seed, index]).generate_state(1, np.uint64)[0])
    pair = synthesise(*size, own)
    mask, image = _paths(out, index)
    return {
        mask: _encode(".png", pair.mask, []),
        image: _encode(".jpg", np.ascontiguousarray(pair.image[..., ::-1]), _JPEG),
    }


def _require_equal(files: dict[Path, bytes]) -> None:
    for path, data in files.items():
        if path.exists() and path.read_bytes() != data:
            raise WriteError(
                f"{path} exists and is another picture than the one to be written, so it is not overwritten. Name a "
                "new --out, or remove it."
            )


def _encode(suffix: str, pixels: NDArray[np.uint8], options: Sequence[int]) -> bytes:
    done, data = cv2.imencode(suffix, pixels, list(options))
    if not done:
        raise SeglabError(f"OpenCV could not encode a {suffix} file of shape {pixels.shape}. Try a smaller size.")
    return data.tobytes()

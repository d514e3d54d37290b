"""Pictures that people look at: contours over an image."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from seglab.errors import ConfigError
from seglab.files import write_bytes

PREDICTION = (0, 255, 255)
TRUTH = (255, 200, 0)
HALO = (0, 0, 0)
JPEG_QUALITY = 92


def overlay(
    image: NDArray[np.uint8], mask: NDArray[np.uint8], truth: NDArray[np.uint8] | None = None
) -> NDArray[np.uint8]:
    """Return ``image``, uint8 ``(H, W, 3)`` RGB, with the outline of ``mask`` (cyan) and of ``truth`` (amber).

    Masks are uint8 ``(H, W)``, non-zero is lesion. Lines are as wide as the picture can bear, on a dark halo.
    """
    picture = np.ascontiguousarray(image).copy()
    width = max(1, round(max(picture.shape[:2]) / 300))
    for outlined, colour in ((truth, TRUTH), (mask, PREDICTION)):
        if outlined is None:
            continue
        contours, _ = cv2.findContours(outlined, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(picture, contours, -1, HALO, width + 2, cv2.LINE_AA)
        cv2.drawContours(picture, contours, -1, colour, width, cv2.LINE_AA)
    return picture


def write_image(path: Path, rgb: NDArray[np.uint8], top: Path | None = None) -> None:
    """Write uint8 ``(H, W, 3)`` RGB as PNG or JPEG, by the suffix, as a whole or not at all.

    Missing folders are made, those below ``top`` if that is given.
    """
    if path.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise ConfigError(f"{path.name}: pictures are written as .png or .jpg; give it one of these suffixes.")
    settings = [] if path.suffix.lower() == ".png" else [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    _, encoded = cv2.imencode(path.suffix, rgb[..., ::-1], settings)
    write_bytes(path, encoded.tobytes(), top)

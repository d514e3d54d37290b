"""Overlays: contours over an image."""

from __future__ import annotations

import zlib
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from seglab.errors import ConfigError
from seglab.files import write_bytes

PREDICTION = (0, 255, 255)
TRUTH = (255, 200, 0)
CLASS_COLOURS = (PREDICTION, TRUTH, (255, 0, 255), (0, 255, 0), (80, 120, 255), (255, 80, 0), (255, 255, 255))
"""Colours of the classes 1, 2, 3 and so on, repeated for more classes."""
HALO = (0, 0, 0)
JPEG_QUALITY = 92
PNG_HEAD = 33
"""Length in bytes of a PNG's signature and IHDR."""


def overlay(
    image: NDArray[np.uint8], mask: NDArray[np.uint8], truth: NDArray[np.uint8] | None = None
) -> NDArray[np.uint8]:
    """Return ``image``, uint8 ``(H, W, 3)`` RGB, with the outline of ``mask`` (cyan) and of ``truth`` (amber).

    Masks are uint8 ``(H, W)``, non-zero is lesion. Lines have a dark halo, and a width by the image's size.
    """
    picture, width = _canvas(image)
    for outlined, colour in ((truth, TRUTH), (mask, PREDICTION)):
        if outlined is None:
            continue
        contours, _ = cv2.findContours(outlined, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(picture, contours, -1, HALO, width + 2, cv2.LINE_AA)
        cv2.drawContours(picture, contours, -1, colour, width, cv2.LINE_AA)
    return picture


def label_overlay(image: NDArray[np.uint8], labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return ``image``, uint8 ``(H, W, 3)`` RGB, with the outline of each class but 0 in its :data:`CLASS_COLOURS`.

    ``labels``: uint8 ``(H, W)``, numbers of classes.
    """
    picture, width = _canvas(image)
    found = {}
    for number in filter(None, np.unique(labels).tolist()):
        region = np.asarray(cv2.inRange(labels, number, number), np.uint8)
        found[number], _ = cv2.findContours(region, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    for contours in found.values():  # before any line, because classes may touch
        cv2.drawContours(picture, contours, -1, HALO, width + 2, cv2.LINE_AA)
    for number, contours in found.items():
        colour = CLASS_COLOURS[(number - 1) % len(CLASS_COLOURS)]
        cv2.drawContours(picture, contours, -1, colour, width, cv2.LINE_AA)
    return picture


def _canvas(image: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], int]:
    """Return a copy to draw on, and the width of lines."""
    picture = np.ascontiguousarray(image).copy()
    return picture, max(1, round(max(picture.shape[:2]) / 300))


def write_image(path: Path, rgb: NDArray[np.uint8], top: Path | None = None, *, mark: bytes = b"") -> None:
    """Write uint8 ``(H, W, 3)`` RGB as PNG or JPEG, by the suffix, atomically.

    Missing folders are created, only those below ``top`` if that is given. ``mark``: a comment in the file.
    """
    if path.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise ConfigError(f"{path.name}: pictures are written as .png or .jpg; give it one of these suffixes.")
    settings = [] if path.suffix.lower() == ".png" else [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    _, encoded = cv2.imencode(path.suffix, rgb[..., ::-1], settings)
    write_bytes(path, _marked(encoded.tobytes(), mark) if mark else encoded.tobytes(), top)


def _marked(data: bytes, mark: bytes) -> bytes:
    """Insert a comment after the header of a PNG, or at the beginning of a JPEG."""
    if data.startswith(b"\xff\xd8"):
        return data[:2] + b"\xff\xfe" + (len(mark) + 2).to_bytes(2, "big") + mark + data[2:]
    chunk = b"tEXtComment\0" + mark
    comment = (len(chunk) - 4).to_bytes(4, "big") + chunk + zlib.crc32(chunk).to_bytes(4, "big")
    return data[:PNG_HEAD] + comment + data[PNG_HEAD:]

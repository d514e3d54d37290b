"""Pictures of a bounded size that show a mask's outline over its image."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from batch.naming import overlay_path
from seglab.images.outlines import label_overlay, overlay, write_image
from seglab.images.reader import read_photo

LONGEST_SIDE = 1024


def draw_overlay(image: bytes, mask: NDArray[np.uint8], overlays: Path, name: str, *, are_labels: bool = False) -> None:
    """Write an ``image`` (the bytes of its file) with the outline of its ``mask`` (H, W), scaled down to at most 1024
    pixels a side, into the folder ``overlays``, which must be there; ``name``: of the mask below its output.
    ``are_labels``: the mask holds numbers of classes, each of which gets its outline.
    """
    height, width = mask.shape
    scale = min(1.0, LONGEST_SIDE / max(height, width))
    sides = (max(1, round(width * scale)), max(1, round(height * scale)))
    # What may be read was decided before it got its mask.
    pixels = read_photo(image, at_least=min(sides), any_dicom=True).pixels
    picture = cv2.resize(pixels, sides, interpolation=cv2.INTER_AREA)
    outlined = cv2.resize(mask, sides, interpolation=cv2.INTER_NEAREST)
    draw = label_overlay if are_labels else overlay
    outlined_picture = draw(np.asarray(picture, np.uint8), np.asarray(outlined, np.uint8))
    write_image(overlay_path(overlays, name), outlined_picture, overlays)

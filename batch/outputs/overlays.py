"""Overlays: pictures of limited size that show a mask's outline on its image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from batch.naming import overlay_path
from seglab.images.outlines import write_image
from seglab.images.pictures import LONGEST_SIDE, outlined, sides_within
from seglab.images.reader import read_photo


def draw_overlay(image: bytes, mask: NDArray[np.uint8], overlays: Path, name: str, *, are_labels: bool = False) -> None:
    """Draw the outline of a ``mask`` (H, W) on its ``image`` (the bytes of its file) with
    :func:`seglab.images.pictures.outlined`, and write it into the existing folder ``overlays``; ``name``: of the mask
    below its output.
    """
    # any_dicom: what may be read was decided before the mask was made.
    pixels = read_photo(image, at_least=min(sides_within(mask.shape, LONGEST_SIDE)), any_dicom=True).pixels
    write_image(overlay_path(overlays, name), outlined(pixels, mask, are_labels=are_labels), overlays)

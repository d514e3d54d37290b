"""Captions in pictures."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

FONT = cv2.FONT_HERSHEY_SIMPLEX
SHARE = 36
"""Ratio of the picture's shorter side to the height of a letter, except in small pictures."""
LEAST_SCALE, MOST_SCALE = 0.35, 1.2
READABLE_SCALE = 0.2
LETTER_HEIGHT = 22
"""Height in pixels of a capital letter of :data:`FONT` at scale 1."""
DARK, LIGHT = (0, 0, 0), (255, 255, 255)


def write_caption(picture: NDArray[np.uint8], text: str) -> None:
    """Write a text into the lower left corner of ``picture``, uint8 ``(H, W, 3)`` RGB, in place.

    Letters are white on a black field, which is visible on skin of any colour. A text that is wider than the picture is
    made smaller, or left out where it would be unreadable.
    """
    height, width = picture.shape[:2]
    scale = min(max(min(height, width) / SHARE / LETTER_HEIGHT, LEAST_SCALE), MOST_SCALE)
    wide = cv2.getTextSize(text, FONT, scale, 1)[0][0]
    scale *= min(1.0, 0.94 * width / wide)
    if scale < READABLE_SCALE:
        return
    thickness = max(1, round(scale * 1.6))
    (wide, high), below = cv2.getTextSize(text, FONT, scale, thickness)
    margin = max(2, high // 2)
    cv2.rectangle(picture, (0, height - high - below - 2 * margin), (wide + 2 * margin, height), DARK, cv2.FILLED)
    cv2.putText(picture, text, (margin, height - below - margin), FONT, scale, LIGHT, thickness, cv2.LINE_AA)

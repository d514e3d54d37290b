"""One synthetic image and its mask, from a size and a seed."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from seglab.errors import ConfigError
from seglab.synth import camera, overlays, skin
from seglab.synth.lesion import make_lesion, outline_mask
from seglab.synth.noise import Canvas, chance, make_canvas, stream

MIN_SIDE = 16
"""Smallest side in pixels; below it no lesion could be seen."""

# Skin and pigment are computed at half the long side, within these bounds in pixels, and then enlarged.
_SCENE_SIDES = 448, 1024


@dataclass(frozen=True)
class SynthImage:
    """``image`` (H, W, 3) uint8 RGB and ``mask`` (H, W) uint8, 255 inside the lesion's true outline, else 0."""

    image: NDArray[np.uint8]
    mask: NDArray[np.uint8]


def synthesise(height: int, width: int, seed: int) -> SynthImage:
    """Return the synthetic dermoscopy image of a seed, ``height`` x ``width`` pixels.

    The same arguments give the same arrays; the same seed at another size of the same shape gives the same scene.
    The mask is the outline before hairs, ruler and bubbles, as far as it lies in the field of view; never empty.

    Raises:
        ConfigError: a side is below ``MIN_SIDE``, or the seed is negative.
    """
    _check(height, width, seed)
    canvas = _scene_canvas(height, width)
    lesion = make_lesion(stream(seed, "lesion"), canvas)
    light = camera.make_light(stream(seed, "light"), canvas)
    image = skin.paint(stream(seed, "skin"), canvas, lesion)  # (h, w, 3)
    if image.shape[:2] != (height, width):
        image = np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)  # (H, W, 3)
    image = overlays.add_hairs(stream(seed, "hairs"), image)
    choice = stream(seed, "overlays")
    if chance(choice, 0.25):
        image = overlays.add_ruler(stream(seed, "ruler"), image)
    if chance(choice, 0.2):
        image = overlays.add_bubbles(stream(seed, "bubbles"), image)
    image = camera.focus(stream(seed, "focus"), camera.light_up(image, light))
    image = camera.add_sensor_noise(stream(seed, "sensor"), image)
    return SynthImage(image, outline_mask(np.minimum(lesion.level, light.seen), (height, width)))


def _scene_canvas(height: int, width: int) -> Canvas:
    """Return the canvas for an image of ``height`` x ``width`` pixels: same aspect ratio, same size or smaller."""
    side = max(height, width)
    scale = min(1.0, float(np.clip(side / 2, *_SCENE_SIDES)) / side)
    return make_canvas(max(1, round(height * scale)), max(1, round(width * scale)))


def _check(height: int, width: int, seed: int) -> None:
    if min(height, width) < MIN_SIDE:
        raise ConfigError(
            f"The size is {width}x{height} pixels; expected both sides to be at least {MIN_SIDE}. Use a larger size, "
            "such as 600x450."
        )
    if seed < 0:
        raise ConfigError(f"The seed is {seed}; expected a whole number from 0.")

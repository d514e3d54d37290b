"""Effects of the camera: light, field of view, focus, sensor noise."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from seglab.synth.noise import Canvas, Field, chance

Pixels = NDArray[np.uint8]
"""An image, (H, W, 3) uint8 RGB."""

_TILE = 256  # sensor noise is drawn once at this size and laid over larger images


@dataclass(frozen=True)
class Light:
    """``gain`` (h, w) in 0-1 multiplies the image; ``seen`` (h, w) is positive within the field of view."""

    gain: Field
    seen: Field


def make_light(rng: np.random.Generator, canvas: Canvas) -> Light:
    """Draw the lighting: a gradient, often darker corners, sometimes a round black frame."""
    slope, heading = rng.uniform(0, 0.16), rng.uniform(0, 2 * np.pi)
    tilt = canvas.x * np.float32(np.cos(heading)) + canvas.y * np.float32(np.sin(heading))
    gain = np.clip(1 - np.float32(slope) * (tilt + np.float32(0.4)), 0.6, 1)
    across, down = canvas.extent
    corner = float(np.hypot(across, down)) / 2
    middle = rng.normal(0, 0.025, 2)
    distance = cv2.magnitude(canvas.x - np.float32(middle[0]), canvas.y - np.float32(middle[1]))
    if chance(rng, 0.6):
        fall = rng.uniform(0.1, 0.55)
        gain *= 1 - np.float32(fall) * (distance / np.float32(corner)) ** np.float32(rng.uniform(2, 5))
    seen = np.ones(canvas.shape, np.float32)
    if chance(rng, 0.22):
        radius = rng.uniform(0.52, 1.0 * corner)
        seen = np.float32(radius) - distance
        softness = np.float32(np.exp(rng.uniform(np.log(0.01), np.log(0.2))))
        gain *= np.clip(seen / softness, 0, 1) ** 2
    return Light(np.asarray(gain, np.float32), seen)


def light_up(image: Pixels, light: Light) -> Pixels:
    """Return the image under the light, black outside the field of view."""
    height, width = image.shape[:2]
    gain = cv2.resize(cv2.convertScaleAbs(light.gain, alpha=255), (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(cv2.multiply(image, cv2.cvtColor(gain, cv2.COLOR_GRAY2BGR), scale=1 / 255), np.uint8)


def focus(rng: np.random.Generator, image: Pixels) -> Pixels:
    """Return the image slightly out of focus; the blur grows with the image."""
    short = min(image.shape[:2])
    sigma = short * float(np.exp(rng.uniform(np.log(0.0004), np.log(0.002))))
    if sigma < 0.3:
        return image
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), np.uint8)


def add_sensor_noise(rng: np.random.Generator, image: Pixels) -> Pixels:
    """Return the image with sensor noise with a deviation of one to four grey levels."""
    height, width = image.shape[:2]
    tile = rng.standard_normal((min(_TILE, height), min(_TILE, width), 3), dtype=np.float32)
    tile *= np.float32(rng.uniform(0.7, 3.5))
    noise = np.rint(tile).astype(np.int16)
    result = np.empty_like(image)
    for top in range(0, height, noise.shape[0]):
        for left in range(0, width, noise.shape[1]):
            part = image[top : top + noise.shape[0], left : left + noise.shape[1]]
            patch = noise[: part.shape[0], : part.shape[1]]
            result[top : top + part.shape[0], left : left + part.shape[1]] = cv2.add(part, patch, dtype=cv2.CV_8U)
    return result

"""Images without things in them: one colour, gradients, noise, skies, textures."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Field = NDArray[np.float64]

SHAPES = ((450, 600), (600, 600), (768, 1024), (300, 400))
PLAIN = ((0, 0, 0), (255, 255, 255), (128, 128, 128), (214, 170, 148), (120, 78, 60), (255, 0, 0), (0, 128, 255))
"""Black and white frames, grey, skin of two colours, and two that no skin has."""


def flat(rng: Generator, number: int) -> Pixels:
    """Return an image of one colour, of a sensor: with no noise, or with a little."""
    shape = _shape(rng)
    values = np.full((*shape, 3), PLAIN[number % len(PLAIN)], np.float64)
    if number >= len(PLAIN):
        values += rng.normal(0, rng.uniform(1, 6), values.shape)
    return _pixels(values)


def gradient(rng: Generator) -> Pixels:
    """Return a gradient from one colour to another, along a line or outwards."""
    shape = _shape(rng)
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]] / max(shape)
    angle = rng.uniform(0, 2 * np.pi)
    along = np.hypot(x - 0.5, y - 0.5) if rng.integers(2) else x * np.cos(angle) + y * np.sin(angle)
    return _pixels(_between(_unit(along), rng.uniform(0, 255, 3), rng.uniform(0, 255, 3)))


def noise(rng: Generator) -> Pixels:
    """Return noise: of each pixel, or of larger dots; grey or in colours."""
    shape = _shape(rng)
    step, channels = int(rng.choice([1, 1, 4, 16])), int(rng.choice([1, 3]))
    dots = rng.uniform(0, 255, (shape[0] // step, shape[1] // step, channels))
    enlarged = cv2.resize(dots, shape[::-1], interpolation=cv2.INTER_NEAREST).reshape(*shape, channels)
    return _pixels(np.broadcast_to(enlarged, (*shape, 3)))


def sky(rng: Generator) -> Pixels:
    """Return a sky: blue or of a sunset above, lighter below, with clouds, at times over dark ground."""
    shape = _shape(rng)
    down = np.linspace(0, 1, shape[0])[:, None] * np.ones(shape)
    blue = np.array([70, 130, 220]) + rng.normal(0, 20, 3)
    sunset = np.array([220, 130, 80]) + rng.normal(0, 25, 3)
    values = _between(down, sunset if rng.integers(3) == 0 else blue, np.array([215, 225, 240]) + rng.normal(0, 10, 3))
    clouds = np.clip(3 * (fractal(rng, shape, 2.0) - rng.uniform(0.4, 0.7)), 0, 1)[..., None]
    values = values * (1 - clouds) + clouds * rng.uniform(215, 255)
    if rng.integers(2):
        horizon = shape[0] * (0.8 + 0.1 * fractal(rng, (1, shape[1]), 1.5)[0])  # (W,)
        values[np.arange(shape[0])[:, None] > horizon] = rng.uniform(10, 80, 3)
    return _pixels(values)


def texture(rng: Generator) -> Pixels:
    """Return a texture: grain, stripes or cells in two colours."""
    shape = _shape(rng)
    kind = int(rng.integers(3))
    if kind == 0:
        field = fractal(rng, shape, rng.uniform(0.4, 1.6))
    elif kind == 1:
        y, x = np.mgrid[0 : shape[0], 0 : shape[1]]
        field = _unit(np.sin((x + 40 * fractal(rng, shape, 2.0)) / rng.uniform(3, 25)) + 0.2 * np.sin(y / 7))
    else:
        points = np.ones(shape, np.uint8)
        count = int(rng.integers(40, 400))
        points[rng.integers(0, shape[0], count), rng.integers(0, shape[1], count)] = 0
        field = _unit(cv2.distanceTransform(points, cv2.DIST_L2, 5).astype(np.float64))
    return _pixels(_between(field, rng.uniform(0, 255, 3), rng.uniform(0, 255, 3)))


def fractal(rng: Generator, shape: tuple[int, int], power: float) -> Field:
    """Return noise ``(H, W)`` in 0-1 whose amplitude falls with frequency to this power."""
    rows, columns = np.fft.fftfreq(shape[0])[:, None] * shape[0], np.fft.rfftfreq(shape[1])[None] * shape[1]
    amplitude = 1 / np.maximum(np.hypot(rows, columns), 1) ** power
    return _unit(np.fft.irfft2(np.fft.rfft2(rng.normal(size=shape)) * amplitude, s=shape))


def _shape(rng: Generator) -> tuple[int, int]:
    height, width = SHAPES[int(rng.integers(len(SHAPES)))]
    return height, width


def _unit(field: Field) -> Field:
    low, high = field.min(), field.max()
    return np.asarray((field - low) / max(high - low, 1e-9))


def _between(field: Field, first: NDArray[np.float64], second: NDArray[np.float64]) -> Field:
    """Return colours ``(H, W, 3)`` between two, by a field ``(H, W)`` in 0-1."""
    return np.asarray(first + field[..., None] * (second - first))


def _pixels(values: Field) -> Pixels:
    return np.clip(np.round(values), 0, 255).astype(np.uint8)

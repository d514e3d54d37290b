"""Random streams and smooth random fields that give the same scene at any image size."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float32]
"""A map over the canvas, (h, w) float32; functions that return one state its range."""


_PIXELS_PER_BUMP = 6


@dataclass(frozen=True)
class Canvas:
    """The grid on which a scene is computed: coordinates in units of the short side, (0, 0) in the middle.

    ``x`` and ``y`` are (h, w) float32; ``shape`` is ``(h, w)`` in pixels.
    """

    x: Field
    y: Field

    @property
    def shape(self) -> tuple[int, int]:
        return self.x.shape[0], self.x.shape[1]

    @property
    def short(self) -> int:
        """Pixels along the short side: one unit of length."""
        return min(self.shape)

    @property
    def extent(self) -> tuple[float, float]:
        """Width and height in units of the short side; one of them is 1."""
        return self.shape[1] / self.short, self.shape[0] / self.short


def make_canvas(height: int, width: int) -> Canvas:
    """Return the canvas of ``height`` x ``width`` pixels, sampled at pixel centres."""
    short = min(height, width)
    across = ((np.arange(width) + 0.5 - width / 2) / short).astype(np.float32)
    down = ((np.arange(height) + 0.5 - height / 2) / short).astype(np.float32)
    x, y = np.meshgrid(across, down)
    return Canvas(x, y)


def stream(seed: int, name: str) -> np.random.Generator:
    """Return the random stream of one feature; draws for one feature do not affect those for another."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, zlib.crc32(name.encode())])))


def chance(rng: np.random.Generator, probability: float) -> bool:
    """Return True with the given probability."""
    return bool(rng.random() < probability)


def fractal(rng: np.random.Generator, canvas: Canvas, cells: float, octaves: int = 1, stretch: float = 1.0) -> Field:
    """Return smooth noise (h, w), mean about 0, deviation about 1.

    ``cells`` bumps lie along the short side in the first octave and twice as many, at half the height, in each
    further one; ``stretch`` > 1 draws the bumps out along x. Octaves finer than two pixels are left out: a camera
    would average them away.
    """
    own = rng.spawn(1)[0]  # an octave that is left out must not change later draws
    counts = [
        cells * 2**octave for octave in range(octaves) if octave == 0 or cells * 2 ** (octave + 1) <= canvas.short
    ]
    height, width = canvas.shape
    # Sum the smooth noise at a small size and enlarge it once: a few pixels per bump are enough.
    scale = min(1.0, _PIXELS_PER_BUMP * counts[-1] / canvas.short)
    small = max(2, round(height * scale)), max(2, round(width * scale))
    total = np.zeros(small, np.float32)
    for octave, count in enumerate(counts):
        rows = int(np.ceil(count * height / canvas.short)) + 1
        columns = int(np.ceil(count * width / canvas.short / stretch)) + 1
        grid = own.standard_normal((rows, columns), dtype=np.float32)
        layer = cv2.resize(grid, small[::-1], interpolation=cv2.INTER_CUBIC)
        cv2.scaleAdd(layer, 0.5**octave, total, total)
    # Interpolation between the grid's points reduces the deviation by about a third.
    total *= np.float32(1.4 / np.sqrt(sum(0.25**octave for octave in range(len(counts)))))
    return np.asarray(cv2.resize(total, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)


def step(values: Field, edge: float, width: float | Field) -> Field:
    """Return a soft step (h, w) in 0-1: 0.5 where ``values`` is ``edge``, nearly done ``width`` to either side."""
    ramp = np.asarray((values - np.float32(edge)) / (2 * np.float32(width)), np.float32)
    np.clip(ramp, -0.5, 0.5, out=ramp)
    # The cubic 3t^2 - 2t^3 of t in 0-1, written around its centre.
    result = ramp * ramp
    result *= -2
    result += np.float32(1.5)
    result *= ramp
    result += np.float32(0.5)
    return result


def bump(values: Field, width: float) -> Field:
    """Return a bell (h, w) in 0-1 that is 1 where ``values`` is 0 and nearly 0 twice ``width`` away."""
    return np.asarray(cv2.exp(-((values / np.float32(width)) ** 2)), np.float32)

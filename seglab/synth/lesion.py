"""The lesion: its outline as a level set, and the pigment inside."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from seglab.synth.noise import Canvas, Field, bump, chance, fractal, step

_ANGLES = 1024  # entries of the outline's radius table


@dataclass(frozen=True)
class Lesion:
    """A lesion on a canvas.

    ``level`` (h, w) is positive inside the outline, 0 on it, and falls by about 1 per radius. ``melanin`` and
    ``blood`` (h, w) are optical densities from 0 up; ``veil`` (h, w) in 0-1 is the blue-white cover.
    """

    level: Field
    melanin: Field
    blood: Field
    veil: Field


def make_lesion(rng: np.random.Generator, canvas: Canvas) -> Lesion:
    """Draw a lesion with a random place, size, outline and pattern."""
    radius = float(np.exp(rng.uniform(np.log(0.09), np.log(0.48))))
    level = _outline(rng, canvas, radius)
    cells = 1 / radius  # bumps per short side that are as large as the lesion's radius
    ragged = fractal(rng, canvas, 4 * cells, 3) * np.float32(rng.uniform(0.01, 0.09))
    softness = np.float32(np.exp(rng.uniform(np.log(0.05), np.log(0.34))))
    # Abrupt on one side and fading on the other, like most real borders.
    widths = softness * cv2.exp(0.5 * fractal(rng, canvas, 1.2 * cells))
    body = step(level + ragged, 0, widths)
    melanin = body * _depth(rng, canvas, cells) * _texture(rng, canvas, body)
    melanin *= 1 + _core(rng, canvas, level, cells)
    blood = body * np.float32(rng.uniform(0.0, 0.5)) * (1 + 0.35 * fractal(rng, canvas, 2 * cells, 2))
    blood += _halo(rng, level)
    return Lesion(level, np.maximum(melanin, 0), np.maximum(blood, 0), body * _veil(rng, canvas, cells))


def outline_mask(level: Field, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return the inside of a level set as a mask, (H, W) uint8 0/255, at ``size = (H, W)``; never empty."""
    height, width = size
    full = cv2.resize(level, (width, height), interpolation=cv2.INTER_LINEAR)  # (H, W)
    mask = np.where(full > 0, np.uint8(255), np.uint8(0))
    if not mask.any():
        mask[np.unravel_index(int(full.argmax()), full.shape)] = 255
    return mask


def _outline(rng: np.random.Generator, canvas: Canvas, radius: float) -> Field:
    """Return the level set of one to three overlapping lobes around a point of the frame."""
    spread = 0.36 if chance(rng, 0.12) else 0.08  # some lie at the frame and are cut by it
    across, down = canvas.extent
    centre = np.clip(rng.normal(0, spread, 2), -0.46, 0.46) * (across, down)
    warp = np.float32(rng.uniform(0.03, 0.09) * radius)
    x = canvas.x - np.float32(centre[0]) + warp * fractal(rng, canvas, 1.4 / radius, 2)
    y = canvas.y - np.float32(centre[1]) + warp * fractal(rng, canvas, 1.4 / radius, 2)
    level = _lobe(rng, x, y, radius)
    for _ in range(int(rng.integers(0, 3))):
        angle, reach = rng.uniform(0, 2 * np.pi), radius * rng.uniform(0.4, 0.9)
        moved_x, moved_y = x - np.float32(reach * np.cos(angle)), y - np.float32(reach * np.sin(angle))
        scale = rng.uniform(0.35, 0.8)
        other = _lobe(rng, moved_x, moved_y, radius * scale) * np.float32(scale)
        level = _smooth_maximum(level, other, 0.12)
    return level


def _lobe(rng: np.random.Generator, x: Field, y: Field, radius: float) -> Field:
    """Return the level set of an ellipse whose radius wavers with the angle; 1 at its centre."""
    angle, stretch = rng.uniform(0, np.pi), np.sqrt(rng.uniform(1.0, 1.9))
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    distance, theta = cv2.cartToPolar(
        (x * cos + y * sin) / np.float32(stretch), (y * cos - x * sin) * np.float32(stretch)
    )
    around = np.linspace(0, 2 * np.pi, _ANGLES + 1)
    orders = np.arange(2, 9)
    heights = rng.normal(0, rng.uniform(0.06, 0.26), orders.size) / orders
    phases = rng.uniform(0, 2 * np.pi, orders.size)
    waver = 1 + (heights[:, None] * np.cos(orders[:, None] * around + phases[:, None])).sum(axis=0)
    inverse = (1 / (radius * np.clip(waver, 0.4, 1.8))).astype(np.float32)
    bins = (theta * np.float32(_ANGLES / (2 * np.pi))).astype(np.intp)  # theta is in 0-2 pi, both ends possible
    return np.asarray(1 - distance * inverse.take(bins), np.float32)


def _smooth_maximum(first: Field, second: Field, width: float) -> Field:
    """Return the larger of two level sets, with the notch where they meet rounded off over ``width``."""
    overlap = np.maximum(np.float32(width) - np.abs(first - second), 0)
    return np.asarray(np.maximum(first, second) + overlap * overlap / np.float32(4 * width), np.float32)


def _depth(rng: np.random.Generator, canvas: Canvas, cells: float) -> Field:
    """Return pigment zones: a few levels of depth with soft edges, and sometimes a faded patch."""
    base = float(np.exp(rng.normal(np.log(0.95), 0.38)))
    zones = 0.5 + 0.12 * fractal(rng, canvas, 3 * cells, 3)
    for _ in range(int(rng.integers(2, 5))):
        zones += rng.uniform(0.15, 0.5) * step(fractal(rng, canvas, 1.3 * cells, 3), rng.uniform(-0.8, 1.0), 0.4)
    if chance(rng, 0.3):
        zones *= 1 - 0.75 * step(fractal(rng, canvas, 1.1 * cells, 2), rng.uniform(0.3, 0.9), 0.5)
    return np.asarray(np.float32(base) * np.maximum(zones, 0.08), np.float32)


def _core(rng: np.random.Generator, canvas: Canvas, level: Field, cells: float) -> Field:
    """Return how much deeper the pigment is in the middle: 0 at the outline, up to about 1 in an uneven core."""
    if chance(rng, 0.35):
        return np.zeros(canvas.shape, np.float32)
    wavering = level + 0.18 * fractal(rng, canvas, 2 * cells, 3)
    return np.float32(rng.uniform(0.3, 1.1)) * step(wavering, rng.uniform(0.3, 0.7), 0.3)


def _texture(rng: np.random.Generator, canvas: Canvas, body: Field) -> Field:
    """Return the fine pattern as a factor around 1: pigment network, globules, both or a plain grain."""
    pattern = 1 + 0.16 * fractal(rng, canvas, rng.uniform(25, 60), 3)
    if chance(rng, 0.5):
        fine = rng.uniform(30, 68)  # meshes along the short side
        threads = bump(fractal(rng, canvas, fine), 0.35) + 0.6 * bump(fractal(rng, canvas, 1.6 * fine), 0.3)
        patches = step(fractal(rng, canvas, 4), -0.2, 0.7)
        pattern += np.float32(rng.uniform(0.25, 0.65)) * (threads - np.float32(0.45)) * patches
    if chance(rng, 0.4):
        dots = step(fractal(rng, canvas, rng.uniform(20, 45)), 1.3, 0.35) * step(fractal(rng, canvas, 3.5), 0.0, 0.6)
        pattern += np.float32(rng.uniform(0.5, 1.4)) * dots * body
    return pattern


def _halo(rng: np.random.Generator, level: Field) -> Field:
    """Return the reddening around the lesion, as an optical density."""
    if chance(rng, 0.6):
        return np.zeros_like(level)
    return np.float32(rng.uniform(0.05, 0.3)) * bump(np.minimum(level, 0), rng.uniform(0.25, 0.8))


def _veil(rng: np.random.Generator, canvas: Canvas, cells: float) -> Field:
    """Return where a blue-white veil covers the pigment, 0-1."""
    if chance(rng, 0.82):
        return np.zeros(canvas.shape, np.float32)
    patches = step(fractal(rng, canvas, 1.5 * cells, 4), rng.uniform(0.1, 0.8), 1.1)
    return np.float32(rng.uniform(0.2, 0.5)) * patches

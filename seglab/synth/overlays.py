"""Objects between skin and lens: hairs, a ruler, air bubbles. All are drawn at the image's full size."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from seglab.synth.noise import chance

Pixels = NDArray[np.uint8]
"""An image, (H, W, 3) uint8 RGB."""

_RARE_HAIR = np.array(((120, 70, 40), (190, 150, 100), (200, 196, 190)), np.float64)  # RGB: red, blond, grey
_SHIFT = 4  # fractional bits of the coordinates given to OpenCV


def add_hairs(rng: np.random.Generator, image: Pixels) -> Pixels:
    """Return the image with none, a few or many curved hairs of one person's colour."""
    height, width = image.shape[:2]
    short = min(height, width)
    cover = np.zeros((height, width), np.uint8)
    for _ in range(_hair_count(rng)):
        root = rng.uniform(-0.1, 1.1, 2) * (width, height)
        _draw_hair(rng, cover, root, short * rng.uniform(0.15, 1.1), _thickness(rng, short))
    if chance(rng, 0.1):
        lean = rng.uniform(0, 2 * np.pi)
        for _ in range(int(rng.integers(25, 90))):  # stubble: short, thick, one direction
            root = rng.uniform(0, 1, 2) * (width, height)
            _draw_hair(rng, cover, root, short * rng.uniform(0.02, 0.06), 1.6 * _thickness(rng, short), lean)
    return _blend(image, cover, _hair_colour(rng))


def add_ruler(rng: np.random.Generator, image: Pixels) -> Pixels:
    """Return the image with the marks of a ruler along one side."""
    height, width = image.shape[:2]
    short, cover = min(height, width), np.zeros((height, width), np.uint8)
    gap, long_tick = short * rng.uniform(0.02, 0.07), short * rng.uniform(0.03, 0.07)
    thickness = max(short * rng.uniform(0.003, 0.007), 0.8)
    heading = rng.integers(4) * np.pi / 2 + rng.normal(0, 0.12)
    along = np.array((np.cos(heading), np.sin(heading)))
    inward = np.array((along[1], -along[0]))
    half = np.array((width, height)) / 2
    reach = float(np.abs(inward) @ half)
    origin = half - inward * (reach - short * rng.uniform(0.0, 0.05))
    span = int(np.hypot(height, width) / 2 / gap)
    first, last = (-span, span) if chance(rng, 0.6) else sorted(rng.integers(-span // 2, span // 2 + 1, 2))
    for mark in range(int(first), int(last) + 1):
        length = long_tick if mark % 5 == 0 else 0.6 * long_tick
        foot = origin + along * (mark * gap)
        _draw_band(cover, np.array((foot, foot + inward * length)), np.full(2, thickness), 215)
    if chance(rng, 0.4):
        ends = np.array((origin + along * (first * gap), origin + along * (last * gap)))
        _draw_band(cover, ends, np.full(2, thickness), 215)
    return _blend(image, cover, np.full(3, rng.uniform(20, 60)))


def add_bubbles(rng: np.random.Generator, image: Pixels) -> Pixels:
    """Return the image with air bubbles of the immersion fluid: bright rings with speculars."""
    height, width = image.shape[:2]
    short, result = min(height, width), image.copy()
    light = rng.uniform(0, 2 * np.pi)
    for _ in range(int(rng.integers(1, 10))):
        radius = short * float(np.exp(rng.uniform(np.log(0.006), np.log(0.06))))
        _draw_bubble(rng, result, rng.uniform(0, 1, 2) * (width, height), max(radius, 1.5), light)
    return result


def _hair_count(rng: np.random.Generator) -> int:
    if chance(rng, 0.45):
        return 0
    return int(rng.integers(1, 8)) if chance(rng, 0.7) else int(rng.integers(8, 36))


def _thickness(rng: np.random.Generator, short: int) -> float:
    """Return a hair's thickness in pixels."""
    return short * float(np.exp(rng.uniform(np.log(0.0012), np.log(0.006))))


def _hair_colour(rng: np.random.Generator) -> NDArray[np.float64]:
    """Return an RGB colour: mostly dark brown, sometimes red, blond or grey."""
    if chance(rng, 0.15):
        return np.asarray(rng.choice(_RARE_HAIR) + rng.normal(0, 8, 3))
    return np.array((48, 34, 28)) * rng.uniform(0.4, 1.7)


def _draw_hair(
    rng: np.random.Generator,
    cover: Pixels,
    root: NDArray[np.float64],
    length: float,
    thickness: float,
    lean: float | None = None,
) -> None:
    """Draw a hair into a cover map: a curve that bends steadily and thins towards its tip."""
    heading = rng.uniform(0, 2 * np.pi) if lean is None else lean + rng.normal(0, 0.25)
    bend = rng.normal(0, 0.9) + rng.normal(0, 1.2) * np.linspace(0, 1, 24)
    steps = heading + np.cumsum(bend) / 24
    moves = np.stack((np.cos(steps), np.sin(steps)), axis=1) * (length / 24)
    widths = thickness * np.linspace(1, 0.35, 25)
    _draw_band(cover, root + np.vstack((np.zeros(2), np.cumsum(moves, axis=0))), widths, rng.uniform(150, 250))


def _draw_band(cover: Pixels, line: NDArray[np.float64], widths: NDArray[np.float64], opacity: float) -> None:
    """Fill a band of varying width (pixels) along a line (n, 2) of x, y; thinner than a pixel means fainter."""
    tangent = np.gradient(line, axis=0)
    tangent /= np.maximum(np.linalg.norm(tangent, axis=1, keepdims=True), 1e-9)
    side = np.stack((-tangent[:, 1], tangent[:, 0]), axis=1) * (np.maximum(widths, 1.0)[:, None] / 2)
    edge = np.vstack((line + side, (line - side)[::-1]))
    faint = float(np.clip(widths.mean(), 0.25, 1))
    points = np.round(edge * 2**_SHIFT).astype(np.int32)
    cv2.fillPoly(cover, [points], float(opacity) * faint, lineType=cv2.LINE_AA, shift=_SHIFT)


def _draw_bubble(
    rng: np.random.Generator, image: Pixels, centre: NDArray[np.float64], radius: float, light: float
) -> None:
    """Draw one bubble in place: a rim brighter towards the light, a dark inner edge, one or two speculars."""
    reach = int(np.ceil(1.5 * radius)) + 2
    left, top = (np.round(centre).astype(int) - reach).clip(0).tolist()
    right, bottom = (np.round(centre).astype(int) + reach).tolist()
    region = image[top:bottom, left:right]
    y, x = np.mgrid[top : top + region.shape[0], left : left + region.shape[1]]
    x, y = (x - centre[0]) / radius, (y - centre[1]) / radius
    distance, facing = np.hypot(x, y), np.cos(np.arctan2(y, x) - light)
    rim = np.exp(-(((distance - 1) / 0.13) ** 2)) * (0.45 + 0.4 * facing)
    inner = np.exp(-(((distance - 0.8) / 0.14) ** 2)) * 0.22
    glint = np.hypot(x - 0.5 * np.cos(light), y - 0.5 * np.sin(light))
    specular = np.exp(-((glint / rng.uniform(0.1, 0.22)) ** 2))
    glow = rng.uniform(50, 150) * (rim - inner + specular + 0.05 * (distance < 1))
    region[:] = np.clip(region + glow[..., None], 0, 255).astype(np.uint8)


def _blend(image: Pixels, cover: Pixels, colour: NDArray[np.float64]) -> Pixels:
    """Return the image blended with one RGB colour by a cover map (H, W) uint8; 255 is opaque."""
    if not cover.any():
        return image
    paint = cv2.merge([cv2.convertScaleAbs(cover, alpha=float(value) / 255) for value in colour.clip(0, 255)])
    rest = cv2.cvtColor(cv2.bitwise_not(cover), cv2.COLOR_GRAY2BGR)
    return np.asarray(cv2.add(cv2.multiply(image, rest, scale=1 / 255), paint), np.uint8)

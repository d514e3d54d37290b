"""Skin and pigment: optical densities over a skin tone."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from seglab.synth.lesion import Lesion
from seglab.synth.noise import Canvas, Field, bump, chance, fractal, step

# RGB 0-255 as a dermoscope shows them, from very fair to very dark; light tones are as common as in the archives.
_TONES = np.array(
    [(238, 214, 210), (232, 196, 184), (222, 180, 156), (203, 152, 120), (158, 108, 82), (112, 76, 62)], np.float32
)
_TONE_WEIGHTS = (0.26, 0.28, 0.2, 0.14, 0.08, 0.04)
_MELANIN = np.array((0.62, 0.97, 1.3), np.float32)  # absorption per unit of density, RGB
_BLOOD = np.array((0.10, 0.62, 0.50), np.float32)
_VEIL = np.array((92, 100, 118), np.float32)
_FLOOR = np.array((30, 18, 18), np.float32)  # light scattered back by the darkest pigment


def paint(rng: np.random.Generator, canvas: Canvas, lesion: Lesion) -> NDArray[np.uint8]:
    """Return skin with the lesion in it, (h, w, 3) uint8 RGB, evenly lit and free of artefacts."""
    tone = _tone(rng)
    melanin = lesion.melanin + _mottling(rng, canvas)
    blood = lesion.blood + _flush(rng, canvas)
    grain = _grain(rng, canvas)
    channels = []
    for index in range(3):
        density = melanin * _MELANIN[index] + blood * _BLOOD[index] - grain
        floor = min(float(_FLOOR[index]), float(tone[index]))
        colour = np.float32(floor) + np.float32(tone[index] - floor) * cv2.exp(-density)
        channels.append(_cover(colour, lesion.veil, min(float(_VEIL[index]), float(tone[index]) * 0.6)))
    return np.asarray(cv2.convertScaleAbs(cv2.merge(channels)), np.uint8)  # rounds and clips: (h, w, 3)


def _tone(rng: np.random.Generator) -> NDArray[np.float32]:
    """Return a skin tone, (3,) RGB: a random variation of one of the tones, with a camera's white balance."""
    tone = _TONES[rng.choice(len(_TONES), p=_TONE_WEIGHTS)]
    balance = 1 + rng.normal(0, 0.035, 3)
    if chance(rng, 0.2):
        balance *= 1 + rng.choice((-1, 1)) * rng.uniform(0.03, 0.16) * np.array((1, 0.15, -1))
    exposure = rng.uniform(0.8, 1.08)
    return np.asarray(np.clip(tone * balance * exposure, 20, 253), np.float32)


def _mottling(rng: np.random.Generator, canvas: Canvas) -> Field:
    """Return the skin's own pigment, a density around 0: slow shading, and freckles on some."""
    density = np.float32(rng.uniform(0.005, 0.03)) * fractal(rng, canvas, rng.uniform(2, 5), 4)
    if chance(rng, 0.35):
        spots = step(fractal(rng, canvas, rng.uniform(8, 22), 2), rng.uniform(1.4, 2.0), 1.0)
        density += np.float32(rng.uniform(0.04, 0.2)) * spots
    return density


def _flush(rng: np.random.Generator, canvas: Canvas) -> Field:
    """Return blood in the skin, a density around 0: blotches, and thin vessels on some."""
    density = np.float32(rng.uniform(0.01, 0.05)) * fractal(rng, canvas, rng.uniform(3, 8), 3)
    if chance(rng, 0.25):
        vessels = bump(fractal(rng, canvas, rng.uniform(6, 12), 3), 0.05)
        patches = step(fractal(rng, canvas, 5), 0.5, 0.6)
        density += np.float32(rng.uniform(0.15, 0.5)) * vessels * patches
    return density


def _grain(rng: np.random.Generator, canvas: Canvas) -> Field:
    """Return the skin's relief as a density around 0: fine grain and, on some, furrows along one direction."""
    relief = np.float32(rng.uniform(0.005, 0.018)) * fractal(rng, canvas, 90, 3)
    if chance(rng, 0.5):
        relief += np.float32(rng.uniform(0.004, 0.012)) * fractal(rng, canvas, 60, 2, stretch=3)
    return relief


def _cover(colour: Field, amount: Field, cover: float) -> Field:
    """Return ``colour`` blended towards ``cover`` by ``amount`` in 0-1."""
    return colour + amount * (np.float32(cover) - colour)

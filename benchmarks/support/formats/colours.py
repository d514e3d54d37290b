"""Colour conversions by the standards, without any library, for files in other colour spaces.

Sources: IEC 61966-2-1 (sRGB), Lindbloom (Bradford), CIE 15 (L*a*b*), ITU-R BT.601 (YCbCr), ICC.1:2001-04 (profiles).
"""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray

from benchmarks.support.formats.cells import Picture

Floats = NDArray[np.float64]

D50 = np.array([0.9642, 1.0, 0.8249])
D65 = np.array([0.95047, 1.0, 1.08883])
BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
SRGB = ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06))
DISPLAY_P3 = ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060))
ADOBE_RGB = ((0.64, 0.33), (0.21, 0.71), (0.15, 0.06))


def linear(picture: Picture) -> Floats:
    """Return sRGB bytes as light: ``(H, W, 3)``, 0-1."""
    value = picture / 255.0
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def encoded(light: Floats) -> Picture:
    """Return light as sRGB bytes."""
    light = np.clip(light, 0, 1)
    value = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.round(value * 255).astype(np.uint8)


def to_xyz(primaries: tuple[tuple[float, float], ...], white: Floats = D65) -> Floats:
    """Return the matrix from linear RGB of these primaries to XYZ."""
    columns = np.array([[x / y, 1.0, (1 - x - y) / y] for x, y in primaries]).T
    return np.asarray(columns * np.linalg.solve(columns, white))


def adapted(source: Floats, target: Floats) -> Floats:
    """Return Bradford's matrix from one white to another."""
    gain = (BRADFORD @ target) / (BRADFORD @ source)
    return np.asarray(np.linalg.inv(BRADFORD) @ np.diag(gain) @ BRADFORD)


def in_space(picture: Picture, primaries: tuple[tuple[float, float], ...], gamma: float) -> Picture:
    """Return an sRGB picture as bytes of another space, of a plain gamma and white D65."""
    matrix = np.linalg.inv(to_xyz(primaries)) @ to_xyz(SRGB)
    light = np.clip(linear(picture) @ matrix.T, 0, 1)
    return np.round(255 * light ** (1 / gamma)).astype(np.uint8)


def from_space(values: Picture, primaries: tuple[tuple[float, float], ...], gamma: float) -> Picture:
    """Return bytes of another space as sRGB."""
    matrix = np.linalg.inv(to_xyz(SRGB)) @ to_xyz(primaries)
    return encoded((values / 255.0) ** gamma @ matrix.T)


def matrix_profile(primaries: tuple[tuple[float, float], ...], gamma: float, name: str) -> bytes:
    """Return an ICC profile of version 2 for these primaries, white D65, and a plain gamma."""
    columns = adapted(D65, D50) @ to_xyz(primaries)
    text = name.encode("ascii") + b"\0"
    tags = {
        b"desc": b"desc\0\0\0\0" + struct.pack(">I", len(text)) + text + bytes(4 + 4 + 2 + 1 + 67),
        b"cprt": b"text\0\0\0\0none\0",
        b"wtpt": _xyz(D50),
        b"rXYZ": _xyz(columns[:, 0]),
        b"gXYZ": _xyz(columns[:, 1]),
        b"bXYZ": _xyz(columns[:, 2]),
        **{tag: _curve(gamma) for tag in (b"rTRC", b"gTRC", b"bTRC")},
    }
    return _profile(b"RGB ", tags)


def grey_profile(gamma: float) -> bytes:
    """Return an ICC profile of grey with a plain gamma."""
    text = b"Gamma grey\0"
    desc = b"desc\0\0\0\0" + struct.pack(">I", len(text)) + text + bytes(4 + 4 + 2 + 1 + 67)
    tags = {b"desc": desc, b"cprt": b"text\0\0\0\0none\0", b"wtpt": _xyz(D50), b"kTRC": _curve(gamma)}
    return _profile(b"GRAY", tags)


def _xyz(values: Floats) -> bytes:
    return b"XYZ \0\0\0\0" + b"".join(struct.pack(">i", round(value * 65536)) for value in values)


def _curve(gamma: float) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"


def _profile(space: bytes, tags: dict[bytes, bytes]) -> bytes:
    offset = 128 + 4 + 12 * len(tags)
    table, body = struct.pack(">I", len(tags)), b""
    for tag, content in tags.items():
        table += tag + struct.pack(">II", offset + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    head = struct.pack(">I4sI4s4s4s", offset + len(body), b"none", 0x02400000, b"mntr", space, b"XYZ ")
    head += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(28)
    head += b"".join(struct.pack(">i", round(value * 65536)) for value in D50)
    return head.ljust(128, b"\0") + table + body


def to_ycbcr(picture: Picture) -> Floats:
    """Return Y, Cb, Cr of BT.601, full range: ``(H, W, 3)``, 0-255, not rounded."""
    red, green, blue = np.moveaxis(picture.astype(np.float64), 2, 0)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    return np.stack([luma, (blue - luma) / 1.772 + 128, (red - luma) / 1.402 + 128], axis=2)


def to_cmyk(picture: Picture) -> NDArray[np.uint8]:
    """Return ink, 255 is full: uint8 ``(H, W, 4)``, with half of the black that there could be."""
    value = picture.astype(np.float64)
    black = (255 - value.max(axis=2, keepdims=True)) / 2
    ink = 255 - 255 * value / np.maximum(255 - black, 1)
    return np.clip(np.round(np.concatenate([ink, black], axis=2)), 0, 255).astype(np.uint8)


def from_cmyk(ink: NDArray[np.uint8]) -> Picture:
    """Return ink as RGB by the plain rule, which holds where there is no profile."""
    rest = 255.0 - ink
    return np.round(rest[..., :3] * rest[..., 3:] / 255).astype(np.uint8)


def to_lab(picture: Picture) -> Floats:
    """Return L* (0-100), a*, b* (-128 to 127) for white D50: ``(H, W, 3)``."""
    xyz = linear(picture) @ (adapted(D65, D50) @ to_xyz(SRGB)).T / D50
    root = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    x, y, z = np.moveaxis(root, 2, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=2)

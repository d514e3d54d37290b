"""ICC profiles made from numbers, for files that state colours by numbers (PNG, AVIF, HEIC).

Sources: ICC.1:2022 (profile format; matrix and curves, parametric curves), ITU-T H.273 (code points), Lindbloom for
the adaptation to D50 (Bradford).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

D65 = (0.3127, 0.329)
D50 = np.array([0.9642, 1.0, 0.8249])
BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
SRGB_PRIMARIES = ((0.64, 0.33), (0.3, 0.6), (0.15, 0.06))
PRIMARIES = {
    1: (D65, SRGB_PRIMARIES),
    5: (D65, ((0.64, 0.33), (0.29, 0.6), (0.15, 0.06))),
    6: (D65, ((0.63, 0.34), (0.31, 0.595), (0.155, 0.07))),
    7: (D65, ((0.63, 0.34), (0.31, 0.595), (0.155, 0.07))),
    9: (D65, ((0.708, 0.292), (0.17, 0.797), (0.131, 0.046))),
    11: ((0.314, 0.351), ((0.68, 0.32), (0.265, 0.69), (0.15, 0.06))),
    12: (D65, ((0.68, 0.32), (0.265, 0.69), (0.15, 0.06))),
}
"""White point and primaries by code point (H.273, table 2)."""
LIKE_SRGB = frozenset({1, 2, 6, 13, 14, 15})
"""Transfer functions that viewers treat as sRGB's: BT.709's and similar, unspecified, and sRGB's own."""
GAMMAS = {4: 2.2, 5: 2.8, 8: 1.0}
HDR = {16: "PQ", 18: "HLG"}
"""Transfer functions of high dynamic range, which have no unique rendering in sRGB."""

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class ColourSpace:
    """RGB by its white point, its primaries (x, y of each) and the exponent of its curve; None: sRGB's curve."""

    white: Point = D65
    primaries: tuple[Point, Point, Point] = SRGB_PRIMARIES
    gamma: float | None = None

    @property
    def matrix(self) -> NDArray[np.float64]:
        """Return the matrix ``(3, 3)`` from linear RGB to XYZ, relative to D50. Raises :class:`ValueError`."""
        points = np.array([_xyz(point) for point in self.primaries]).T
        white = _xyz(self.white)
        if not np.isfinite(points).all() or abs(np.linalg.det(points)) < 1e-6:
            raise ValueError("primaries on one line")
        unadapted = points * np.linalg.solve(points, white)
        cone = np.diag((BRADFORD @ D50) / (BRADFORD @ white))
        return np.asarray(np.linalg.inv(BRADFORD) @ cone @ BRADFORD @ unadapted)

    def profile(self, name: str) -> bytes:
        """Return the ICC profile (version 4, matrix and curves). Raises :class:`ValueError` for invalid numbers."""
        matrix = self.matrix
        if np.abs(matrix).max() >= 16:
            raise ValueError("primaries far from any light")
        curve = _gamma_curve(self.gamma) if self.gamma is not None else _srgb_curve()
        tags = {
            b"desc": _text(name),
            b"cprt": _text("none"),
            b"wtpt": _point(D50),
            **{key: _point(matrix[:, place]) for place, key in enumerate((b"rXYZ", b"gXYZ", b"bXYZ"))},
            **dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve),
        }
        return _profile(tags)


def coded_space(primaries: int, transfer: int) -> ColourSpace | None:
    """Return the colour space of two code points of H.273, or None if unknown. Callers must check for HDR before."""
    white, points = PRIMARIES.get(1 if primaries == 2 else primaries, (None, None))
    if white is None or points is None or not (transfer in LIKE_SRGB or transfer in GAMMAS):
        return None
    return ColourSpace(white, points, GAMMAS.get(transfer))


def _xyz(point: Point) -> NDArray[np.float64]:
    x, y = point
    if not 0 < y <= 1 or not -1 <= x <= 1:
        raise ValueError("a chromaticity of no colour")
    return np.array([x / y, 1.0, (1 - x - y) / y])


def _fixed(*values: float) -> bytes:
    return struct.pack(f">{len(values)}i", *(round(value * 65536) for value in values))


def _point(values: NDArray[np.float64]) -> bytes:
    return b"XYZ \0\0\0\0" + _fixed(*values.tolist())


def _gamma_curve(gamma: float) -> bytes:
    return b"para\0\0\0\0" + struct.pack(">HH", 0, 0) + _fixed(gamma)


def _srgb_curve() -> bytes:
    return b"para\0\0\0\0" + struct.pack(">HH", 3, 0) + _fixed(2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)


def _text(text: str) -> bytes:
    encoded = text.encode("utf-16-be")
    return b"mluc\0\0\0\0" + struct.pack(">II2s2sII", 1, 12, b"en", b"US", len(encoded), 28) + encoded


def _profile(tags: dict[bytes, bytes]) -> bytes:
    table, body = b"", b""
    start = 128 + 4 + 12 * len(tags)
    for key, content in tags.items():
        table += key + struct.pack(">II", start + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    header = struct.pack(
        ">I4sI4s4s4s12x4s", start + len(body), bytes(4), 0x04300000, b"mntr", b"RGB ", b"XYZ ", b"acsp"
    )
    header = header.ljust(68, b"\0") + _fixed(*D50.tolist())
    return header.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body

"""Conversion of the samples of a TIFF page to RGB, by its photometric interpretation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from seglab.images.decoders.base import Pixels
from seglab.images.decoders.tiff.directory import Directory, damaged
from seglab.images.decoders.tiff.plan import (
    CIELAB,
    CMYK,
    COLOURS,
    JPEGS,
    OLD_JPEG,
    PALETTE,
    RGB,
    WHITE_IS_ZERO,
    YCBCR,
    Plan,
)
from seglab.images.pixels.colour import to_srgb
from seglab.images.pixels.samples import Brought, Numbers, from_floats, from_signed, from_unsigned, to_bytes

APERIO_YCBCR = 33003
ASSOCIATED = 1
LARGEST, SMALLEST_FLOAT, LARGEST_FLOAT = 281, 340, 341
ROWS = 256
"""Rows that are converted at a time."""
REC_601 = (0.299, 0.587, 0.114)
FULL_RANGE = (0.0, 255.0, 128.0, 255.0, 128.0, 255.0)
D50 = (0.96422, 1.0, 0.82521)
XYZ_D50_TO_SRGB = (
    (3.1338561, -1.6168667, -0.4906146),
    (-0.9787684, 1.9161415, 0.0334540),
    (0.0719453, -0.2289914, 1.4052427),
)
"""Bradford-adapted (Lindbloom)."""
Bytes = NDArray[np.uint8]


def to_rgb(samples: Numbers, plan: Plan, page: Directory, profile: bytes) -> tuple[Pixels, tuple[str, ...]]:
    """Return samples ``(H, W, C)`` as RGB in sRGB, and remarks on the conversion. Raises :class:`ImageError`."""
    photometric = photometric_of(plan)
    colours = COLOURS[photometric][1]
    notes: list[str] = []
    if plan.extra > (1 if colours > 1 else plan.extra):
        notes.append(f"{plan.extra} channels besides its colours are left out")
    if photometric == PALETTE:
        return _paletted(samples[..., 0], palette_of(page, plan)), tuple(notes)
    if photometric in LABS:
        return _from_lab(samples[..., :3], plan), tuple(notes)
    alpha = samples[..., colours] if plan.extra and _is_associated(page) else None
    if alpha is not None:
        samples = _divided(samples[..., :colours], alpha, plan)
    brought, remarks = _eight_bits(samples[..., :colours], plan, page)
    converted, more = _converted(brought, photometric, page, profile)
    return converted, (*notes, *remarks, *more)


LABS = frozenset({8, 9})


def photometric_of(plan: Plan) -> int:
    """Return the photometric interpretation of the decoded samples: YCbCr of a JPEG was decoded to RGB, and one
    compression of JPEG 2000 implies YCbCr.
    """
    if plan.photometric == YCBCR and plan.compression in (*JPEGS, OLD_JPEG) and plan.in_segment == 3:
        return RGB
    return YCBCR if plan.compression == APERIO_YCBCR and plan.channels == 3 else plan.photometric


def palette_of(page: Directory, plan: Plan) -> Bytes:
    """Return a palette: uint8 ``(N, 3)``. Entries should have 16 bits, but some writers store 8."""
    size = 2**plan.bits
    entries = np.array(page.whole_numbers(320, 3 * size), np.int64)
    if not len(entries) or len(entries) % 3 or not 0 <= entries.min() <= entries.max() <= 0xFFFF:
        raise damaged(f"a palette of {len(entries)} numbers for samples of {plan.bits} bits")
    colours = entries.reshape(3, -1).T  # (N, 3)
    return np.asarray(colours >> 8 if int(colours.max()) > 0xFF else colours, np.uint8)


def _paletted(indices: Numbers, palette: Bytes) -> Bytes:
    if int(indices.max()) >= len(palette):
        raise damaged(f"a palette of {len(palette)} colours for samples up to {int(indices.max())}")
    return np.asarray(palette[indices])


def _eight_bits(samples: Numbers, plan: Plan, page: Directory) -> Brought:
    """Return samples scaled to 0-255 by the range that the file states."""
    if plan.bits == 8 and plan.kind == "u":
        return np.asarray(samples, np.uint8), ()
    lows, highs = page.numbers(SMALLEST_FLOAT), page.numbers(LARGEST_FLOAT)
    if plan.kind == "f":
        return from_floats(samples, min(lows, default=None), max(highs, default=None))
    said = [*highs, *page.numbers(LARGEST)]
    largest = int(max(said)) if said and np.isfinite(max(said)) else 0
    if plan.bits == 16 and plan.kind == "u" and not largest and plan.photometric in (WHITE_IS_ZERO, CMYK):
        return to_bytes(samples, 16), ()  # small values are bright here, so they do not show that fewer bits are used
    return (from_unsigned if plan.kind == "u" else from_signed)(samples, plan.bits, max(largest, 0))


def _converted(samples: Bytes, photometric: int, page: Directory, profile: bytes) -> tuple[Pixels, tuple[str, ...]]:
    """Return 8-bit samples as RGB, by the colour profile if there is one."""
    if photometric == WHITE_IS_ZERO:
        samples = np.invert(samples)
    elif photometric == YCBCR:
        samples = _from_ycbcr(samples, page)
    if not profile and photometric != CMYK:
        return (samples if samples.shape[2] == 3 else np.repeat(samples, 3, axis=2)), ()
    rgb, remark = to_srgb(_image(samples), profile or None)
    return rgb, (remark,) if remark else ()


def _image(samples: Bytes) -> Image.Image:
    channels = samples.shape[2]
    if channels == 4:
        return Image.merge("CMYK", [Image.fromarray(np.ascontiguousarray(samples[..., k])) for k in range(4)])
    return Image.fromarray(np.ascontiguousarray(samples[..., 0] if channels == 1 else samples))


def _is_associated(page: Directory) -> bool:
    return page.number(338, 0) == ASSOCIATED


def _divided(colours: Numbers, alpha: Numbers, plan: Plan) -> Numbers:
    """Undo the multiplication of colours by alpha that the file states, unless a colour above alpha disproves it."""
    if plan.kind == "i" or bool(np.any(colours > alpha[..., None])):
        return colours
    full = 1.0 if plan.kind == "f" else float(2**plan.bits - 1)
    if bool(np.all(alpha == full)) or not bool(np.any(alpha)):
        return colours
    divided = np.empty_like(colours)
    for row in range(0, len(colours), ROWS):
        part, over = colours[row : row + ROWS].astype(np.float64), alpha[row : row + ROWS, :, None]
        whole = part * full / np.where(over > 0, over, full)
        divided[row : row + ROWS] = whole if plan.kind == "f" else np.rint(whole)
    return divided


def _from_ycbcr(samples: Bytes, page: Directory) -> Bytes:
    """Return YCbCr as RGB, by the page's coefficients and reference range (TIFF 6.0, section 21)."""
    red, green, blue = coefficients if len(coefficients := page.numbers(529, 3)) == 3 else REC_601
    given = page.numbers(532, 6)
    black = FULL_RANGE if len(given) < 6 or any(a == b for a, b in zip(given[::2], given[1::2], strict=True)) else given
    green = green or 1.0
    converted = np.empty(samples.shape, np.uint8)
    for row in range(0, len(samples), ROWS):
        part = samples[row : row + ROWS].astype(np.float32)
        luma = (part[..., 0] - black[0]) * (255 / (black[1] - black[0]))
        chroma = [(part[..., 1 + k] - black[2 + 2 * k]) * (127 / (black[3 + 2 * k] - black[2 + 2 * k])) for k in (0, 1)]
        r, b = luma + chroma[1] * (2 - 2 * red), luma + chroma[0] * (2 - 2 * blue)
        g = (luma - blue * b - red * r) / green
        converted[row : row + ROWS] = np.clip(np.stack([r, g, b], axis=-1) + 0.5, 0, 255)
    return converted


def _from_lab(samples: Numbers, plan: Plan) -> Bytes:
    """Return CIE L*a*b* (white point D50) as sRGB (TIFF 6.0, section 23; ICC: a* and b* with an offset)."""
    scale = 2.0 ** (plan.bits - 8)
    converted = np.empty(samples.shape, np.uint8)
    for row in range(0, len(samples), ROWS):
        part = samples[row : row + ROWS]
        if plan.photometric == CIELAB:
            signed = part[..., 1:].astype(f"i{plan.bits // 8}").astype(np.float64) / scale
            lightness = part[..., 0] * (100 / (2**plan.bits - 1))
        else:
            signed = part[..., 1:] / scale - 128
            lightness = part[..., 0] * (100 / (255 if plan.bits == 8 else 0xFF00))
        converted[row : row + ROWS] = _lab_to_srgb(lightness, signed)
    return converted


def _lab_to_srgb(lightness: NDArray[np.float64], ab: NDArray[np.float64]) -> Bytes:
    """``lightness``: ``(H, W)``, 0-100; ``ab``: ``(H, W, 2)``, -128 to 127."""
    y = (lightness + 16) / 116
    bent = np.stack([y + ab[..., 0] / 500, y, y - ab[..., 1] / 200], axis=-1)  # (H, W, 3)
    xyz = np.where(bent > 6 / 29, bent**3, (bent - 4 / 29) * (3 * (6 / 29) ** 2)) * D50
    linear = np.clip(xyz @ np.array(XYZ_D50_TO_SRGB).T, 0, 1)
    coded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.asarray(coded * 255 + 0.5, np.uint8)

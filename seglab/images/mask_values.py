"""Interpretation of the values of a mask. Clear cases are read, ambiguous ones are refused.

The shape is in the channel that varies: grey, one colour on black (RGB or by a palette), or alpha where the colour is
constant. Transparent pixels are background. Where white is zero, samples are inverted. Then these rules apply:

| values | lesion |
| --- | --- |
| 0 only | nothing |
| 1, 255, 65535 or the largest value only | everything |
| 0 and one other (of floats one from 0.5) | the other |
| floats from 0 to 1 | from 0.5 |
| from about 0 to about 255, 65535 or the largest value, with soft edges | from half of that |
| several levels that fill areas (classes), photographs, anything else | refused |
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from seglab.errors import ImageError
from seglab.images.decoders.base import Stored

Samples = NDArray[Any]
FEW = 16
"""Up to this many values are chosen levels or steps of an antialiased edge; blur, JPEG and networks give more."""
END = 1 / 8
"""Values closer to an end of the range than this share of it belong to that end."""
MOST_BETWEEN = {8: 0.5}
"""By bits: share of pixels between the ends from which a picture counts as a photograph; 0.8 for other depths."""
AREA = 0.001
"""Share of an image's pixels from which a level, a colour or a class counts as an area."""
CLASSES = 8
"""Most areas of classes that are looked for between the ends of a blurred picture, and what share of all even areas
there is theirs: those of a smooth probability map have any value."""
MOST_EVEN = 0.9
LEAST_EVEN = 0.01
COLOUR_NOISE = 1 / 8
MOST_OF_ONE_COLOUR = 0.9
"""Least share of a soft colour mask that is black or has the lesion's colour, within :data:`COLOUR_NOISE`."""
NEAR_END, MOST_AT_ENDS = 1 / 12, 0.97
"""Least share of a mask that is nearly black or nearly white; the rest is what JPEG blurs."""
MOST_IN_CLASSES, MOST_CLASSES = 0.8, 64
"""Least share of a class mask that is in areas, and its largest number of values; photographs with palettes differ."""
SHOWN = 6


@dataclass(frozen=True, slots=True)
class Truth:
    """``mask``: uint8 ``(H, W)``, 0 or 255. ``between``: share of pixels between the lowest and the highest value,
    which were cut at half.
    """

    mask: NDArray[np.uint8]
    between: float = 0.0


def truth_of(stored: Stored) -> Truth:
    """Return the mask of the lesion. Raises :class:`ImageError` where the samples are ambiguous."""
    plane, full = _shape(stored)
    values, counts = levels(plane)
    lowest, highest = values[0], values[-1]
    is_float = plane.dtype.kind == "f"
    if is_float and not np.isfinite(highest):
        raise _unclear("it has values that are not numbers")
    if lowest < 0:
        raise _unclear(f"its values are {_listed(values)}, some negative")
    if len(values) == 1:
        return _constant(plane, float(lowest), full)
    if len(values) == 2 and lowest == 0 and not (is_float and highest < 0.5):
        return Truth(_from(plane, float(highest)))
    top = _top(float(highest), full)
    _require_range(values, top, is_float)
    _require_two_areas(plane, values, counts, top)
    return Truth(_from(plane, top / 2), 1 - float(counts[0] + counts[-1]) / plane.size)


def is_mask_like(stored: Stored) -> bool:
    """Return whether samples are those of a mask (binary or of classes) and not of a photograph."""
    try:
        plane, full = _shape(stored)
    except ImageError:  # more than one colour
        return _has_classes(stored)
    values, counts = levels(plane)
    if (len(values) <= 2 and values[0] == 0) or plane.dtype.kind == "f":
        return True
    top = _top(float(values[-1]), full)
    at_ends = counts[(values <= NEAR_END * top) | (values >= (1 - NEAR_END) * top)].sum()
    return bool(at_ends >= MOST_AT_ENDS * plane.size) or _has_classes(stored)


def _has_classes(stored: Stored) -> bool:
    """Return whether a few values or colours, one of them 0 or black, fill areas."""
    values: Samples = stored.values[..., : stored.values.shape[2] - stored.extra]
    if stored.palette is not None:
        values = stored.palette[values[..., 0].astype(np.intp) % len(stored.palette)]  # (H, W, 3)
    if values.dtype.kind == "f":
        return False
    low, high = (np.asarray(part, np.uint8) for part in (values & 0xFF, values >> 8 & 0xFF))
    even = _even(low) & _even(high)
    if even.mean() < MOST_IN_CLASSES:
        return False
    packed = sum((values[..., channel].astype(np.uint64) << 16 * channel) for channel in range(values.shape[2]))
    classes = np.unique(np.asarray(packed)[even])
    return bool(classes[0] == 0) and len(classes) <= MOST_CLASSES


def levels(plane: Samples) -> tuple[Samples, NDArray[np.int64]]:
    """Return the sorted values in ``(H, W)`` and their counts; NaNs come last."""
    if plane.dtype == np.uint8:
        counts = cv2.calcHist([plane], [0], None, [256], [0, 256]).ravel()
    elif plane.dtype == np.uint16:
        counts = np.bincount(plane.ravel(), minlength=65536)
    else:
        return np.unique(plane, return_counts=True)
    there = np.flatnonzero(counts)
    return there, counts[there].astype(np.int64)


def _shape(stored: Stored) -> tuple[Samples, float]:
    """Return the samples that hold the shape, ``(H, W)``, background lowest, and their largest possible value."""
    values: Samples = stored.values.view(np.uint8) if stored.values.dtype == np.bool_ else stored.values
    full = 1.0 if values.dtype.kind == "f" else float(2 ** (stored.bits - (values.dtype.kind == "i")) - 1)
    channels = values.shape[2] - stored.extra
    colours, alphas = values[..., :channels], values[..., channels:]
    if stored.colours == "white is zero":
        colours = np.asarray(full).astype(values.dtype) - colours
    elif stored.palette is not None:
        colours, full = _by_palette(colours, stored.palette, full)
    shape = _seen(colours, alphas) if stored.extra else colours
    return _one_channel(shape), full


def _by_palette(indices: Samples, palette: NDArray[np.uint8], full: float) -> tuple[Samples, float]:
    """Return the colours of a palette image, or its indices where colours do not distinguish them."""
    used = levels(np.ascontiguousarray(indices[..., 0]))[0]
    if len(used) and int(used[-1]) >= len(palette):
        raise _unclear(f"it has index {used[-1]} of a palette of {len(palette)} colours")
    if len(used) > 1 and len(np.unique(palette[used], axis=0)) == 1:
        return indices, full
    if np.ptp(palette[used], axis=1).any():
        return np.asarray(palette[indices[..., 0]]), 255.0  # (H, W, 3)
    return np.asarray(palette[:, 0][indices]), 255.0  # (H, W, 1): all greys


def _seen(colours: Samples, alphas: Samples) -> Samples:
    """Return colours ``(H, W, C)`` over black, or alpha where that holds the shape."""
    varying = [alpha for alpha in np.moveaxis(alphas, 2, 0) if alpha.min() != alpha.max()]
    if len(varying) > 1:
        raise _unclear(f"it has {len(varying)} channels besides its colours that vary")
    if not varying:
        if not alphas.any() and colours.any() and _is_constant(colours.reshape(-1, colours.shape[2])):
            raise _unclear("it is all transparent, in one colour")
        return colours
    alpha = varying[0]
    visible = alpha > 0
    if not _is_constant(colours[visible]):
        return np.where(visible[..., None], colours, np.zeros((), colours.dtype))
    if colours[visible][0].any() or _is_constant(colours.reshape(-1, colours.shape[2])):
        return np.asarray(alpha[..., None])
    raise _unclear("its alpha channel and its colours tell different shapes")


def _is_constant(pixels: Samples) -> bool:
    """Return whether all pixels of ``(N, C)`` are equal."""
    return bool((pixels == pixels[:1]).all())


def _one_channel(colours: Samples) -> Samples:
    """Return grey ``(H, W, 1)``, or one colour on black ``(H, W, 3)``, as ``(H, W)``."""
    if colours.shape[2] == 1:
        return np.ascontiguousarray(colours[..., 0])
    if colours.shape[2] != 3:
        raise _unclear(f"it has {colours.shape[2]} channels")
    red, green, blue = (np.ascontiguousarray(channel) for channel in np.moveaxis(colours, 2, 0))
    if np.array_equal(red, green) and np.array_equal(green, blue):
        return red
    brightest: Samples = np.maximum(np.maximum(red, green), blue)
    _require_one_colour(colours, brightest)
    return brightest


def _require_one_colour(colours: Samples, brightest: Samples) -> None:
    """Raise :class:`ImageError` where another colour than black and the lesion's fills an area."""
    top = float(brightest.max())
    is_bright = brightest >= top / 2
    lesion = np.median(colours[is_bright], axis=0).astype(np.float32)  # (3,)
    far = np.abs(colours - lesion).max(axis=2) > COLOUR_NOISE * top
    others = is_bright & far & _even(_as_bytes(colours, top))
    if others.mean() > AREA:
        raise _unclear(f"it has more than one colour ({_named(lesion)}, {_named(colours[others][0])})")
    if len(levels(brightest)[0]) > FEW and np.mean(far & (brightest > COLOUR_NOISE * top)) > 1 - MOST_OF_ONE_COLOUR:
        raise _unclear("it has many colours, like a photograph")


def _constant(plane: Samples, value: float, full: float) -> Truth:
    if value not in (0, 1, 255, 65535, full):
        raise _unclear(f"its only value is {value:g}")
    return Truth(np.full(plane.shape, 255 if value else 0, np.uint8))


def _from(plane: Samples, least: float) -> NDArray[np.uint8]:
    """Return 255 where samples are at least ``least``, else 0."""
    if plane.dtype == np.uint8:
        return np.asarray(cv2.threshold(plane, math.ceil(least) - 1, 255, cv2.THRESH_BINARY)[1], np.uint8)
    return np.where(plane >= least, np.uint8(255), np.uint8(0))


def _top(highest: float, full: float) -> float:
    """Return the upper end of the range in use; deeper samples may hold 8-bit values."""
    tops = sorted({full, *(top for top in (255.0, 65535.0) if top < full or full == 1)})
    return next((top for top in tops if top >= highest), highest)


def _require_range(values: Samples, top: float, is_float: bool) -> None:
    """Raise :class:`ImageError` unless there are values at both ends of the range."""
    few = len(values) <= FEW and not (is_float and top == 1)
    least, most = (1 - END, END) if few else (0.5, 0.25 if top != 1 else 0.5)
    if values[-1] < least * top or values[0] > most * top:
        raise _unclear(f"its values are {_listed(values)}")


def _require_two_areas(plane: Samples, values: Samples, counts: NDArray[np.int64], top: float) -> None:
    """Raise :class:`ImageError` for classes, which fill areas with further values, and for photographs."""
    if len(values) <= FEW:
        ranks = np.searchsorted(values, plane).astype(np.uint8)  # (H, W)
        areas = np.bincount(ranks[_even(ranks)], minlength=len(values))
        if (areas[1:-1] > AREA * plane.size).any():
            raise _unclear(f"its values are {_listed(values)}, more than two of them over areas (classes?)")
        return
    is_between = (values > END * top) & (values < (1 - END) * top)
    share = counts[is_between].sum() / plane.size
    if plane.dtype.kind != "f" and share > MOST_BETWEEN.get(8 if top == 255 else 16, 0.8):
        raise _unclear(f"{share:.0%} of its pixels are neither dark nor bright (a photograph?)")
    pixels = _as_bytes(plane, top)
    even = pixels[_even(pixels)]
    even = even[(even > END * 255) & (even < (1 - END) * 255)]
    sizes = np.sort(np.bincount(even, minlength=256))
    if even.size > LEAST_EVEN * plane.size and sizes[-CLASSES:].sum() > MOST_EVEN * even.size:
        raise _unclear(f"{even.size / plane.size:.0%} of its pixels fill areas with values between the ends (classes?)")


def _as_bytes(samples: Samples, top: float) -> NDArray[np.uint8]:
    """Return samples from 0 to ``top`` scaled to 0-255."""
    if samples.dtype == np.uint8 and top == 255:
        return np.asarray(samples, np.uint8)
    return np.asarray(np.rint(samples * (255 / top)), np.uint8)


def _even(pixels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return where a pixel of ``(H, W)`` or ``(H, W, C)`` equals all its neighbours: ``(H, W)``."""
    block = np.ones((3, 3), np.uint8)
    same = np.atleast_3d(cv2.erode(pixels, block) == cv2.dilate(pixels, block))
    return np.asarray(same.all(axis=2))


def _listed(values: Samples) -> str:
    shown = ", ".join(f"{value:.4g}" if isinstance(value, float) else str(value) for value in values[:SHOWN].tolist())
    return shown if len(values) <= SHOWN else f"{shown}, ... up to {values[-1]:.6g} ({len(values)} values)"


def _named(colour: Samples) -> str:
    return "/".join(f"{value:.4g}" for value in colour.tolist())


def _unclear(found: str) -> ImageError:
    return ImageError(
        f"Not clear what in this mask is lesion: {found}; expected 0 for background and one other value for lesion, as "
        "0 and 255. Save it as 8-bit grey with 0 and 255."
    )

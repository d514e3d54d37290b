"""Conversion of embedded colour profiles to sRGB, on which networks are trained.

The intent is relative colorimetric with black point compensation: colours inside sRGB are exact, and the darkest shade
of a printer stays dark. (Perceptual tables differ between vendors and shift all colours.)
"""

from __future__ import annotations

import functools
import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageCms

from seglab.errors import ImageError, printable
from seglab.images.pixels.icc import HDR, ColourSpace, coded_space

LARGEST_PROFILE = 16 << 20
"""Largest profile in bytes; those of printers have a few million."""
NEARLY = 2
"""A profile that changes colours by at most this many levels, as from rounding in its tables, counts as sRGB."""
STEEP = 4
"""Levels of sRGB that one of a profile makes at black; linear light makes 13, a gamma of 1.4 makes 3."""
NAME_LENGTH = 60
INTENT = ImageCms.Intent.RELATIVE_COLORIMETRIC
FLAGS = ImageCms.Flags.BLACKPOINTCOMPENSATION
EXACT = ImageCms.Flags.NOOPTIMIZE
"""Of 16 bits lcms would else make a coarse table, which is wrong by up to 12 levels where a channel is nearly black."""
CLASSES = frozenset({"mntr", "scnr", "prtr", "spac"})
"""Classes of profiles of devices and colour spaces; others (links, named colours) do not describe images."""
SPACES = {"RGB ": "RGB", "GRAY": "L", "CMYK": "CMYK"}
FAMILIES = {"1": "L", "L": "L", "LA": "L", "CMYK": "CMYK"}
UNUSABLE = "its colour profile cannot be used; colours are taken as sRGB"


@dataclass(frozen=True, slots=True)
class _Conversion:
    """``transform``: None where the profile is (nearly) sRGB. ``name``: name of the profile for users. ``is_steep``:
    whether one level in the darkest part becomes several in sRGB.
    """

    transform: ImageCms.ImageCmsTransform | None
    name: str
    input_mode: str
    is_steep: bool

    @property
    def remark(self) -> str:
        return f"colours converted from {self.name} to sRGB"


def to_srgb(image: Image.Image, profile: bytes | None) -> tuple[Image.Image, str | None]:
    """Return an image of any 8-bit mode, with or without an ICC ``profile``, in sRGB, mode RGB, without alpha.

    The second value is a remark where the profile changed colours or could not be used. Without a profile, or with one
    that is equivalent to sRGB, pixels do not change.
    """
    if not profile:
        return _plain(image, "RGB"), None
    family = FAMILIES.get(image.mode, "RGB")
    conversion = _conversion(profile, family) or (_conversion(profile, "RGB") if family == "L" else None)
    if conversion is None:
        return _plain(image, "RGB"), UNUSABLE
    if conversion.transform is None:
        return _plain(image, "RGB"), None
    # lcms copies what a call changes, so one transform serves several threads.
    converted = conversion.transform.apply(_plain(image, conversion.transform.input_mode))
    return converted, conversion.remark if _differ(_plain(image, "RGB"), converted) else None


def deep_to_srgb(samples: NDArray[np.uint16], profile: bytes) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    """Return uint16 RGB ``(H, W, 3)`` or grey ``(H, W)``, full range with an ICC ``profile``, as uint8 sRGB
    ``(H, W, 3)``, with remarks.

    Samples are rounded to 8 bits first, except for nearly linear profiles, where 8 bits lose the dark half.
    """
    high = Image.fromarray(((samples - (samples >> 8) + 128) >> 8).astype(np.uint8))  # to the nearest of 255 steps
    conversion = _conversion(profile, high.mode) or _conversion(profile, "RGB")
    if conversion is None or not conversion.is_steep:
        converted, remark = to_srgb(high, profile)
        return np.array(converted, np.uint8), (remark,) if remark else ()
    import imagecodecs

    is_rgb = conversion.input_mode == "RGB"
    if is_rgb and samples.ndim == 2:  # grey that is described by a colour space
        samples = np.repeat(samples[..., None], 3, axis=2)  # (H, W, 3)
    exact = imagecodecs.cms_transform(
        samples, profile, _srgb().tobytes(), colorspace="rgb" if is_rgb else "gray", outcolorspace="rgb",
        outdtype="uint8", intent=int(INTENT), flags=int(FLAGS | EXACT),
    )  # fmt: skip
    return np.asarray(exact, np.uint8), (conversion.remark,)


def coded_profile(primaries: int, transfer: int, kind: str) -> tuple[bytes | None, str | None]:
    """Return the ICC profile for two code points of ITU-T H.273, or a remark if they are unknown.

    Raises :class:`ImageError` for high dynamic range. ``kind``: of the file, with its article.
    """
    if (hdr := HDR.get(transfer)) is not None:
        raise ImageError(
            f"{kind[0].upper()}{kind[1:]} of high dynamic range ({hdr}); expected ordinary colours (sRGB, Display P3). "
            "Save it as an ordinary JPEG or PNG."
        )
    space = coded_space(primaries, transfer)
    if space is None:
        return None, f"its colour space (code {primaries}, {transfer}) is not known; colours are taken as sRGB"
    return space_profile(space, f"colour space {primaries}, {transfer}"), None


@functools.lru_cache(maxsize=16)
def space_profile(space: ColourSpace, name: str) -> bytes | None:
    """Return the ICC profile of a colour space; None for sRGB. Raises :class:`ValueError` if it is invalid."""
    return None if space == ColourSpace() else space.profile(name)


def _differ(before: Image.Image, after: Image.Image) -> bool:
    histogram = ImageChops.difference(before, after).histogram()  # 256 of each band
    return any(count for place, count in enumerate(histogram) if place % 256 > NEARLY)


def _plain(image: Image.Image, mode: str) -> Image.Image:
    return image if image.mode == mode else image.convert(mode)


@functools.cache
def _srgb() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))


@functools.lru_cache(maxsize=16)
def _conversion(profile: bytes, mode: str) -> _Conversion | None:
    """Return the conversion of a mode (RGB, L, CMYK) from a profile to sRGB; None where the profile is unusable."""
    if len(profile) > LARGEST_PROFILE:
        return None
    try:
        given = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if given.profile.device_class not in CLASSES or SPACES.get(given.profile.xcolor_space) != mode:
            return None
        transform = ImageCms.ImageCmsTransform(given, _srgb(), mode, "RGB", INTENT, flags=FLAGS)
        return _Conversion(None if _changes_nothing(transform) else transform, _name(given), mode, _is_steep(transform))
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None


def _name(profile: ImageCms.ImageCmsProfile) -> str:
    try:
        name = printable(profile.profile.profile_description or "").strip()
    except (ValueError, OSError, TypeError):
        name = ""
    return name[:NAME_LENGTH] or "its profile"


def _is_steep(transform: ImageCms.ImageCmsTransform) -> bool:
    if transform.input_mode == "CMYK":
        return False
    darkest = Image.new("L", (1, 1), 1).convert(transform.input_mode)
    return bool(np.asarray(transform.apply(darkest)).max() > STEEP)


def _changes_nothing(transform: ImageCms.ImageCmsTransform) -> bool:
    """Return whether a transform to sRGB is nearly the identity on all greys and a grid of colours."""
    if transform.input_mode == "CMYK":
        return False
    sample = _sample().convert(transform.input_mode)
    before, after = np.asarray(sample.convert("RGB"), np.int16), np.asarray(transform.apply(sample), np.int16)
    return int(np.abs(before - after).max()) <= NEARLY


@functools.cache
def _sample() -> Image.Image:
    steps = np.arange(0, 256, 17)
    grid = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(-1, 3)  # (4096, 3)
    greys = np.repeat(np.arange(256)[:, None], 3, axis=1)  # (256, 3)
    return Image.fromarray(np.concatenate([grid, greys])[None].astype(np.uint8))

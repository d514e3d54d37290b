"""Embedded colour profiles: photographs come out in sRGB, which is what the networks are trained on.

Relative colorimetric, with black point compensation: colours that sRGB has come out exactly as they were meant, and the
darkest shade of a printer stays dark. (Perceptual tables differ from maker to maker and shift all colours.)
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
"""Bytes; printers' profiles have a few million."""
NEARLY = 2
"""Levels by which a profile may change colours and is taken as sRGB: what rounding in its tables does."""
STEEP = 4
"""Levels of sRGB that one of a profile makes at black; linear light makes 13, a gamma of 1.4 makes 3."""
NAME_LENGTH = 60
INTENT = ImageCms.Intent.RELATIVE_COLORIMETRIC
FLAGS = ImageCms.Flags.BLACKPOINTCOMPENSATION
EXACT = ImageCms.Flags.NOOPTIMIZE
"""Of 16 bits lcms would else make a coarse table, which is wrong by up to 12 levels where a channel is nearly black."""
CLASSES = frozenset({"mntr", "scnr", "prtr", "spac"})
"""Profiles of devices and colour spaces; others (links, named colours, effects) say nothing of an image."""
SPACES = {"RGB ": "RGB", "GRAY": "L", "CMYK": "CMYK"}
FAMILIES = {"1": "L", "L": "L", "LA": "L", "CMYK": "CMYK"}
UNUSABLE = "its colour profile cannot be used; colours are taken as sRGB"


@dataclass(frozen=True, slots=True)
class _Conversion:
    """``transform``: None where the profile is (nearly) sRGB. ``name``: what a user knows the profile by. ``is_steep``:
    does one level of the darkest make several of sRGB?
    """

    transform: ImageCms.ImageCmsTransform | None
    name: str
    input_mode: str
    is_steep: bool

    @property
    def remark(self) -> str:
        return f"colours converted from {self.name} to sRGB"


def to_srgb(image: Image.Image, profile: bytes | None) -> tuple[Image.Image, str | None]:
    """Convert an image of any mode of 8 bits that may have an ICC ``profile`` to sRGB, mode RGB, without alpha.

    The second value is a remark where colours were changed by it, or the profile could not be used. Without a profile,
    or with one that is sRGB by what it does, pixels stay as they are.
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
    """Convert uint16 ``(H, W, 3)`` RGB or ``(H, W)`` grey of the full range, with an ICC ``profile``, to uint8 sRGB
    ``(H, W, 3)``, with remarks.

    Rounded to 8 bits they are good enough, but of (nearly) linear light, of which 8 bits do not hold the dark half.
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
    """Return the ICC profile for two code points of ITU-T H.273, or a remark where there is none for them.

    Raises :class:`ImageError` for high dynamic range; ``kind`` is the file's, with its article.
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
    """Return the ICC profile of a colour space; None for sRGB. Raises :class:`ValueError` for what is none."""
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
    """Return how colours of a mode (RGB, L, CMYK) get from a profile to sRGB; None where the profile is of no use."""
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
    """Is a transform to sRGB nearly the identity, on all greys and a grid of colours?"""
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

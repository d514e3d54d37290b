"""Embedded colour profiles: photographs come out in sRGB, which is what the networks are trained on."""

from __future__ import annotations

import functools
import io

from PIL import Image, ImageCms

MODES = ("RGB", "L", "CMYK")


def to_srgb(image: Image.Image, profile: bytes | None) -> tuple[Image.Image, str | None]:
    """Convert an image (mode RGB, L or CMYK) that has an ICC ``profile`` to sRGB, mode RGB.

    The second value is a remark where colours were changed by it, or the profile could not be used. Without a profile,
    or with one of sRGB, pixels stay as they are.
    """
    plain = image if image.mode == "RGB" else image.convert("RGB")
    if not profile or image.mode not in MODES:
        return plain, None
    try:
        transform, name = _transform(profile, image.mode)
        if transform is None:
            return plain, None
        converted = transform.apply(image)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return plain, "its colour profile cannot be used; colours are taken as sRGB"
    return converted, f"colours converted from {name} to sRGB"


@functools.lru_cache(maxsize=16)
def _transform(profile: bytes, mode: str) -> tuple[ImageCms.ImageCmsTransform | None, str]:
    given = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    name = (ImageCms.getProfileDescription(given) or "its profile").strip()
    if mode == "RGB" and "srgb" in name.lower():
        return None, name
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    return ImageCms.ImageCmsTransform(given, srgb, mode, "RGB"), name

"""TIFF and BigTIFF: the page that is the photograph, decoded strip by strip, brought to RGB by what its tags say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from PIL import Image

from seglab.images.completeness import RawRows, require_rows, require_strips
from seglab.images.decoders.base import Decoded, Pixels, Request, Stored, whole
from seglab.images.decoders.tiff.colours import palette_of, photometric_of, to_rgb
from seglab.images.decoders.tiff.directory import Directory
from seglab.images.decoders.tiff.pages import Photograph, photograph
from seglab.images.decoders.tiff.plan import COLOURS, NO_COMPRESSION, PALETTE, RGB, Plan, plan
from seglab.images.decoders.tiff.segments import Samples, read_samples, require_decodable, segments_of
from seglab.images.pixels.orientation import UPRIGHT, upright, upright_image

ORIENTATION, PROFILE = 274, 34675


def decode(data: bytes, request: Request) -> Decoded:
    """Decode the photograph in a TIFF. Raises :class:`ImageError`."""
    chosen = photograph(data)
    samples, made = _samples(chosen, request)
    page = chosen.pages[0]
    pixels, remarks = to_rgb(samples, made, page, page.raw(PROFILE))
    return whole(_turned(pixels, _orientation(page)), *chosen.remarks, *remarks)


def stored(data: bytes, request: Request) -> Stored:
    """Return the samples of a TIFF's first whole page as they are stored, upright. Raises :class:`ImageError`."""
    chosen = photograph(data)
    samples, made = _samples(chosen, request)
    page = chosen.pages[0]
    colours, channels = COLOURS[photometric_of(made)]
    palette = palette_of(page, made) if made.photometric == PALETTE else None
    turned = upright(samples, _orientation(page))
    return Stored(turned, colours, made.bits, samples.shape[2] - channels, palette)


def _samples(chosen: Photograph, request: Request) -> tuple[Samples, Plan]:
    """Decode one page, or the three that are red, green and blue: ``(H, W, C)``."""
    plans = [plan(page, request) for page in chosen.pages]
    for page, made in zip(chosen.pages, plans, strict=True):
        require_decodable(made)
        _require_complete(page, made)
    parts = [read_samples(page, made) for page, made in zip(chosen.pages, plans, strict=True)]
    if len(parts) == 1:
        return parts[0], plans[0]
    return np.concatenate(parts, axis=2), replace(plans[0], photometric=RGB, channels=len(parts))


def _require_complete(page: Directory, made: Plan) -> None:
    found = segments_of(page, made)
    if made.compression != NO_COMPRESSION:
        require_strips(page.data, found)
    elif not made.is_tiled:
        require_rows(page.data, RawRows(found[0][0], made.row_bytes, 2 if made.bits == 16 else 1))


def _orientation(page: Directory) -> int:
    given = page.number(ORIENTATION, UPRIGHT)
    return given if 1 <= given <= 8 else UPRIGHT


def _turned(pixels: Pixels, orientation: int) -> Pixels:
    return upright_image(pixels, orientation) if isinstance(pixels, Image.Image) else upright(pixels, orientation)

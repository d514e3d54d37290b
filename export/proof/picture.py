"""A picture of the images on which a model and its original agree least, with both outlines."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

from export.proof.gate import Original, ParityReport, Row
from export.runtime.model import Model
from export.samples import Sample
from seglab.files import write_bytes
from seglab.images.outlines import JPEG_QUALITY, overlay

WORST = 4
TILE = 360
"""Longest side of a picture in pixels."""
CAPTION = 22
PICTURE_MARK = "seg-export drew this picture of parity"
ZOOM = 24
"""Side of the enlarged detail in pixels of the image; larger for large images (see :func:`_differing`)."""
HEAD = "model: cyan, original: amber; framed, and enlarged on the right: where they differ most"
FRAME = (255, 255, 255), (0, 0, 0)
"""Colours of the frame around the detail, outside and inside: one of them is visible on any image."""

Picture = NDArray[np.uint8]


def draw_worst(path: Path, model: Model, original: Original, samples: Iterable[Sample], report: ParityReport) -> None:
    """Draw the :data:`WORST` images of a report: whole, and the place where the masks differ most, enlarged.

    The images are read and run again. Writes PNG or JPEG, by the suffix.
    """
    chosen = {row.image: row for row in worst_rows(report.rows)}
    drawn = {
        sample.name: _line(sample, chosen[sample.name], model, original) for sample in samples if sample.name in chosen
    }
    lines = [drawn[name] for name in chosen if name in drawn]
    head = np.full((CAPTION + 8, 2 * TILE, 3), 255, np.uint8)
    _write(head, f"{HEAD}  ({report.device}, {report.precision})", 18)
    _write_marked(path, np.vstack([head, *lines]))


def _write_marked(path: Path, picture: Picture) -> None:
    """Write a picture with a comment that tells a later run that it may replace it."""
    file = io.BytesIO()
    if path.suffix.lower() == ".png":
        notes = PngImagePlugin.PngInfo()
        notes.add_text("Comment", PICTURE_MARK)
        Image.fromarray(picture).save(file, "PNG", pnginfo=notes)
    else:
        Image.fromarray(picture).save(file, "JPEG", quality=JPEG_QUALITY, comment=PICTURE_MARK.encode())
    write_bytes(path, file.getvalue())


def worst_rows(rows: Sequence[Row], count: int = WORST) -> list[Row]:
    """Return the rows of pictures with the lowest mask Dice, then those with the largest difference of probabilities.

    Edge cases come after all pictures: a network's result on noise is not worth looking at.
    """
    return sorted(rows, key=lambda row: (row.host_dice is None, row.whole.dice, -row.whole.max_prob))[:count]


def _line(sample: Sample, row: Row, model: Model, original: Original) -> Picture:
    mask = model.mask(sample.image[None])[0]
    _, expected = original.prob_and_mask(sample.image)
    place = _differing(mask, expected)
    whole = _framed(_fitted(overlay(sample.image, _outlined(mask), _outlined(expected))), place, mask.shape)
    detail = _enlarged(sample.image, mask, expected, place)
    caption = np.full((CAPTION, 2 * TILE, 3), 255, np.uint8)
    figures = f"Dice {row.whole.dice:.6f}, {row.whole.flipped} of {row.whole.pixels} pixels differ"
    _write(caption, f"{sample.name}: {figures}, prob by up to {row.whole.max_prob:.1e}", 15)
    return np.vstack([np.hstack([whole, detail]), caption])


@dataclass(frozen=True)
class _Place:
    """A square of an image: its upper left corner and its side, in pixels."""

    top: int
    left: int
    side: int

    @property
    def factor(self) -> int:
        """Return by how much it is enlarged: the side of an enlarged pixel."""
        return max(1, TILE // self.side)


def _differing(mask: Picture, expected: Picture) -> _Place:
    """Return the square around the place with the most differing pixels."""
    height, width = mask.shape
    side = min(max(ZOOM, max(height, width) // 20), height, width)
    density = cv2.boxFilter((mask != expected).astype(np.float32), -1, (side, side))
    if not density.any():  # nothing differs: show the border of the mask
        density = cv2.boxFilter(cv2.Laplacian(mask, cv2.CV_32F).clip(0, 1), -1, (side, side))
    y, x = np.unravel_index(int(density.argmax()), density.shape)
    top, left = (min(max(0, int(at) - side // 2), length - side) for at, length in ((y, height), (x, width)))
    return _Place(top, left, side)


def _enlarged(image: Picture, mask: Picture, expected: Picture, place: _Place) -> Picture:
    """Return a square, enlarged pixel by pixel, with the scale written on it."""
    part = (slice(place.top, place.top + place.side), slice(place.left, place.left + place.side))
    enlarged = [
        np.asarray(cv2.resize(plane, None, fx=place.factor, fy=place.factor, interpolation=cv2.INTER_NEAREST), np.uint8)
        for plane in (image[part], _outlined(mask[part]), _outlined(expected[part]))
    ]
    tile = _fitted(overlay(*enlarged))
    scale = f"x {TILE / place.side:.2g}" if place.side > TILE else f"x {round(TILE / place.side)}"
    cv2.rectangle(tile, (0, 0), (10 + 9 * len(scale), 20), FRAME[0], cv2.FILLED)
    _write(tile, scale, 14)
    return tile


def _framed(tile: Picture, place: _Place, size: tuple[int, ...]) -> Picture:
    """Draw a frame around a square on the picture of the whole image, whose height and width are ``size``."""
    factor = TILE / max(size)
    corners = [round(at * factor) for at in (place.left, place.top, place.left + place.side, place.top + place.side)]
    for colour, wider in zip(FRAME, (2, 1), strict=True):
        cv2.rectangle(
            tile, (corners[0] - wider, corners[1] - wider), (corners[2] + wider, corners[3] + wider), colour, 1
        )
    return tile


def _outlined(mask: Picture) -> Picture:
    """Return 255 where a mask is not background, else 0."""
    return np.where(np.ascontiguousarray(mask) > 0, np.uint8(255), np.uint8(0))


def _fitted(picture: Picture) -> Picture:
    """Fit a picture into a white tile."""
    factor = TILE / max(picture.shape[:2])
    size = (max(1, round(picture.shape[1] * factor)), max(1, round(picture.shape[0] * factor)))
    way = cv2.INTER_AREA if factor < 1 else cv2.INTER_NEAREST
    small = np.asarray(cv2.resize(picture, size, interpolation=way), np.uint8)
    tile = np.full((TILE, TILE, 3), 255, np.uint8)
    tile[: small.shape[0], : small.shape[1]] = small
    return tile


def _write(picture: Picture, text: str, baseline: int) -> None:
    cv2.putText(picture, text, (4, baseline), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (0, 0, 0), 1, cv2.LINE_AA)

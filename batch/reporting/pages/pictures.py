"""Small pictures of photographs with outlines, for pages: few bytes each, read in few threads, in bounded time."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from batch.cores import cores
from batch.errors import SourceError
from batch.reporting.thumbnails import THUMBNAIL_SIDE, jpeg
from batch.sources.ahead import map_ahead
from batch.sources.archives.kinds import COMPRESSED, kind_of_file
from batch.sources.by_path import Photographs, archive_of
from batch.urls import is_url, path_part
from seglab.errors import ImageError, SeglabError
from seglab.images.outlines import label_overlay, overlay
from seglab.images.pictures import sides_within
from seglab.images.reader import read_photo


class Size(NamedTuple):
    """How large pictures are. ``sides``: longest sides in pixels, tried until a picture has at most ``most_bytes``."""

    sides: tuple[int, ...]
    most_bytes: int


SMALL, WIDE = Size((THUMBNAIL_SIDE, 176, 128, 96), 26_000), Size((560, 400, 240, 128), 90_000)
"""A page of 110 small pictures or of 24 wide ones stays below 5 MB, whatever they show."""
MOST_THREADS = 4
MOST_SECONDS = 60.0
"""How long photographs are read for a page, over a slow network for example."""
LARGE, TOO_LARGE = 64_000_000, 100_000_000
"""Images of more pixels are decoded one at a time, or not at all."""
MOST_COMPRESSED = 1 << 28
"""Bytes of a compressed archive: for one image, all before it is decompressed again."""
TOOK_TOO_LONG = "Reading the photographs took too long."
NOT_AGAIN = "Its archive is compressed, and too large to be read again for a picture."
GREY = 128

Mask = NDArray[np.uint8]
Draw = Callable[[bytes], bytes]
Read = TypeVar("Read", bound=bytes | ImageError)


@dataclass(frozen=True)
class Drawing:
    """A picture of the photograph at ``path``, of so many ``pixels``. ``draw``: returns it as JPEG, from the bytes of
    the photograph's file.
    """

    path: str
    pixels: int
    draw: Draw


class Drawings:
    """Draws pictures from photographs. ``zip_encoding``: as the run had it."""

    def __init__(self, zip_encoding: str | None = None) -> None:
        self._photographs = Photographs(zip_encoding)
        self._one_large = threading.Lock()

    def of(self, drawings: Iterable[Drawing]) -> dict[str, bytes | str]:
        """Return JPEG files by the paths of their photographs, or the reason why there is none."""
        by_path = {drawing.path: drawing for drawing in drawings}
        found: dict[str, bytes | str] = dict.fromkeys(by_path, TOOK_TOO_LONG)
        wanted = []
        for path, drawing in by_path.items():
            if (reason := _why_not(drawing)) is not None:
                found[path] = reason
            else:
                wanted.append(path)

        def draw(entry: tuple[str, bytes | ImageError]) -> bytes | str:
            return self._drawn(by_path[entry[0]], entry[1])

        entries = _in_time(self._photographs.read_all(wanted))
        for (path, _), drawn in map_ahead(draw, entries, min(MOST_THREADS, cores())):
            found[path] = drawn
        return found

    def _drawn(self, drawing: Drawing, photograph: bytes | ImageError) -> bytes | str:
        if isinstance(photograph, ImageError):
            return str(photograph)
        with self._one_large if drawing.pixels > LARGE else contextlib.nullcontext():
            try:
                return drawing.draw(photograph)
            except SeglabError as error:
                return str(error)
            except (MemoryError, cv2.error):
                return "It cannot be drawn."


def with_outlines(
    photograph: bytes | None, mask: Mask, truth: Mask | None = None, *, are_labels: bool = False, size: Size = SMALL
) -> bytes:
    """Return a JPEG of a photograph (the bytes of its file) with the outline of its mask ``(H, W)`` in cyan, and of its
    ``truth`` in amber; of label maps, with an outline of each class. Without a photograph, they are drawn on grey.

    Raises :class:`ImageError`.
    """
    pixels = np.full((1, 1, 3), GREY, np.uint8) if photograph is None else pixels_for(photograph, mask.shape, size)

    def drawn(side: int) -> NDArray[np.uint8]:
        sides = sides_within(mask.shape, side)
        picture = np.asarray(cv2.resize(pixels, sides, interpolation=cv2.INTER_AREA), np.uint8)
        small, small_truth = _scaled(mask, sides), None if truth is None else _scaled(truth, sides)
        return label_overlay(picture, small) if are_labels else overlay(picture, small, small_truth)

    return few_bytes(drawn, size)


def pixels_for(photograph: bytes, shape: Sequence[int], size: Size) -> NDArray[np.uint8]:
    """Return the pixels of a photograph, RGB ``(h, w, 3)``, decoded to no more than a picture needs. ``shape``: of the
    mask. Raises :class:`ImageError`.
    """
    least = min(sides_within(tuple(shape), size.sides[0]))
    # any_dicom: what may be read was decided before the mask was made.
    return read_photo(photograph, at_least=least, any_dicom=True).pixels


def few_bytes(drawn: Callable[[int], NDArray[np.uint8]], size: Size) -> bytes:
    """Return the largest JPEG with few enough bytes, else the smallest. ``drawn``: returns the picture by its longest
    side.
    """
    data = b""
    for side in size.sides:
        data = jpeg(drawn(side))
        if len(data) <= size.most_bytes:
            break
    return data


def _scaled(mask: Mask, sides: tuple[int, int]) -> Mask:
    return np.asarray(cv2.resize(mask, sides, interpolation=cv2.INTER_NEAREST), np.uint8)


def _in_time(entries: Iterator[tuple[str, Read]]) -> Iterator[tuple[str, Read]]:
    """Yield entries for :data:`MOST_SECONDS`."""
    end = time.monotonic() + MOST_SECONDS
    for entry in entries:
        yield entry
        if time.monotonic() > end:
            return


def _why_not(drawing: Drawing) -> str | None:
    """Return why a photograph is not read for a picture; None if it is."""
    if drawing.pixels > TOO_LARGE:
        return f"It has {drawing.pixels / 1e6:,.0f} megapixels, too many for a picture here."
    archive = archive_of(drawing.path)
    if archive is None:
        return None
    if is_url(archive):
        return None if path_part(archive).lower().endswith(".zip") else NOT_AGAIN
    try:
        is_slow = kind_of_file(archive) == COMPRESSED and os.path.getsize(archive) > MOST_COMPRESSED
    except (SourceError, OSError) as error:
        return str(error)
    return NOT_AGAIN if is_slow else None


def grouped(pictures: Mapping[str, bytes | str], paths: Sequence[str]) -> str:
    """Return the reason why none of these pictures could be drawn; empty if one could, or for several reasons."""
    reasons = {found if isinstance(found := pictures[path], str) else "" for path in paths}
    return reasons.pop() if len(reasons) == 1 else ""

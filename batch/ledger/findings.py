"""The images of a ledger that a person should check first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from batch.figures import SUITABLE_FROM
from batch.ledger.reader import LedgerReader

COLUMNS = "path, mask, height, width, lesion_area, bbox_x0, bbox_y0, bbox_x1, bbox_y1, confidence, suitable"


@dataclass(frozen=True, slots=True)
class SegmentedImage:
    """An image that has a mask.

    ``path``: absolute path of the image. ``mask``: where its mask is: a path, a URL, or an archive's path and the
    member's name; the functions of this module give it relative to the output. ``height``, ``width``: pixels. ``area``:
    pixels of the lesion. ``box``: ``(x0, y0, x1, y1)`` of the lesion in pixels, x1 and y1 the first column and row
    after it; None if no lesion was found. ``confidence``: the Dice of the mask expected from the probabilities, 0 to 1.
    ``suitable``: how much the image looks like the model's training images, 0 to 1; None if the model does not say.
    """

    path: str
    mask: str
    height: int
    width: int
    area: int
    box: tuple[int, int, int, int] | None
    confidence: float
    suitable: float | None


def least_certain(ledger: LedgerReader, count: int) -> Iterator[SegmentedImage]:
    """Yield the images with the lowest confidence, lowest first, among those with a lesion."""
    return _done(ledger, "lesion_area > 0 ORDER BY confidence, path LIMIT ?", count)


def without_lesion(ledger: LedgerReader) -> Iterator[SegmentedImage]:
    """Yield the images in which no lesion was found, by path."""
    return _done(ledger, "lesion_area = 0 ORDER BY path")


def unlike(ledger: LedgerReader) -> Iterator[SegmentedImage]:
    """Yield the images that do not look like their model's training images, the least alike first."""
    return _done(ledger, "suitable < ? ORDER BY suitable, path", SUITABLE_FROM)


def done(ledger: LedgerReader) -> Iterator[SegmentedImage]:
    """Yield all images that are done, by path."""
    return _done(ledger, "1 ORDER BY path")


def _done(ledger: LedgerReader, which: str, *parameters: Any) -> Iterator[SegmentedImage]:
    """Yield the images that are done and match ``which``; for ledgers of the current format."""
    for row in ledger.query(f"SELECT {COLUMNS} FROM items WHERE status = 'done' AND {which}", parameters):
        path, mask, height, width, area, x0, y0, x1, y1, confidence, suitable = row
        box = None if x0 is None else (x0, y0, x1, y1)
        yield SegmentedImage(path, mask, height, width, area, box, confidence, suitable)

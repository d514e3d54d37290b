"""Pictures of scored images for pages: photograph, truth and mask side by side, of bounded size."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from seglab.data.pairs import Pair
from seglab.errors import SeglabError
from seglab.images.outlines import PREDICTION, TRUTH
from seglab.metrics.overlap import Confusion
from seglab.pages.page import Picture

WORST, MEDIAN, RANDOM = 12, 6, 12
"""Numbers of images that are shown."""
WIDTH, HIGHEST, GAP = 200, 200, 4
"""Width of each of the three pictures, their largest height, and the space between them, in pixels."""
QUALITIES = (80, 60, 40, 20)
MOST_BYTES = 70_000
"""Size of a strip, so that a page stays below 5 MB; noise gets a lower quality."""
COLOURS = "In the mask, white is lesion in both, cyan only in the mask, amber only in the truth."

Shown = tuple[NDArray[np.uint8], NDArray[np.uint8]]
"""A photograph, uint8 RGB ``(h, w, 3)``, and its mask of any size; non-zero is lesion. Both may be scaled down."""


@dataclass(frozen=True)
class Chosen:
    """Places of the images to show, without repetition: ``worst`` (worst first), ``median``, and ``random`` ones."""

    worst: Sequence[int]
    median: Sequence[int]
    random: Sequence[int]


def choose(dice: Sequence[float]) -> Chosen:
    """Choose images by their Dice; the random ones are the same in every call."""
    order = np.argsort(np.asarray(dice, np.float64), kind="stable").tolist()
    worst, rest = order[:WORST], order[WORST:]
    middle = max(0, len(order) // 2 - MEDIAN // 2 - len(worst))
    median = rest[middle : middle + MEDIAN]
    others = [place for place in rest if place not in set(median)]
    drawn = np.random.default_rng(0).permutation(len(others))[:RANDOM]
    return Chosen(worst, median, [others[number] for number in drawn])


def strips(
    pairs: Sequence[Pair], counts: Sequence[Confusion], places: Sequence[int], shown: Callable[[int], Shown]
) -> Iterator[Picture]:
    """Yield a picture for each of the ``places``. ``shown``: reads and masks the image at a place."""
    for place in places:
        pair, of = pairs[place], counts[place]
        try:
            truth = pair.mask()
            image, mask = shown(place)
            data, missing = jpeg_within(_strip(image, truth, mask), MOST_BYTES), ""
        except SeglabError as error:
            data, missing = b"", f"It cannot be shown: {error}"
        share = (of.tp + of.fn) / (of.tp + of.fp + of.fn + of.tn)
        scores = f"Dice {of.dice:.3f}, IoU {of.iou:.3f}; the lesion covers {100 * share:.1f} % of the image"
        yield Picture(data, f"{pair.id}: photograph, truth and mask", (pair.id, scores), missing)


def jpeg_within(picture: NDArray[np.uint8], most: int) -> bytes:
    """Return uint8 RGB ``(H, W, 3)`` as a JPEG of at most ``most`` bytes if the lowest of :data:`QUALITIES` allows."""
    data = b""
    for quality in QUALITIES:
        data = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
        if len(data) <= most:
            break
    return data


def _strip(image: NDArray[np.uint8], truth: NDArray[np.uint8], mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the three pictures in a row, uint8 RGB ``(H, 3 * WIDTH + 2 * GAP, 3)``."""
    height, width = truth.shape
    scale = min(WIDTH / width, HIGHEST / height)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    ours, theirs = (_small(part, size) for part in (mask, truth))
    white = np.array((255, 255, 255), np.uint8)
    truth_tile = np.where(theirs[..., None], white, np.uint8(0))
    mask_tile = np.where((ours & theirs)[..., None], white, np.uint8(0))
    mask_tile[ours & ~theirs] = PREDICTION
    mask_tile[theirs & ~ours] = TRUTH
    strip = np.full((size[1], 3 * WIDTH + 2 * GAP, 3), 128, np.uint8)
    for number, tile in enumerate((small, truth_tile, mask_tile)):
        left = number * (WIDTH + GAP) + (WIDTH - size[0]) // 2
        strip[:, left : left + size[0]] = tile
    return strip


def _small(mask: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.bool_]:
    lesion = np.where(mask != 0, np.uint8(255), np.uint8(0))
    return np.asarray(cv2.resize(lesion, size, interpolation=cv2.INTER_AREA) >= 128, np.bool_)
